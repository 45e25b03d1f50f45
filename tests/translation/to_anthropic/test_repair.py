"""The last pass, as it treats requests in Anthropic's own form."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.translation.to_anthropic.repair import repair
from tests.translation.asking import (
    CATALOGUE,
    NO_RESULT,
    OPUS,
    assistant,
    judge,
    system,
    text,
    tr,
    tu,
    user,
)

MARK = {"cache_control": {"type": "ephemeral"}}
THINKING = {"type": "thinking", "thinking": "", "signature": "s"}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
O45, SONNET_5 = "claude-opus-4-5", "claude-sonnet-5"
CONTINUE = user("Continue from where you stopped.")


def said(role: str, words: str) -> dict:
    return {"role": role, "content": words}


def repaired(messages: Any, model: str = OPUS, **fields: Any) -> tuple[Any, list[str]]:
    request = {"model": model, "max_tokens": 9, "messages": messages, **fields}
    notes = repair(request, CATALOGUE.get(model))
    return request["messages"], notes


ACCEPTED: dict[str, tuple[str, list]] = {
    "strings": (OPUS, [said("user", "a"), said("assistant", "b"), said("user", "c")]),
    "neighbours-of-one-role": (
        OPUS,
        [said("user", "a"), user("b"), assistant("c"), assistant("d"), user("e")],
    ),
    "results-in-another-order": (
        OPUS,
        [user("a"), assistant(tu("c1"), tu("c2")), user(tr("c2"), tr("c1"), "text")],
    ),
    "results-in-two-messages": (
        OPUS,
        [user("a"), assistant(tu("c1")), assistant(tu("c2")), user(tr("c1")), user(tr("c2"), "t")],
    ),
    "an-id-in-two-turns": (
        OPUS,
        [user("a"), assistant(tu("c1")), user(tr("c1")), assistant(tu("c1")), user(tr("c1"))],
    ),
    "a-long-id": (OPUS, [user("a"), assistant(tu("c" * 200)), user(tr("c" * 200))]),
    "thinking-and-marks": (
        OPUS,
        [
            user(text("a") | MARK),
            assistant(THINKING, tu("c1")),
            user(tr("c1", "x") | MARK, text("b") | MARK),
        ],
    ),
    "a-system-message-in-its-place": (
        OPUS,
        [user("a"), system("s"), assistant("b"), user("c"), system("s")],
    ),
    "a-system-message-after-a-server-tool": (
        OPUS,
        [
            user("a"),
            assistant(SEARCH, FOUND),
            system("s"),
        ],
    ),
    "a-begun-answer": (O45, [user("a"), assistant("b")]),
    "an-answer-not-yet-begun": (O45, [user("a"), said("assistant", "")]),
    "an-answer-not-yet-begun-in-blocks": (O45, [user("a"), assistant()]),
    "a-paused-server-tool": (
        OPUS,
        [
            user("a"),
            assistant(SEARCH),
        ],
    ),
    "a-paused-mcp-tool": (
        OPUS,
        [
            user("a"),
            assistant(
                {"type": "mcp_tool_use", "id": "m", "name": "f", "server_name": "s", "input": {}},
                {"type": "mcp_tool_result", "tool_use_id": "m", "content": []},
            ),
        ],
    ),
    "a-server-tool-that-waits-for-the-clients": (
        OPUS,
        [user("a"), assistant(SEARCH, tu("c1")), user(tr("c1")), assistant(FOUND, "b"), user("c")],
    ),
}


@pytest.mark.parametrize(("model", "messages"), ACCEPTED.values(), ids=ACCEPTED)
def test_what_anthropic_accepts_stays_the_same_objects(model: str, messages: list) -> None:
    before = copy.deepcopy(messages)
    after, notes = repaired(messages, model)
    assert notes == []
    assert after == before
    assert all(new is old for new, old in zip(after, messages, strict=True))


CLEARED = {"clear_at": "next_user_message"}
REPAIRED: dict[str, tuple[str, list, list]] = {
    "a-call-without-a-result": (
        OPUS,
        [user("a"), assistant(THINKING, tu("c1")), user("b")],
        [user("a"), assistant(THINKING, tu("c1")), user(tr("c1", **NO_RESULT), "b")],
    ),
    "a-call-at-the-end": (
        OPUS,
        [said("user", "a"), assistant(tu("c1"))],
        [said("user", "a"), assistant(tu("c1")), user(tr("c1", **NO_RESULT))],
    ),
    "a-result-without-a-call": (
        OPUS,
        [user("a"), assistant("b"), user(tr("c1", "x"), text("t") | MARK)],
        [user("a"), assistant("b"), user("Tool result for c1: x", text("t") | MARK)],
    ),
    "a-server-tool-before-a-question": (
        OPUS,
        [user("a"), assistant("b", SEARCH), user("c")],
        [user("a"), assistant("b"), user("c")],
    ),
    "a-server-tools-result-without-a-call": (
        OPUS,
        [user("a"), assistant(FOUND, "b"), user("c")],
        [user("a"), assistant("b"), user("c")],
    ),
    "text-before-a-result": (
        OPUS,
        [user("a"), assistant(tu("c1")), said("user", "t"), user(tr("c1", "x") | MARK)],
        [user("a"), assistant(tu("c1")), user(tr("c1", "x") | MARK, "t")],
    ),
    "an-illegal-id": (
        OPUS,
        [user("a"), said("assistant", "b"), assistant(tu("c:1")), user(tr("c:1", "x"))],
        [user("a"), said("assistant", "b"), assistant(tu("c_1")), user(tr("c_1", "x"))],
    ),
    "an-id-twice-in-a-turn": (
        OPUS,
        [user("a"), assistant(tu("c1"), tu("c1", "g")), user(tr("c1", "x"), tr("c1", "y"))],
        [user("a"), assistant(tu("c1"), tu("c1_2", "g")), user(tr("c1", "x"), tr("c1_2", "y"))],
    ),
    "blank-text": (
        OPUS,
        [user("a", " "), assistant(THINKING, "", tu("c1")), user(tr("c1", [text(""), text("x")]))],
        [user("a"), assistant(THINKING, tu("c1")), user(tr("c1", [text("x")]))],
    ),
    "a-result-of-blank-text": (
        OPUS,
        [user("a"), assistant(tu("c1")), user(tr("c1", [text(" ")], is_error=True))],
        [user("a"), assistant(tu("c1")), user(tr("c1", is_error=True))],
    ),
    "blank-messages": (
        OPUS,
        [said("user", "a"), said("assistant", " "), said("user", ""), user("b")],
        [said("user", "a"), user("b")],
    ),
    "the-assistant-first": (
        OPUS,
        [assistant("a"), user("b")],
        [user("Begin."), assistant("a"), user("b")],
    ),
    "the-assistant-last": (
        OPUS,
        [user("a"), assistant("b ")],
        [user("a"), assistant("b "), CONTINUE],
    ),
    "white-space-at-the-end-of-a-begun-answer": (
        O45,
        [user("a"), said("assistant", "b \n")],
        [user("a"), assistant("b")],
    ),
    "a-system-message-out-of-place": (
        OPUS,
        [system("s"), said("user", "a"), assistant("b"), system("t"), user("c")],
        [user("a"), system("s"), assistant("b"), user("c"), system("t")],
    ),
    "a-system-message-that-is-cleared": (
        OPUS,
        [system("s") | CLEARED, said("user", "a"), system("t"), user("b")],
        [user("a", "b"), system("s") | CLEARED, system("t")],
    ),
    "a-system-message-for-a-model-without": (
        SONNET_5,
        [user("a"), said("system", "s"), assistant("b"), user("c")],
        [user("a", "<system-reminder>s</system-reminder>"), assistant("b"), user("c")],
    ),
    "a-system-message-with-more-than-text": (
        SONNET_5,
        [user("a"), system("s", THINKING), assistant("b"), user("c")],
        [user("a", "<system-reminder>s</system-reminder>", THINKING), assistant("b"), user("c")],
    ),
    "only-blanks": (OPUS, [user(" ")], [user("Begin.")]),
}


@pytest.mark.parametrize(("model", "messages", "expected"), REPAIRED.values(), ids=REPAIRED)
def test_repaired(model: str, messages: list, expected: list) -> None:
    before = copy.deepcopy(messages)
    after, notes = repaired(messages, model)
    assert after == expected
    assert len(notes) >= 1
    assert messages == before, "an object of the client was changed"
    assert repaired(after, model) == (after, []), "a second pass finds nothing"


def test_a_change_of_tools_stays_where_it_is() -> None:
    added = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "f"}}
    for model in (OPUS, SONNET_5):
        messages = [system(added), user("a"), assistant("b"), user("c"), system(added)]
        assert system(added) in repaired(messages, model)[0]


UNREADABLE: dict[str, Any] = {
    "no-list": "x",
    "empty": [],
    "a-string-as-message": ["x"],
    "an-unknown-role": [user("a"), {"role": "critic", "content": "x"}],
    "no-content": [{"role": "user"}],
    "a-block-that-is-a-string": [{"role": "user", "content": ["x"]}],
    "content-null": [{"role": "user", "content": None}],
    "a-role-that-is-a-list": [{"role": [], "content": "x"}],
}


@pytest.mark.parametrize("messages", UNREADABLE.values(), ids=UNREADABLE)
def test_another_shape_is_left_for_anthropic_to_refuse(messages: Any) -> None:
    assert repaired(messages) == (messages, [])


blocks = st.sampled_from(
    [
        text("a"),
        text(" "),
        text("b") | MARK,
        tu("c1"),
        tu("c2"),
        tu("c:3"),
        tr("c1"),
        tr("c2", "x"),
        tr("c:3", [text("")]),
        tr("c9", [text("y")]),
        THINKING,
        SEARCH,
        FOUND,
        SEARCH | {"id": "srvtoolu_2"},
        FOUND | {"tool_use_id": "srvtoolu_2"},
    ]
)
ALLOWED = {
    "user": ("text", "tool_result"),
    "assistant": ("text", "tool_use", "thinking", "server_tool_use", "web_search_tool_result"),
    "system": ("text",),
}


@st.composite
def native_messages(draw: st.DrawFn) -> dict:
    role = draw(st.sampled_from(list(ALLOWED)))
    allowed = blocks.filter(lambda block: block["type"] in ALLOWED[role])
    return {
        "role": role,
        "content": draw(st.sampled_from(["", "t"]) | st.lists(allowed, max_size=4)),
    }


def test_a_system_message_behind_a_call_without_its_result_becomes_a_reminder() -> None:
    call = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    turns = [{"role": "assistant", "content": [call]}, {"role": "system", "content": "t"}]
    after, _ = repaired(turns, OPUS)
    judge({"model": OPUS, "max_tokens": 9, "messages": after})
    assert "<system-reminder>t" in str(after[-1])


@given(
    st.lists(native_messages(), min_size=1, max_size=8),
    st.sampled_from([OPUS, O45, SONNET_5, "claude-opus-5-5"]),
)
def test_whatever_comes_in_anthropic_takes_it(messages: list, model: str) -> None:
    before = copy.deepcopy(messages)
    after, _ = repaired(messages, model)
    judge({"model": model, "max_tokens": 9, "messages": _limited(after)})
    assert messages == before
    assert repaired(after, model)[0] == after, "a second pass changes nothing"


def _limited(messages: list) -> list:
    """Without cache marks: how many there are is not repaired here."""
    return [
        message
        if isinstance(message["content"], str)
        else {
            **message,
            "content": [
                {k: v for k, v in b.items() if k != "cache_control"} for b in message["content"]
            ],
        }
        for message in messages
    ]
