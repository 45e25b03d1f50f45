"""From client messages to `system` and `messages`."""

from __future__ import annotations

import json

import pytest

from addon.core.errors import BadRequest
from tests.cpu import cpu_below
from tests.translation.asking import (
    TC,
    A,
    D,
    S,
    T,
    U,
    assistant,
    chat,
    finished,
    system,
    text,
    tr,
    translated,
    tu,
    user,
)

MARK = {"cache_control": {"type": "ephemeral"}}
BEGIN = user("Begin.")
CONTINUE = user("Continue from where you stopped.")

TURNS = {
    "one-user-message": ([U("hi")], [user("hi")]),
    "neighbours-of-one-role-are-one-turn": ([U("a"), U("b")], [user("a", "b")]),
    "assistants-too": (
        [U("a"), A("b"), A("c"), U("d")],
        [user("a"), assistant("b", "c"), user("d")],
    ),
    "the-first-turn-is-the-users": (
        [A("hello"), U("x")],
        [BEGIN, assistant("hello"), user("x")],
    ),
    "nothing-said": ([U("")], [BEGIN]),
    "an-empty-assistant-turn-vanishes": ([U("a"), A(""), U("b")], [user("a", "b")]),
    "null-content-without-calls-vanishes": ([U("a"), A(None), U("b")], [user("a", "b")]),
    "thinking-in-tags-is-no-text": (
        [U("a"), A("<think>\nHm.\n</think>"), A("b"), U("c"), A("<think>No.</think>\n\nd"), U("e")],
        [user("a"), assistant("b"), user("c"), assistant("d"), user("e")],
    ),
    "tags-elsewhere-are-text": (
        [U("<think>a</think>"), A("b <think>c</think>"), U("d"), A("<think>e"), U("f")],
        [
            user("<think>a</think>"),
            assistant("b <think>c</think>"),
            user("d"),
            assistant("<think>e"),
            user("f"),
        ],
    ),
    "null-content-of-a-user": ([U(None)], [BEGIN]),
    "white-space-is-nothing": ([U("   \n\t")], [BEGIN]),
    "blank-parts-vanish": (
        [U([text("a"), text(""), text("  "), text("b")])],
        [user("a", "b")],
    ),
    "cursor-repeats-a-part": ([U([text("X"), text("X")])], [user("X")]),
    "the-same-text-later-is-meant": (
        [U([text("X"), text("Y"), text("X")])],
        [user("X", "Y", "X")],
    ),
    "the-same-text-in-two-messages-is-meant": ([U("X"), U("X")], [user("X", "X")]),
    "a-late-system-message-follows-the-user-turn": (
        [U("a"), S("late"), U("b"), A("c"), U("d")],
        [user("a", "b"), system("late"), assistant("c"), user("d")],
    ),
    "nothing-comes-between-call-and-result": (
        [U("a"), A(None, TC("c1")), S("late"), T("c1", "ok")],
        [user("a"), assistant(tu("c1")), user(tr("c1", "ok")), system("late")],
    ),
    "a-begun-answer-is-not-continued-by-new-models": (
        [U("a"), A("partial ")],
        [user("a"), assistant("partial "), CONTINUE],
    ),
    "control-characters-stay": ([U("a\x00b\x1b")], [user("a\x00b\x1b")]),
    "half-an-emoji-becomes-a-replacement-character": ([U("a\ud83d")], [user("a\ufffd")]),
    "a-speaker-is-named": (
        [U("a", name="Ann"), U("b", name="Bob"), U("c", name=" ")],
        [user("Ann:\n", "a", "Bob:\n", "b", "c")],
    ),
    "no-name-goes-before-a-result": (
        [U("a"), A(None, TC("c")), U([tr("c", "x")], name="Ann")],
        [user("a"), assistant(tu("c")), user(tr("c", "x"))],
    ),
    "a-refusal-is-text": (
        [U("a"), A(None, refusal="no"), U("b")],
        [user("a"), assistant("no"), user("b")],
    ),
    "a-refusal-part-is-text": (
        [U("a"), A([{"type": "refusal", "refusal": "r"}]), U("b")],
        [user("a"), assistant("r"), user("b")],
    ),
    "a-refusal-said-twice-counts-once": (
        [U("a"), A([{"type": "refusal", "refusal": "r"}], refusal="r"), U("b")],
        [user("a"), assistant("r"), user("b")],
    ),
    "audio-has-no-text": ([U("a"), A(None, audio={"id": "x"}), U("b")], [user("a", "b")]),
    "a-late-system-message-without-a-user-turn-is-a-reminder": (
        [U("a"), A("b"), S("late")],
        [user("a"), assistant("b"), user("<system-reminder>late</system-reminder>")],
    ),
    "strings-in-a-part-list-are-text": ([U(["a", "b"])], [user("a", "b")]),
}


@pytest.mark.parametrize(("messages", "expected"), TURNS.values(), ids=TURNS)
def test_turns(messages: list, expected: list) -> None:
    translation = chat(*messages)
    assert translation.request["messages"] == expected
    finished(translation)


