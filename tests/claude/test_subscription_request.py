from __future__ import annotations

from typing import Any

import pytest

from addon.claude.subscription_request import (
    SYSTEM_LINE,
    for_subscription,
    is_claude_code,
    with_betas,
)


def test_the_system_line_and_the_instruction_go_in_front():
    given = {"system": "Be brief.", "messages": [{"role": "user", "content": "go"}]}
    sent = for_subscription(given, " Mind the gap. ")
    assert sent["messages"] is given["messages"]
    assert [block["text"] for block in sent["system"]] == [
        SYSTEM_LINE,
        "Mind the gap.",
        "Be brief.",
    ]


@pytest.mark.parametrize("system", [5, {"type": "text"}])
def test_a_system_prompt_of_another_shape_is_left_for_anthropic_to_refuse(system: Any):
    assert for_subscription({"system": system}, "Mind the gap.") == {"system": system}


def test_the_line_is_not_said_twice():
    system = [{"type": "text", "text": SYSTEM_LINE}, {"type": "text", "text": "Be brief."}]
    assert for_subscription({"system": system}, "Mind the gap.")["system"] == system


ATTRIBUTION = "x-anthropic-billing-header: cc_version=2.1.197; cc_entrypoint=cli;"


@pytest.mark.parametrize(
    ("system", "headers", "known"),
    [
        (SYSTEM_LINE, [], True),
        ([{"type": "text", "text": ATTRIBUTION}], [], True),
        ([{"type": "text", "text": SYSTEM_LINE.replace(".", ", running within the")}], [], True),
        ("You are a Claude agent, built on Anthropic's Claude Agent SDK.", [], True),
        (None, ["x-claude-code-session-id"], True),
        ("You are Claude Codeine", [], False),
        ([{"type": "text", "text": "Hi"}, {"type": "text", "text": SYSTEM_LINE}], [], False),
        (5, [], False),
        ([5], [], False),
        ([{"type": "text", "text": 5}], [], False),
        (None, [], False),
    ],
)
def test_claude_code_is_known_by_its_first_words_or_its_session(
    system: Any, headers: list[str], known: bool
):
    assert is_claude_code({"system": system}, headers) is known


@pytest.mark.parametrize(
    ("given", "wanted", "refused", "sent"),
    [
        ([], [], (), []),
        ([], ["a", "b", "a"], (), [("anthropic-beta", "a,b")]),
        ([("Anthropic-Beta", "b , a")], ["a"], (), [("Anthropic-Beta", "b , a")]),
        (
            [("anthropic-beta", "a"), ("x", "y"), ("anthropic-beta", "b")],
            ["c"],
            (),
            [("anthropic-beta", "a"), ("x", "y"), ("anthropic-beta", "b,c")],
        ),
        ([("anthropic-beta", "a, b,c")], ["b"], ("b",), [("anthropic-beta", "a,c")]),
        ([("anthropic-beta", "a")], [], ("a",), []),
    ],
)
def test_betas_are_added_where_they_are_missing(
    given: Any, wanted: list[str], refused: tuple[str, ...], sent: Any
):
    assert with_betas(given, wanted, refused) == sent
