from __future__ import annotations

import copy
from typing import Any

import pytest

from addon.claude.subscription_request import SYSTEM_LINE, for_subscription

HOUR = {"type": "ephemeral", "ttl": "1h"}
PLAIN = {"type": "ephemeral"}


def request(mark: dict[str, str], *at: str) -> dict[str, Any]:
    """A request with a cache mark in some places."""

    def marked(place: str, block: dict[str, Any]) -> dict[str, Any]:
        return {**block, "cache_control": mark} if place in at else block

    part = marked("part", {"type": "text", "text": "found"})
    answer = {"type": "tool_result", "tool_use_id": "t", "content": [part]}
    call = {"type": "tool_use", "id": "t", "name": "n", "input": {"cache_control": HOUR}}
    return marked(
        "request",
        {
            "system": [marked("system", {"type": "text", "text": "Be brief."})],
            "tools": [marked("tool", {"name": "n", "input_schema": {}})],
            "messages": [
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": [call]},
                {"role": "user", "content": [marked("result", answer)]},
            ],
        },
    )


@pytest.mark.parametrize(
    "at",
    [("request",), ("system",), ("tool",), ("result",), ("part",), ("tool", "part")],
    ids="-and-".join,
)
def test_a_subscription_gets_marks_without_ttl_wherever_they_are(at: tuple[str, ...]):
    given = request(HOUR, *at)
    before = copy.deepcopy(given)
    sent = for_subscription(given, "")
    assert {**sent, "system": sent["system"][1:]} == request(PLAIN, *at)
    assert given == before


@pytest.mark.parametrize("at", [(), ("part", "system")], ids=["no-marks", "plain-marks"])
def test_what_holds_no_ttl_is_shared(at: tuple[str, ...]):
    given = request(PLAIN, *at)
    sent = for_subscription(given, " Mind the gap. ")
    assert sent["messages"] is given["messages"]
    assert [block["text"] for block in sent["system"]] == [
        SYSTEM_LINE,
        "Mind the gap.",
        "Be brief.",
    ]


def test_claude_code_says_its_line_itself():
    system = [{"type": "text", "text": SYSTEM_LINE}, {"type": "text", "text": "Be brief."}]
    assert for_subscription({"system": system}, "Mind the gap.")["system"] == system
