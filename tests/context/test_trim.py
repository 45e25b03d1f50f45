from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.context.trim import Cuts, apply, fits, plan
from tests.context.builders import TOOLS, call, result, text
from tests.context.validator import conversations, problems, unhurried


def tokens(request: dict[str, Any]) -> list[int]:
    """A token a character."""
    return [
        *(len(str(message["content"])) for message in request["messages"]),
        len(str(request.get("tools") or "")),
    ]


def size(request: dict[str, Any]) -> int:
    return sum(tokens(request))


def loops(count: int, length: int) -> list[dict[str, Any]]:
    pairs = [
        pair
        for at in range(count)
        for pair in (call(f"t{at}"), result(f"t{at}", f"{at} " * length))
    ]
    return [text("user", "go"), *pairs]


def trimmed(request: dict[str, Any], target: int) -> dict[str, Any]:
    return apply(request, plan(request, tokens, target))


def test_tool_descriptions_go_first():
    request = {"messages": loops(2, 10), "tools": [{**TOOLS[0], "description": "d" * 5_000}]}
    smaller = trimmed(request, size(request) - 1_000)
    assert smaller["tools"][0]["description"] == "d" * 497 + "..."
    assert size({**smaller, "tools": request["tools"]}) == pytest.approx(size(request), abs=60)


def test_long_contents_go_next_but_not_in_the_newest():
    request = {"messages": loops(12, 3_000)}
    smaller = trimmed(request, size(request) - 20_000)
    results = [len(message["content"][0]["content"]) for message in smaller["messages"][2::2]]
    assert all(length < 2_100 for length in results[:7])
    assert all(length > 5_000 for length in results[7:])


@pytest.mark.parametrize(("length", "cut"), [(8_000, False), (8_001, True)])
def test_a_text_of_just_the_length_is_left_as_it_is(length: int, cut: bool):
    request = {"messages": [{"role": "user", "content": "x" * length}]}
    (message,) = apply(request, Cuts(long_until=1))["messages"]
    assert ("characters left out" in str(message["content"])) is cut


def test_texts_and_inputs_keep_head_and_tail():
    long = {
        "type": "tool_use",
        "id": "t",
        "name": "w",
        "input": {"a": {"b": ["x" * 5_000]}, "n": 1},
    }
    messages = [
        text("user", "A" + "x" * 9_000 + "Z"),
        {"role": "assistant", "content": [long]},
        result("t", "ok"),
    ]
    first, second, _ = apply({"messages": messages}, Cuts(long_until=3))["messages"]
    shown = first["content"][0]["text"]
    assert (shown[0], shown[-1], 8_000 < len(shown) < 8_060) == ("A", "Z", True)
    assert 2_000 < len(second["content"][0]["input"]["a"]["b"][0]) < 2_060


def test_images_in_results_stay():
    image = {"type": "image", "source": {"type": "base64", "data": "A" * 9_000}}
    messages = [
        text("user", "go"),
        call("t"),
        result("t", [image, {"type": "text", "text": "x" * 9_000}]),
    ]
    content = apply({"messages": messages}, Cuts(long_until=3))["messages"][2]["content"][0][
        "content"
    ]
    assert content[0] == image
    assert len(content[1]["text"]) < 2_060


def test_then_the_oldest_of_the_middle_are_left_out_with_a_note():
    request = {"messages": loops(60, 600)}
    smaller = trimmed(request, 40_000)
    assert 20_000 < size(smaller) <= 40_000
    assert "messages left out to fit the context window" in str(smaller["messages"][4]["content"])
    assert smaller["messages"][-10:] == request["messages"][-10:]


def test_what_is_kept_word_for_word_is_made_up_for():
    prompt = text("user", "P" * 7_000)
    request = {"messages": [*loops(30, 600), text("assistant", "ok"), prompt, *loops(30, 600)[1:]]}
    cuts = plan(request, tokens, 60_000)
    assert cuts.pins == (62,)
    assert "P" * 7_000 in str(apply(request, cuts)["messages"])
    assert 40_000 < size(apply(request, cuts)) <= 60_000
    assert cuts.long_until < len(request["messages"])


def test_the_newest_are_cut_at_the_very_last():
    request = {"messages": loops(12, 6_000)}
    smaller = trimmed(request, 1)
    assert all(size({"messages": [message]}) < 2_300 for message in smaller["messages"])


def test_a_pending_call_at_the_end_is_no_orphan():
    request = {"messages": [*loops(20, 900), call("pending")]}
    assert problems(trimmed(request, 10_000)) == []


def test_cuts_of_another_conversation_do_not_fit():
    request = {"messages": loops(60, 600)}
    cuts = plan(request, tokens, 40_000)
    assert fits(request, cuts)
    assert not fits({"messages": loops(5, 1)}, cuts)
    assert not fits({"messages": [*request["messages"][:9], *loops(60, 1)]}, cuts)


@unhurried
@given(conversations(), st.floats(0.2, 1.2))
def test_trimmed_is_valid_and_reaches_the_target_if_anything_does(
    messages: list[dict[str, Any]], share: float
):
    request = {"messages": messages}
    target = round(size(request) * share)
    smaller = trimmed(request, target)
    assert problems(smaller) == []
    hardest = apply(request, Cuts(long_until=len(messages)))
    if target >= size(request) + 200:
        assert size(smaller) <= target
    assert size(smaller) <= size(hardest) + 500 or size(smaller) <= target
    assert trimmed(request, target) == smaller


@unhurried
@given(conversations(), conversations(most_turns=3))
def test_the_same_cuts_give_the_same_bytes_while_the_conversation_grows(
    messages: list[dict[str, Any]], more: list[dict[str, Any]]
):
    cuts = plan({"messages": messages}, tokens, size({"messages": messages}) // 2)
    before = apply({"messages": messages}, cuts)["messages"]
    after = apply({"messages": [*messages, text("assistant", "ok"), *more]}, cuts)["messages"]
    assert after[: len(before)] == before
