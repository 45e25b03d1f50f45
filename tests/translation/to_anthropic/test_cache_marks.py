"""Cache marks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.translation.asking import TC, A, S, T, U, chat, finished, text

MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


def marked(words: str, mark: Any = MARK) -> dict:
    return {**text(words), "cache_control": mark}


def asked(ttl: str | None) -> dict:
    mark = {"mode": "explicit"} | ({"ttl": ttl} if ttl else {})
    return {**text("a"), "prompt_cache_breakpoint": mark}


READ: dict[str, tuple[dict, Any]] = {
    "anthropics": (marked("a"), MARK),
    "anthropics-of-an-hour": (marked("a", HOUR), HOUR),
    "anthropics-of-5-minutes": (marked("a", {"type": "ephemeral", "ttl": "5m"}), MARK),
    "anthropics-with-more": (marked("a", {"type": "ephemeral", "scope": "x"}), MARK),
    "anthropics-of-another-type": (marked("a", {"type": "eternal"}), None),
    "no-object": (marked("a", "yes"), None),
    "openais": (asked(None), MARK),
    "openais-of-30-minutes": (asked("30m"), MARK),
    "openais-of-12-hours": (asked("12h"), HOUR),
    "openais-implicit": ({**text("a"), "prompt_cache_breakpoint": {"mode": "implicit"}}, None),
}


@pytest.mark.parametrize(("part", "mark"), READ.values(), ids=READ)
def test_marks_of_parts(part: dict, mark: Any) -> None:
    translation = chat(U([part]))
    assert translation.request["messages"][0]["content"][0].get("cache_control") == mark
    finished(translation)


def test_a_repeated_part_keeps_its_mark() -> None:
    request = chat(U([text("a"), marked("a")])).request
    assert request["messages"][0]["content"] == [marked("a")]


TOOLS: dict[str, dict] = {
    "within": {"type": "function", "function": {"name": "f", "cache_control": MARK}},
    "beside": {"type": "function", "function": {"name": "f"}, "cache_control": MARK},
    "responses": {"type": "function", "name": "f", "cache_control": MARK},
    "anthropics": {"name": "f", "input_schema": {"type": "object"}, "cache_control": MARK},
    "custom": {"type": "custom", "custom": {"name": "f"}, "cache_control": MARK},
    "server": {"type": "web_search_20250305", "name": "web_search", "cache_control": MARK},
}


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_marks_of_tools(tool: dict) -> None:
    translation = chat(U("a"), tools=[tool])
    assert translation.request["tools"][0]["cache_control"] == MARK
    assert not translation.ignored
    finished(translation)


def test_marks_of_messages() -> None:
    call = A(None, TC("c1"), cache_control=MARK)
    result = {**T("c1", "x"), "cache_control": MARK}
    translation = chat(S("s", cache_control=MARK), U("a", cache_control=MARK), call, result)
    request = translation.request
    assert marks(request) == ["s", "a", "tool_use", "tool_result"]
    assert not translation.ignored
    finished(translation)


def marks(request: dict) -> list[str]:
    """Where the marks are, in the order in which Anthropic reads."""
    found = [f"tool {tool['name']}" for tool in request.get("tools", ()) if "cache_control" in tool]
    found += [block["text"] for block in request.get("system", ()) if "cache_control" in block]
    for message in request["messages"]:
        for block in message["content"]:
            found += [part["text"] for part in block.get("content", ()) if "cache_control" in part]
            if "cache_control" in block:
                found.append(block.get("text", block["type"]))
    return found


TOOL = {"name": "f", "input_schema": {}, "cache_control": MARK}


def test_the_last_four_are_kept() -> None:
    result = {
        "type": "tool_result",
        "tool_use_id": "c1",
        "content": [marked("r")],
        "cache_control": MARK,
    }
    translation = chat(
        S([marked("s")]),
        U([marked("a")]),
        A(None, TC("c1")),
        U([result, marked("b")]),
        tools=[TOOL],
    )
    assert marks(translation.request) == ["a", "r", "tool_result", "b"]
    finished(translation)


def test_a_mark_for_the_whole_counts() -> None:
    translation = chat(*(U([marked(str(i))]) for i in range(4)), cache_control=MARK)
    assert marks(translation.request) == ["1", "2", "3"]
    finished(translation)


def test_four_are_all_kept() -> None:
    translation = chat(S([marked("s")]), U([marked("a")]), U([marked("b")]), tools=[TOOL])
    assert marks(translation.request) == ["tool f", "s", "a", "b"]


def test_an_hour_does_not_come_after_five_minutes() -> None:
    translation = chat(U([marked("a", HOUR)]), U([marked("b")]), U([marked("c", HOUR)]))
    kept = [block["cache_control"] for block in translation.request["messages"][0]["content"]]
    assert kept == [HOUR, MARK, MARK]
    finished(translation)


def test_a_result_of_a_tool_message_keeps_its_marks() -> None:
    request = chat(U("a"), A(None, TC("c1")), T("c1", [marked("x")])).request
    assert marks(request) == ["x"]
