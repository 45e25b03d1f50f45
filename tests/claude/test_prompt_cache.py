import copy
from typing import Any

import pytest

from addon.claude.digest import message_digest
from addon.claude.prompt_cache import explain_miss, part_digests, place_breakpoints
from tests.claude.support import (
    CATALOGUE,
    answer,
    call,
    results,
    seen_by_client,
    text,
    thought,
    user,
)

MODEL = CATALOGUE.get("claude-opus-4-8")
MARK = {"type": "ephemeral"}
TOOLS = [{"name": "read", "input_schema": {}}, {"name": "write", "input_schema": {}}]
LONG = 50_000


def conversation(turns: int = 2, **fields: Any) -> dict[str, Any]:
    messages = [user("question 0")]
    for turn in range(1, turns):
        messages += [seen_by_client(answer(text(f"answer {turn}"))), user(f"question {turn}")]
    return {"model": MODEL.id, "system": "be brief", "tools": TOOLS, "messages": messages, **fields}


def marked(request: dict[str, Any]) -> list[str]:
    """Where the marks are, readably."""
    found = [f"tools[{i}]" for i, t in enumerate(request.get("tools", [])) if "cache_control" in t]
    if isinstance(request.get("system"), list):
        found += [f"system[{i}]" for i, b in enumerate(request["system"]) if "cache_control" in b]
    for index, message in enumerate(request["messages"]):
        blocks = message["content"] if isinstance(message["content"], list) else []
        found += [f"messages[{index}][{i}]" for i, b in enumerate(blocks) if "cache_control" in b]
    return found


def place(request: dict[str, Any], tokens: int = LONG) -> dict[str, Any]:
    before = copy.deepcopy(request)
    placed = place_breakpoints(request, MODEL, tokens)
    assert request == before, "the request was changed in place"
    return placed


def test_four_marks_on_the_stable_prefix() -> None:
    placed = place(conversation(5))
    assert marked(placed) == ["tools[1]", "system[0]", "messages[6][0]", "messages[8][0]"]
    assert placed["tools"][1]["cache_control"] == MARK


def ttls(request: dict[str, Any]) -> list[str]:
    """Of the marks, in their order."""
    blocks = [*request.get("tools", []), *request["system"]]
    blocks += [
        b for m in request["messages"] if isinstance(m["content"], list) for b in m["content"]
    ]
    return [b["cache_control"].get("ttl", "5m") for b in blocks if "cache_control" in b]


def test_an_entry_of_an_hour_is_marked_again_before_those_of_five_minutes() -> None:
    placed = place_breakpoints(conversation(5), MODEL, LONG, keep=2)
    assert marked(placed) == ["tools[1]", "system[0]", "messages[2][0]", "messages[8][0]"]
    assert ttls(placed) == ["1h", "1h", "1h", "5m"]


def test_a_turn_of_many_blocks_is_marked_rather_than_the_tools() -> None:
    ids = [f"c{i}" for i in range(30)]
    request = conversation(4)
    request["messages"] += [{"role": "assistant", "content": [call(i) for i in ids]}, results(*ids)]
    placed = place_breakpoints(request, MODEL, LONG, keep=2)
    assert marked(placed)[:2] == ["system[0]", "messages[2][0]"]
    assert marked(placed)[2:] == ["messages[6][0]", "messages[8][29]"]
    assert ttls(placed) == ["1h", "1h", "5m", "5m"]


def test_marks_change_nothing_but_cache_control() -> None:
    request = conversation(5)
    assert part_digests(place(request)) == part_digests(request)


def test_the_last_mark_of_a_request_is_marked_again_in_the_next() -> None:
    """Even when a turn has more blocks than the 20 that a breakpoint looks back."""
    first = conversation(3)
    ids = [f"c{i}" for i in range(60)]
    turn = {"role": "assistant", "content": [call(i) for i in ids]}
    second = {**first, "messages": [*first["messages"], turn, results(*ids)]}
    assert marked(place(first))[-1] == "messages[4][0]"
    assert marked(place(second))[-2:] == ["messages[4][0]", "messages[6][59]"]