SYSTEM = {
    "none": ([U("hi")], {}, None),
    "in-order-one-block-each": ([S("a"), D("b"), U("x")], {}, [text("a"), text("b")]),
    "empty-is-none": ([S(""), U("x")], {}, None),
    "blank-ones-vanish": ([S(" \n"), S("a"), U("x")], {}, [text("a")]),
    "a-cache-mark-stays-on-its-part": (
        [S([text("a"), {**text("b"), "prompt_cache_breakpoint": {"mode": "explicit"}}]), U("x")],
        {},
        [text("a"), text("b") | MARK],
    ),
    "only-a-system-prompt": ([S("only")], {}, [text("only")]),
    "a-late-one-is-never-hoisted": ([U("a"), S("late"), U("b")], {}, None),
    "its-name-is-dropped": ([S("a", name="policy"), U("x")], {}, [text("a")]),
    "the-top-level-field-comes-first": (
        [S("b"), U("x")],
        {"system": [text("a")]},
        [text("a"), text("b")],
    ),
    "the-top-level-field-may-be-a-string": ([U("x")], {"system": "a"}, [text("a")]),
}


@pytest.mark.parametrize(("messages", "fields", "expected"), SYSTEM.values(), ids=SYSTEM)
def test_system(messages: list, fields: dict, expected: list | None) -> None:
    translation = chat(*messages, **fields)
    assert translation.request.get("system") == expected
    finished(translation)


def test_only_a_system_prompt_gets_a_user_turn() -> None:
    assert chat(S("only")).request["messages"] == [BEGIN]


REFUSED = {
    "no-messages": ({"messages": []}, "messages"),
    "messages-absent": ({}, "messages"),
    "messages-no-list": ({"messages": "x"}, "messages"),
    "unknown-role": ({"messages": [U("a"), {"role": "critic"}]}, "messages[1].role"),
    "role-missing": ({"messages": [{"content": "a"}]}, "messages[0].role"),
    "message-no-object": ({"messages": ["hi"]}, "messages[0]"),
    "content-a-number": ({"messages": [U(5)]}, "messages[0].content"),
    "part-a-number": ({"messages": [U([5])]}, "messages[0].content[0]"),
    "text-no-string": (
        {"messages": [U([{"type": "text", "text": 5}])]},
        "messages[0].content[0].text",
    ),
    "unknown-part": (
        {"messages": [U([text("a"), {"type": "hologram"}])]},
        "messages[0].content[1]",
    ),
    "refusal-of-a-user": (
        {"messages": [U([{"type": "refusal", "refusal": "r"}])]},
        "messages[0].content[0]",
    ),
    "image-in-a-system-prompt": (
        {"messages": [S([{"type": "image_url", "image_url": {"url": "https://x"}}])]},
        "messages[0].content[0]",
    ),
    "system-no-text": ({"messages": [U("a")], "system": [{"type": "image"}]}, "system[0]"),
    "nested-too-deep": (
        {"messages": [U([{"type": "text", "x": json.loads("[" * 150 + "]" * 150)}])]},
        "messages[0]",
    ),
    "not-a-number": ({"messages": [U("a", weight=float("nan"))]}, "messages[0]"),
}


@pytest.mark.parametrize(("body", "param"), REFUSED.values(), ids=REFUSED)
def test_refused(body: dict, param: str) -> None:
    with pytest.raises(BadRequest) as error:
        translated({"model": "m", **body})
    assert error.value.param == param
    assert error.value.message.startswith(param)


def test_models_without_system_turns_get_a_reminder() -> None:
    translation = chat(U("a"), S("late"), U("b"), A("c"), U("d"), model="claude-sonnet-5")
    assert translation.request["messages"] == [
        user("a", "<system-reminder>late</system-reminder>", "b"),
        assistant("c"),
        user("d"),
    ]
    finished(translation)


def test_an_older_model_continues_a_begun_answer() -> None:
    translation = chat(U("a"), A("partial "), model="claude-opus-4-5")
    assert translation.request["messages"] == [user("a"), assistant("partial")]
    finished(translation)


def test_but_not_in_a_demanded_format() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    translation = chat(U("a"), A("{"), model="claude-opus-4-5", response_format=form)
    assert translation.request["messages"][-1] == CONTINUE
    finished(translation)


def test_three_thousand_messages_in_a_second() -> None:
    messages = [U(f"q{i}") if i % 2 == 0 else A(f"a{i}") for i in range(3001)]
    with cpu_below():
        translation = chat(*messages)
    assert len(translation.request["messages"]) == 3001


THINKING = {"type": "thinking", "thinking": "hm", "signature": "s"}

ECHOED = {
    "litellm": ({"thinking_blocks": [THINKING]}, [THINKING]),
    "litellm-redacted": (
        {"thinking_blocks": [THINKING, {"type": "redacted_thinking", "data": "d"}]},
        [THINKING, {"type": "redacted_thinking", "data": "d"}],
    ),
    "litellm-incomplete": (
        {"thinking_blocks": [THINKING, {"type": "thinking", "thinking": "x"}]},
        [],
    ),
    "openrouter": (
        {
            "reasoning_details": [
                {
                    "type": "reasoning.text",
                    "text": "hm",
                    "signature": "s",
                    "format": "anthropic-claude-v1",
                },
                {"type": "reasoning.encrypted", "data": "d", "format": "anthropic-claude-v1"},
            ]
        },
        [THINKING, {"type": "redacted_thinking", "data": "d"}],
    ),
    "another-vendors": (
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s"}]},
        [],
    ),
    "words-without-a-signature": ({"reasoning_content": "hm", "reasoning": "hm"}, []),
}


