"""Thinking is signed when it is made, and what comes back is judged as the API judges it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.record import JsonObject
from addon.stand_in.script import say
from addon.stand_in.stream import redacted, text, thinking, tool_use
from tests.stand_in.client import BY_KEY, BY_TOKEN, LINE, answered, asking, post, refusal

TOOLS = [{"name": "f", "input_schema": {"type": "object"}}]
ADAPTIVE = {"type": "adaptive", "display": "summarized"}
MANUAL = {"type": "enabled", "budget_tokens": 2000}
BINDING = "thinking-binding-controls-2026-08-01"
DROP = {"block_binding": {"prefix_mismatch_behavior": "drop_block"}}
INTERLEAVED = BY_KEY | {"anthropic-beta": "interleaved-thinking-2025-05-14"}


def loop(
    fake: FakeAnthropic,
    steps: int,
    headers: dict[str, str] = BY_KEY,
    ask: str = "go [[loop 9 f]]",
    **fields: Any,
) -> JsonObject:
    """A tool loop of so many answered steps; the body of the next request."""
    body = asking(ask, tools=TOOLS, **{"thinking": ADAPTIVE, **fields})
    for _ in range(steps):
        content = answered(fake, body, headers)["content"]
        body["messages"].append({"role": "assistant", "content": content})
        body["messages"].append({"role": "user", "content": results(content)})
    return body


def results(content: list[JsonObject]) -> list[JsonObject]:
    calls = [block for block in content if block["type"] == "tool_use"]
    return [{"type": "tool_result", "tool_use_id": c["id"], "content": "ok"} for c in calls]


def lose(body: JsonObject, *turns: int) -> JsonObject:
    """The body without the thinking of these messages."""
    body = deepcopy(body)
    for turn in turns:
        content = body["messages"][turn]["content"]
        body["messages"][turn]["content"] = [b for b in content if b["type"] != "thinking"]
    return body


def kinds(message: JsonObject) -> list[str]:
    return [block["type"] for block in message["content"]]


# -- when it thinks


@pytest.mark.parametrize(
    ("model", "asked", "thinks"),
    [
        ("claude-opus-4-8", None, False),
        ("claude-opus-4-8", {"type": "adaptive"}, True),
        ("claude-opus-5", None, True),
        ("claude-opus-5", {"type": "disabled"}, False),
        ("claude-sonnet-5-5", {"type": "between_tools"}, False),
        ("claude-sonnet-4-5", None, False),
        ("claude-sonnet-4-5", MANUAL, True),
    ],
)
def test_models_think_when_they_are_asked_or_by_default(
    fake: FakeAnthropic, model: str, asked: JsonObject | None, thinks: bool
) -> None:
    fields = {"thinking": asked} if asked else {}
    assert ("thinking" in kinds(answered(fake, asking("hi", model=model, **fields)))) is thinks


def test_display_hides_the_text_but_not_the_signature(fake: FakeAnthropic) -> None:
    hidden = answered(fake, asking("hi [[think Hm.]]", model="claude-opus-5"))["content"][0]
    shown = answered(fake, asking("hi [[think Hm.]]", thinking=ADAPTIVE))["content"][0]
    assert (hidden["thinking"], shown["thinking"]) == ("", "Hm.")
    assert len(hidden["signature"]) > 100


@pytest.mark.parametrize(
    ("model", "headers", "thinks_again"),
    [
        ("claude-haiku-4-5", INTERLEAVED, False),
        ("claude-sonnet-4-5", BY_KEY, False),
        ("claude-sonnet-4-5", INTERLEAVED, True),
    ],
)
def test_manual_models_think_between_tools_only_when_interleaved(
    fake: FakeAnthropic, model: str, headers: dict[str, str], thinks_again: bool
) -> None:
    body = loop(fake, 2, headers, model=model, thinking=MANUAL)
    assert (body["messages"][3]["content"][0]["type"] == "thinking") is thinks_again


# -- what must come back as it was


@pytest.mark.parametrize("model", ["claude-opus-4-8", "claude-opus-5-5", "claude-sonnet-4-5"])
def test_an_intact_loop_is_accepted(fake: FakeAnthropic, model: str) -> None:
    thinking = MANUAL if model == "claude-sonnet-4-5" else ADAPTIVE
    answered(fake, loop(fake, 4, INTERLEAVED, model=model, thinking=thinking), INTERLEAVED)


def test_cache_marks_and_string_content_do_not_change_a_conversation(fake: FakeAnthropic) -> None:
    body = loop(fake, 2, model="claude-opus-5-5")
    first = body["messages"][0]
    mark = {"cache_control": {"type": "ephemeral"}}
    first["content"] = [text(first["content"]) | mark]
    body["messages"][1]["content"][1] |= mark
    body |= {"output_config": {"effort": "low"}, "max_tokens": 99}
    answered(fake, body)


def edited(thought: JsonObject) -> None:
    thought["thinking"] += "!"


def forged(thought: JsonObject) -> None:
    thought["signature"] = "Zm9yZ2Vk" * 9


@pytest.mark.parametrize("change", [edited, forged])
@pytest.mark.parametrize("turn", [1, 3])
def test_edited_or_forged_thinking_is_refused(fake: FakeAnthropic, change: Any, turn: int) -> None:
    body = loop(fake, 2)
    change(body["messages"][turn]["content"][0])
    said = refusal(post(fake, body))
    assert said.startswith(
        f"400 invalid_request_error: messages.{turn}.content.0: Invalid `signature`"
    )
    assert "different conversation" not in said


TWICE = say(thinking("a"), text("b"), thinking("c"), tool_use("f", {}))


@pytest.mark.parametrize(
    "order",
    [pytest.param([2, 1, 0, 3], id="reordered"), pytest.param([0, 1, 3], id="partly dropped"),
     pytest.param([1, 0, 2, 3], id="moved behind text")],
)  # fmt: skip
def test_thinking_of_the_latest_turn_comes_back_whole(
    fake: FakeAnthropic, order: list[int]
) -> None:
    fake.script([TWICE])
    body = loop(fake, 1)
    whole = body["messages"][1]["content"]
    answered(fake, body)
    body["messages"][1]["content"] = [whole[place] for place in order]
    assert "in the latest assistant message cannot be modified" in refusal(post(fake, body))


def test_leaving_all_of_it_out_is_accepted_by_adaptive_models(fake: FakeAnthropic) -> None:
    fake.script([TWICE])
    answered(fake, lose(loop(fake, 1), 1))
    answered(fake, lose(loop(fake, 3), 1, 3, 5))


def test_redacted_thinking_is_signed_too(fake: FakeAnthropic) -> None:
    fake.script([say(redacted(""), tool_use("f", {}))])
    body = loop(fake, 1)
    answered(fake, body)
    body["messages"][1]["content"][0]["data"] = "forged"
    assert "Invalid `signature`" in refusal(post(fake, body))


# -- manual tool loops


@pytest.mark.parametrize("headers", [BY_KEY, INTERLEAVED], ids=["plain", "interleaved"])
def test_a_manual_loop_without_its_thinking_is_refused(
    fake: FakeAnthropic, headers: dict[str, str]
) -> None:
    body = loop(fake, 2, headers, model="claude-sonnet-4-5", thinking=MANUAL)
    said = refusal(post(fake, lose(body, 1, 3), headers))
    assert "Expected `thinking` or `redacted_thinking`, but found `tool_use`" in said
    without = lose(body, 1, 3)
    del without["thinking"]
    answered(fake, without, headers)


def test_an_interleaved_loop_needs_the_latest_thinking(fake: FakeAnthropic) -> None:
    body = loop(fake, 2, INTERLEAVED, model="claude-sonnet-4-5", thinking=MANUAL)
    assert "messages.3.content.0.type: Expected" in refusal(post(fake, lose(body, 3), INTERLEAVED))


def test_a_new_user_turn_ends_the_need(fake: FakeAnthropic) -> None:
    body = lose(loop(fake, 2, model="claude-sonnet-4-5", thinking=MANUAL), 1, 3)
    body["messages"] += [{"role": "assistant", "content": "done"}, {"role": "user", "content": "x"}]
    answered(fake, body)


def test_a_loop_begun_without_thinking_cannot_go_on_with_it(fake: FakeAnthropic) -> None:
    body = loop(fake, 1, model="claude-sonnet-4-5", thinking={"type": "disabled"})
    assert "Expected `thinking`" in refusal(post(fake, body | {"thinking": MANUAL}))


# -- preserved thinking


def test_a_changed_conversation_is_refused_where_thinking_is_preserved(fake: FakeAnthropic) -> None:
    for model, accepted in (("claude-opus-5-5", False), ("claude-opus-5", True)):
        body = loop(fake, 2, model=model, system="one")
        assert post(fake, body).status_code == 200
        response = post(fake, body | {"system": "two"})
        assert (response.status_code == 200) is accepted
        assert accepted or "The block is bound to a different conversation" in response.text


@pytest.mark.parametrize(
    "part",
    [{"system": "two"}, {"tools": [*TOOLS, {"name": "g", "input_schema": {"type": "object"}}]}],
)
def test_drop_block_drops_what_does_not_fit_and_says_so(
    fake: FakeAnthropic, part: JsonObject
) -> None:
    body = loop(fake, 2, model="claude-opus-5-5", system="one")
    body |= part | {"thinking": ADAPTIVE | DROP}
    message = answered(fake, body, BY_KEY | {"anthropic-beta": BINDING})
    assert [(t["path"], t["reason"]) for t in message["input_transformations"]] == [
        ("messages.1.content.0", "prefix_binding_mismatch"),
        ("messages.3.content.0", "prefix_binding_mismatch"),
    ]


def test_drop_block_does_not_cure_a_forged_signature(fake: FakeAnthropic) -> None:
    body = loop(fake, 1, model="claude-opus-5-5")
    forged(body["messages"][1]["content"][0])
    body["thinking"] = ADAPTIVE | DROP
    assert post(fake, body, BY_KEY | {"anthropic-beta": BINDING}).status_code == 400


@pytest.mark.parametrize(
    ("lost", "accepted"),
    [((1,), True), ((1, 3), True), ((5,), True), ((1, 3, 5), True), ((3,), False)],
    ids=["oldest", "two oldest", "newest", "all", "one in the middle"],
)
def test_blocks_may_go_from_either_end_but_leave_no_hole(
    fake: FakeAnthropic, lost: tuple[int, ...], accepted: bool
) -> None:
    body = loop(fake, 3, model="claude-opus-5-5")
    assert (post(fake, lose(body, *lost)).status_code == 200) is accepted


def test_a_block_once_left_out_cannot_be_put_back(fake: FakeAnthropic) -> None:
    whole = loop(fake, 2, model="claude-opus-5-5")
    part = lose(whole, 1)
    content = answered(fake, part)["content"]
    tail = [
        {"role": "assistant", "content": content},
        {"role": "user", "content": results(content)},
    ]
    answered(fake, part | {"messages": [*part["messages"], *tail]})
    back = whole | {"messages": [*whole["messages"], *tail]}
    assert "different conversation" in refusal(post(fake, back))


# -- other models, other accounts


def test_another_models_thinking_is_dropped_in_silence(fake: FakeAnthropic) -> None:
    body = loop(fake, 1, model="claude-opus-5")
    message = answered(
        fake, body | {"model": "claude-opus-4-8"}, BY_KEY | {"anthropic-beta": BINDING}
    )
    assert message["input_transformations"][0]["reason"] == "model_binding_mismatch"


def test_a_dated_name_is_the_same_model(fake: FakeAnthropic) -> None:
    body = loop(fake, 1, model="claude-opus-4-5", thinking=MANUAL)
    message = answered(
        fake, body | {"model": "claude-opus-4-5-20251101"}, BY_KEY | {"anthropic-beta": BINDING}
    )
    assert message["input_transformations"] == []


@pytest.mark.parametrize(("model", "dropped"), [("claude-haiku-5-5", 1), ("claude-opus-5", 0)])
def test_account_bound_thinking_is_dropped_on_the_other_account(
    fake: FakeAnthropic, model: str, dropped: int
) -> None:
    body = loop(fake, 1, BY_TOKEN, model=model, system=LINE)
    message = answered(fake, body, BY_KEY | {"anthropic-beta": BINDING})
    assert len(message["input_transformations"]) == dropped


def test_dropped_thinking_is_not_billed(fake: FakeAnthropic) -> None:
    body = loop(fake, 1, model="claude-opus-5") | {"model": "claude-opus-4-8"}
    with_it = answered(fake, body)["usage"]["input_tokens"]
    assert with_it == answered(fake, lose(body, 1))["usage"]["input_tokens"]


def test_a_model_row_can_be_changed(fake: FakeAnthropic) -> None:
    fake.models["claude-new-6"] = replace(fake.models["claude-opus-5-5"], id="claude-new-6")
    assert kinds(answered(fake, asking("hi", model="claude-new-6"))) == ["thinking", "text"]