@pytest.mark.parametrize(
    ("request_", "marks"),
    [
        (conversation(1), ["tools[1]", "system[0]", "messages[0][0]"]),
        (conversation(2, tools=[]), ["system[0]", "messages[0][0]", "messages[2][0]"]),
        (conversation(2, tools=[], system=""), ["messages[0][0]", "messages[2][0]"]),
        (conversation(1, tools=[]), []),
        (conversation(0, messages=[]), []),
        (
            conversation(
                2, messages=[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
            ),
            ["tools[1]", "system[0]", "messages[0][0]", "messages[1][0]"],
        ),
    ],
    ids=[
        "first turn with tools",
        "no tools",
        "no system",
        "single question",
        "nothing",
        "plain strings",
    ],
)
def test_only_conversations_are_marked(request_: dict[str, Any], marks: list[str]) -> None:
    assert marked(place(request_)) == marks


@pytest.mark.parametrize(
    ("model_id", "least"),
    [("claude-opus-4-8", 1024), ("claude-opus-4-5", 4096), ("claude-haiku-5-5", 512)],
)
def test_short_prompts_are_not_marked(model_id: str, least: int) -> None:
    model = CATALOGUE.get(model_id)
    assert not marked(place_breakpoints(conversation(), model, least - 1))
    assert marked(place_breakpoints(conversation(), model, least))


@pytest.mark.parametrize(
    "fields",
    [
        {"cache_control": MARK},
        {"system": [{**text("be brief"), "cache_control": MARK}]},
        {"tools": [{**TOOLS[0], "cache_control": MARK}]},
        {
            "messages": [
                {"role": "user", "content": [{**text("a"), "cache_control": MARK}]},
                user("b"),
            ]
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "a",
                            "content": [{**text("a"), "cache_control": MARK}],
                        }
                    ],
                },
                user("b"),
            ]
        },
    ],
    ids=["top level", "system", "tools", "message", "inside a tool result"],
)
def test_marks_of_the_client_are_respected(fields: dict[str, Any]) -> None:
    request = conversation(2, **fields)
    assert place(request) is request


def test_marks_go_only_where_anthropic_takes_them() -> None:
    messages = [
        user("a"),
        {"role": "assistant", "content": [text("b"), thought("c")]},
        {
            "role": "user",
            "content": [
                text("d"),
                text(" "),
                {"type": "thinking", "thinking": "", "signature": ""},
            ],
        },
        {"role": "user", "content": []},
        {"role": "system", "content": "e"},
    ]
    request = conversation(messages=messages, system=[text("s"), text("")])
    assert marked(place(request)) == ["tools[1]", "system[0]", "messages[0][0]", "messages[2][0]"]


def test_an_hour_is_asked_for_when_configured() -> None:
    placed = place_breakpoints(conversation(), MODEL, LONG, ttl="1h")
    assert placed["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"model": "claude-opus-5"}, "the model"),
        ({"tools": TOOLS[:1]}, "tools"),
        ({"system": "be long"}, "system"),
        ({"tools": [], "system": "be long"}, "tools"),
        ({"tool_choice": {"type": "none"}}, "tool_choice, thinking or effort"),
        ({"output_config": {"effort": "low"}}, "tool_choice, thinking or effort"),
    ],
    ids=["nothing", "model", "tools", "system", "the first of two", "tool_choice", "effort"],
)
def test_miss_is_explained_by_the_first_part_that_changed(
    change: dict[str, Any], said: str | None
) -> None:
    grown = {**conversation(4), **change}
    assert explain_miss(part_digests(conversation(3)), part_digests(grown)) == said


def test_miss_names_the_message_that_changed() -> None:
    grown = conversation(4)
    grown["messages"][2] = user("question 1, edited")
    assert explain_miss(part_digests(conversation(3)), part_digests(grown)) == "message 2"


def test_thinking_is_part_of_what_is_cached() -> None:
    before, after = conversation(2), conversation(3)
    before["messages"][1] = answer(thought("a"), text("answer 1"))
    assert explain_miss(part_digests(before), part_digests(after)) == "message 1"


def test_digests_that_are_known_are_not_made_again() -> None:
    request = conversation(4)
    known = {id(message): message_digest(message) for message in request["messages"]}
    assert part_digests(request, known) == part_digests(request)
    known[id(request["messages"][2])] = b"of another message"
    assert part_digests(request, known).messages[2] == b"of another message"


def test_a_known_digest_says_nothing_of_thinking() -> None:
    request = conversation(2)
    request["messages"][1] = answer(thought("a"), text("answer 1"))
    known = {id(message): message_digest(message) for message in request["messages"]}
    assert part_digests(request, known) == part_digests(request)


def test_history_cut_at_its_end_does_not_miss() -> None:
    assert explain_miss(part_digests(conversation(5)), part_digests(conversation(3))) is None
