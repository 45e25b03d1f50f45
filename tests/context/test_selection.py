from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.context.selection import Span, choose, needed, pinned, repair, safe_cuts, verbatim
from addon.context.view import replacement
from tests.context.builders import call, result, text
from tests.context.validator import conversations, problems, unhurried


def talk(count: int) -> list[dict[str, Any]]:
    return [text("assistant" if at % 2 else "user", f"m{at}") for at in range(count)]


@pytest.mark.parametrize(("count", "span"), [(13, None), (14, Span(3, 4)), (20, Span(3, 10))])
def test_first_three_and_last_ten_are_protected(count: int, span: Span | None):
    assert choose(talk(count), [5_000] * count, 10**9) == span


def test_just_enough_is_chosen_oldest_first():
    assert choose(talk(30), [1_000] * 30, 4_500) == Span(3, 8)


def test_little_is_not_worth_a_summary():
    assert choose(talk(30), [10] * 30, 1_000) is None


def test_a_span_ends_behind_what_is_summarized_already():
    assert choose(talk(30), [5_000] * 30, 1, after=9) == Span(3, 10)


def test_a_call_stays_with_its_result_on_both_edges():
    run = [text("user", "go")]
    for at in range(10):
        run += [call(f"t{at}"), result(f"t{at}", "ok")]
    span = choose(run, [3_000] * len(run), 4_000)
    assert span == Span(3, 5)
    assert run[span.start]["role"] == "assistant"
    assert run[span.end]["role"] == "assistant"


def test_results_that_come_late_hold_the_cut_back():
    messages = [
        call("a"),
        result("b", "?"),
        text("assistant", "x"),
        result("a", "ok"),
        text("user", "y"),
    ]
    assert safe_cuts(messages) == {0, 4, 5}


@unhurried
@given(conversations(), st.integers(1, 50_000))
def test_a_replaced_span_leaves_a_valid_conversation(messages: list[dict[str, Any]], need: int):
    assert not problems({"messages": messages})
    tokens = [len(str(message["content"])) for message in messages]
    span = choose(messages, tokens, need)
    if span is None:
        return
    made = replacement(messages, span, "[summary]", pinned(messages, span))
    after = [*messages[: span.start], *made, *messages[span.end :]]
    assert problems({"messages": after}) == []
    assert after[:3] == messages[:3]
    assert after[-10:] == messages[-10:]
    assert span.start >= 3
    assert span.end <= len(messages) - 10


@pytest.mark.parametrize("before", ["user", "assistant", "system"])
@pytest.mark.parametrize("after", ["user", "assistant", "system"])
def test_roles_take_turns_around_a_replacement(before: str, after: str):
    messages = [text(before, "b"), text("user", "x"), text("assistant", "y"), text(after, "a")]
    roles = [message["role"] for message in replacement(messages, Span(1, 3), "s", [])]
    legal = {"user": {"assistant", "system"}, "assistant": {"user"}, "system": {"assistant"}}
    whole = [before, *roles, after]
    assert all(second in legal[first] for first, second in pairwise(whole))
    assert "user" in roles


@pytest.mark.parametrize(("excess", "tokens"), [(20_000, 28_572), (7, 10), (100_000, 116_384)])
def test_a_summary_is_taken_for_thirty_percent_of_what_it_replaces(excess: int, tokens: int):
    assert needed(excess) == tokens


TODO = {
    "type": "tool_use",
    "id": "t1",
    "name": "TodoWrite",
    "input": {"todos": [{"content": "é", "status": "done"}]},
}
PLAN = {
    "todo-call": ({"role": "assistant", "content": [TODO]}, True),
    "codex-plan": (call("a", name="update_plan"), True),
    "other-call": (call("a", name="read_file"), False),
    "heading": (text("assistant", "Right.\n## Plan\n1. do it"), True),
    "check-boxes": (text("assistant", "- [x] one\n- [ ] two\n"), True),
    "one-check-box": (text("assistant", "- [x] one\n"), False),
    "word": (text("assistant", "I plan to do it."), False),
}


@pytest.mark.parametrize(("message", "kept"), PLAN.values(), ids=PLAN)
def test_the_newest_plan_is_kept_word_for_word(message: dict[str, Any], kept: bool):
    messages = [*talk(5), {**message}, *talk(15)]
    assert (5 in pinned(messages, Span(3, 10))) is kept


def test_an_outdated_plan_is_not_kept():
    plan = {"role": "assistant", "content": [TODO]}
    messages = [*talk(5), plan, text("user", "x"), plan, *talk(15)]
    assert pinned(messages, Span(3, 7)) == []
    assert pinned(messages, Span(3, 9)) == [7]


def test_the_last_prompt_is_kept_unless_it_is_huge():
    run = [m for at in range(8) for m in (call(f"t{at}"), result(f"t{at}", "ok"))]
    for prompt, kept in (("do it", [4]), ("x" * 40_001, [])):
        messages = [*talk(4), text("user", prompt), *run]
        assert pinned(messages, Span(3, 9)) == kept


def test_system_messages_in_the_span_are_kept():
    messages = [*talk(5), text("system", "Be brief."), *talk(15)]
    assert pinned(messages, Span(3, 10)) == [5]


def test_verbatim_shows_text_images_and_the_plan_call():
    image = {
        "type": "image",
        "source": {"type": "url", "url": "u"},
        "cache_control": {"type": "ephemeral"},
    }
    content = [
        {"type": "text", "text": "see"},
        image,
        TODO,
        {"type": "thinking", "thinking": "", "signature": "s"},
    ]
    shown = verbatim({"role": "assistant", "content": content})
    assert [block["type"] for block in shown] == ["text", "image", "text"]
    assert shown[2]["text"] == 'TodoWrite: {"todos": [{"content": "é", "status": "done"}]}'
    assert "cache_control" not in shown[1]


BROKEN = {
    "orphan-result": [
        text("user", "a"),
        text("assistant", "b"),
        result("t", "x"),
        text("assistant", "c"),
    ],
    "orphan-call": [text("user", "a"), call("t"), text("user", "b")],
    "pending-call-at-the-end": [text("user", "a"), call("t")],
    "assistant-first": [text("assistant", "a"), text("user", "b")],
    "same-role-twice": [
        text("user", "a"),
        text("user", "b"),
        call("t"),
        text("user", "c"),
        result("t", "x"),
    ],
    "nothing-left": [result("t", "x")],
    "empty-text": [text("user", "a"), text("assistant", ""), text("user", "b")],
}


@pytest.mark.parametrize("messages", BROKEN.values(), ids=BROKEN)
def test_repair_makes_it_valid(messages: list[dict[str, Any]]):
    assert problems({"messages": messages})
    assert problems({"messages": repair(messages)}) == []


@unhurried
@given(conversations())
def test_repair_leaves_a_valid_conversation_as_it_is(messages: list[dict[str, Any]]):
    repaired = repair(messages)
    texts = [
        {"type": "text", "text": m["content"]} if isinstance(m["content"], str) else m["content"]
        for m in messages
    ]
    assert [m["content"] for m in repaired] == [[t] if isinstance(t, dict) else t for t in texts]
