"""What became of a request on its way, and what differs from the turn before."""

from __future__ import annotations

from typing import Any

from addon.api.changes import on_the_way, since_last_turn

USER = {"role": "user", "content": "hi"}
NATIVE = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": [USER]}


def said(changes: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(c["what"], c["change"], c.get("addon", "")) for c in changes]


def test_nothing_is_changed_in_a_request_that_is_passed_on() -> None:
    assert on_the_way(NATIVE, NATIVE, [], native=True) == []
    marked = {
        "role": "user",
        "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}],
    }
    assert (
        on_the_way(NATIVE, {**NATIVE, "messages": [marked]}, ["cache_control"], native=True) == []
    )


def test_each_change_of_a_native_request_names_its_addon() -> None:
    sent = {
        "model": "claude-opus-5-5",
        "max_tokens": 9,
        "stream": True,
        "system": [{"type": "text", "text": "You are"}],
        "output_config": {"effort": "high"},
        "messages": [{"role": "user", "content": "summary"}, USER],
    }
    asked = {
        **NATIVE,
        "model": "big",
        "messages": [{"role": "user", "content": "old"}, USER],
        "seed": 1,
    }
    assert said(on_the_way(asked, sent, ["model", "system", "context"], native=True)) == [
        ("model", "rewritten", "Translate"),
        ("messages[0]", "rewritten", "ContextWindow"),
        ("seed", "removed", "Upstream"),
        ("stream", "added", "Upstream"),
        ("system[0]", "added", "Upstream"),
        ("output_config", "added", "Thinking"),
    ]


def test_of_another_form_only_the_common_fields_are_compared() -> None:
    chat = {
        "model": "big",
        "temperature": 1,
        "messages": [{"role": "system", "content": "x"}, USER],
        "seed": 3,
    }
    sent = {
        "model": "claude-opus-5-5",
        "system": [{"type": "text", "text": "x"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "changed"}]}],
        "max_tokens": 9,
    }
    assert said(on_the_way(chat, sent, [], native=False)) == [
        ("model", "rewritten", "Translate"),
        ("temperature", "removed", "Translate"),
        ("seed", "removed", "Translate"),
        ("max_tokens", "added", "Translate"),
    ]


def test_a_turn_that_only_grows_adds_messages() -> None:
    more = [{"role": "assistant", "content": "ho"}, {"role": "user", "content": "and?"}]
    changes = since_last_turn(NATIVE, {**NATIVE, "messages": [USER, *more]})
    assert said(changes) == [("messages[1]", "added", ""), ("messages[2]", "added", "")]
    assert "and?" in changes[1]["now"]


def test_what_breaks_the_cache_is_found() -> None:
    tools = [{"name": name, "input_schema": {}} for name in ("a", "b", "c")]
    before = {
        **NATIVE,
        "tools": tools[:2],
        "system": "It is 9:00",
        "thinking": {"type": "adaptive"},
    }
    now = {**NATIVE, "tools": [tools[2], tools[1]], "system": "It is 9:01"}
    assert said(since_last_turn(before, now)) == [
        ("tools[a]", "removed", ""),
        ("tools[c]", "added", ""),
        ("system[0]", "rewritten", ""),
        ("thinking", "removed", ""),
    ]
    assert since_last_turn(now, {**now, "tools": now["tools"][::-1]}) == []


def test_whatever_was_sent_can_be_compared() -> None:
    odd: list[Any] = [
        None,
        3,
        "x",
        [],
        {},
        [3],
        [None],
        {"messages": 3},
        {"tools": [3, {}], "system": 4},
    ]
    for one in odd:
        for other in odd:
            on_the_way(one, other, [], native=True)
            since_last_turn(one, other)
            since_last_turn({"messages": one, "tools": other}, {"messages": other, "tools": one})