@pytest.mark.parametrize(("fields", "blocks"), ECHOED.values(), ids=ECHOED)
def test_thinking_that_a_client_echoes_stands_first(fields: dict, blocks: list) -> None:
    messages = chat(U("a"), A("b", **fields), U("c")).request["messages"]
    assert messages[1] == assistant(*blocks, "b")


def test_thinking_inline_is_kept_as_it_is() -> None:
    marked = {**THINKING, "cache_control": {"type": "ephemeral"}}
    messages = chat(U("a"), A([marked, text("b")], thinking_blocks=[THINKING]), U("c")).request[
        "messages"
    ]
    assert messages[1] == assistant(marked, "b")


def test_a_turn_of_thinking_alone_vanishes() -> None:
    assert chat(U("a"), A([THINKING]), U("b")).request["messages"] == [user("a", "b")]


def test_annotations_of_an_answer_are_ignored() -> None:
    assert chat(U("a"), A("b", annotations=[{}]), U("c")).request["messages"][1] == assistant("b")


def test_server_tool_blocks_stay_and_may_be_the_last() -> None:
    use = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    translation = chat(U("a"), A([text("b"), use]))
    assert translation.request["messages"] == [user("a"), assistant("b", use)]


def test_each_repair_is_noted_once() -> None:
    assert chat(U("a"), A("b")).notes == [
        "messages: the conversation ended with the assistant; a user turn was added"
    ]


SVG = {"type": "image_url", "image_url": {"url": "data:image/svg+xml;base64,PHN2Zy8+"}}
UNTOLD: dict[str, tuple[list, list, str]] = {
    "a-reasoning-part": (
        [U("a"), A([{"type": "reasoning", "text": "hm"}, text("b")]), U("c")],
        [user("a"), assistant("b"), user("c")],
        "messages.1.content.0",
    ),
    "an-assistants-image": (
        [U("a"), A([text("b"), SVG]), U("c")],
        [user("a"), assistant("b"), user("c")],
        "messages.1.content.1",
    ),
    "an-svg-in-a-result": (
        [U("a"), A(None, TC("c1")), T("c1", [text("x"), SVG]), A("b"), U("c")],
        [user("a"), assistant(tu("c1")), user(tr("c1", [text("x")])), assistant("b"), user("c")],
        "messages.2.content.1",
    ),
    "an-svg-in-anthropics-result": (
        [U("a"), A([tu("c1")]), U([tr("c1", [SVG, text("x")]), text("t")]), A("b"), U("c")],
        [
            user("a"),
            assistant(tu("c1")),
            user(tr("c1", [text("x")]), "t"),
            assistant("b"),
            user("c"),
        ],
        "messages.2.content.0.content.0",
    ),
    "a-call-without-a-name": (
        [U("a"), A("b", TC("c1", name="")), T("c1", "x"), A("d"), U("c")],
        [user("a"), assistant("b"), user("Tool result for c1: x"), assistant("d"), user("c")],
        "messages.1.tool_calls.0",
    ),
    "a-role-that-nobody-has": (
        [U("a"), {"role": "critic", "content": "x"}, A("b"), U("c")],
        [user("a"), assistant("b"), user("c")],
        "messages.1",
    ),
    "no-message": (
        [U("a"), 5, A("b"), U("c")],
        [user("a"), assistant("b"), user("c")],
        "messages.1",
    ),
}


@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
@pytest.mark.parametrize(("messages", "expected", "named"), UNTOLD.values(), ids=UNTOLD)
def test_what_cant_be_told_of_the_history_is_left_out_and_named(
    messages: list, expected: list, named: str, strict: bool
) -> None:
    translation = chat(*messages, strict=strict)
    assert translation.request["messages"] == expected
    assert translation.ignored == [named]
    assert any("was left out" in note for note in translation.notes)
    finished(translation)


@pytest.mark.parametrize("messages", [case[0] for case in UNTOLD.values()], ids=UNTOLD)
def test_what_cant_be_told_is_rejected_while_it_is_new(messages: list) -> None:
    bad = next(
        n for n, m in enumerate(messages) if m not in (U("a"), A(None, TC("c1")), A([tu("c1")]))
    )
    with pytest.raises(BadRequest) as error:
        chat(*messages[: bad + 1])
    assert str(error.value.param).startswith(f"messages[{bad}]")


def test_all_parts_of_a_tool_result_reach_claude() -> None:
    """Only the parts of a user's text are repeated by Cursor."""
    parts = [text("0"), text("0"), text("1")]
    translation = chat(U("a"), A(None, TC("c1")), T("c1", parts), U(parts))
    [result, *said] = translation.request["messages"][2]["content"]
    assert (result["content"], said) == (parts, [text("0"), text("1")])
