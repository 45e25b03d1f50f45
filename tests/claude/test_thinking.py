"""The important cells by hand; test_thinking_table.py has them all."""

import copy
from typing import Any

import pytest

from addon.claude.names import ModelChoice, parse
from addon.claude.thinking import (
    BINDING_BETA,
    FAST_BETA,
    INTERLEAVED_BETA,
    Prepared,
    ThinkingOptions,
    apply_thinking,
)
from addon.claude.thinking_request import Budgets, ThinkingRequest
from addon.core.errors import BadRequest
from tests.claude.support import CATALOGUE, results, text, thought, user

TOOLS = [{"name": "read", "input_schema": {"type": "object"}}]
ARMED = {"prefix_mismatch_behavior": "drop_block"}


def prepare(name: str, thinking_request: ThinkingRequest | None = None, **fields: Any) -> Prepared:
    """`fields`: of the request; `options` and `max_tokens_given` apart."""
    options = fields.pop("options", ThinkingOptions())
    given = fields.pop("max_tokens_given", "max_tokens" in fields)
    choice = parse(name)
    assert choice is not None
    request = {"model": choice.id, "messages": [user("hi")], **fields}
    before = copy.deepcopy(request)
    prepared = apply_thinking(
        request,
        thinking_request or ThinkingRequest(),
        CATALOGUE.get(choice.id),
        options,
        max_tokens_given=given,
        choice=choice,
    )
    assert request == before, "the client's request was changed in place"
    return prepared


def effort(request: dict[str, Any]) -> str | None:
    return request.get("output_config", {}).get("effort")


# ------------------------------------------------------------------------------------------------- levels and "off"

LEVELS = [
    # name, level, thinking, effort
    ("claude-opus-4-8", "high", {"type": "adaptive", "display": "summarized"}, "high"),
    ("claude-opus-4-5", "high", {"type": "enabled", "budget_tokens": 63_999}, None),
    ("claude-haiku-4-5", "high", {"type": "enabled", "budget_tokens": 63_999}, None),
    ("claude-opus-4-6", "xhigh", {"type": "adaptive"}, "high"),
    ("claude-opus-4-6", "max", {"type": "adaptive"}, "max"),
    ("claude-opus-4-7", "xhigh", {"type": "adaptive", "display": "summarized"}, "xhigh"),
    ("claude-opus-4-8", "minimal", {"type": "adaptive", "display": "summarized"}, "low"),
    ("claude-opus-4-5", "minimal", {"type": "enabled", "budget_tokens": 1024}, None),
    ("claude-sonnet-4-5", "low", {"type": "enabled", "budget_tokens": 5000}, None),
    ("claude-sonnet-4-5", "medium", {"type": "enabled", "budget_tokens": 20_000}, None),
    ("claude-sonnet-4-5", "max", {"type": "enabled", "budget_tokens": 63_999}, None),
    ("claude-opus-4-8", "none", None, None),
    ("claude-sonnet-5", "none", {"type": "disabled"}, None),
    ("claude-sonnet-5-5", "none", {"type": "between_tools"}, None),
    (
        "claude-opus-5-5",
        "none",
        {"type": "adaptive", "display": "summarized", "block_binding": ARMED},
        "low",
    ),
    ("claude-opus-4-5", "none", None, None),
    ("claude-haiku-5-5", "none", {"type": "disabled"}, None),
    ("claude-fable-5", "none", {"type": "adaptive", "display": "summarized"}, "low"),
]


@pytest.mark.parametrize(
    ("name", "level", "thinking", "wanted"), LEVELS, ids=[f"{c[0]}-{c[1]}" for c in LEVELS]
)
def test_reasoning_effort(
    name: str, level: str, thinking: dict[str, Any] | None, wanted: str | None
) -> None:
    request = prepare(name, ThinkingRequest(effort=level)).request
    assert (request.get("thinking"), effort(request)) == (thinking, wanted)


@pytest.mark.parametrize("level", ["ultra", "", "HIGHEST"])
def test_unknown_level_is_refused(level: str) -> None:
    with pytest.raises(BadRequest) as caught:
        prepare("claude-opus-5", ThinkingRequest(effort=level))
    assert caught.value.param == "reasoning_effort"


def test_level_in_capitals_is_understood() -> None:
    assert effort(prepare("claude-opus-5", ThinkingRequest(effort="HIGH")).request) == "high"


def test_names_that_ask_for_thinking() -> None:
    assert prepare("claude-4.5-opus-high-thinking").request["thinking"]["type"] == "enabled"
    assert effort(prepare("claude-4.6-opus-max-thinking").request) == "max"
    assert effort(prepare("claude-fable-5-thinking-xhigh").request) == "xhigh"
    fast = prepare("claude-opus-4-8-thinking-high-fast").request
    assert (fast["thinking"]["type"], effort(fast), "speed" in fast) == ("adaptive", "high", False)


def test_reasoning_effort_beats_the_name() -> None:
    assert (
        effort(prepare("claude-opus-5-thinking-max", ThinkingRequest(effort="low")).request)
        == "low"
    )


# ------------------------------------------------------------------------------------------------------- precedence

PRECEDENCE = {
    "thinking off beats everything": (
        "claude-opus-5-high",
        ThinkingRequest(thinking={"type": "disabled"}, effort="max"),
        "disabled",
        None,
    ),
    "thinking on takes its level from the effort": (
        "claude-opus-5",
        ThinkingRequest(thinking={"type": "adaptive"}, effort="low"),
        "adaptive",
        "low",
    ),
    "thinking on takes its level from the name": (
        "claude-opus-5-low",
        ThinkingRequest(thinking={"type": "adaptive"}),
        "adaptive",
        "low",
    ),
    "thinking on beats effort none": (
        "claude-opus-5",
        ThinkingRequest(thinking={"type": "adaptive"}, effort="none"),
        "adaptive",
        None,
    ),
    "a budget beats an effort": (
        "claude-opus-5",
        ThinkingRequest(thinking={"type": "enabled", "budget_tokens": 5000}, effort="max"),
        "adaptive",
        "low",
    ),
    "enabled false beats an effort": (
        "claude-opus-5",
        ThinkingRequest(enabled=False, effort="max"),
        "disabled",
        None,
    ),
    "a reasoning budget beats a name that says none": (
        "claude-opus-5-none",
        ThinkingRequest(budget=5000),
        "adaptive",
        "low",
    ),
    "effort none beats the name": (
        "claude-opus-5-thinking-high",
        ThinkingRequest(effort="none"),
        "disabled",
        None,
    ),
    "the name beats the configured default": (
        "claude-opus-5-low",
        ThinkingRequest(),
        "adaptive",
        "low",
    ),
    "a name that says none beats the configured default": (
        "claude-opus-5-none",
        ThinkingRequest(),
        "disabled",
        None,
    ),
    "the configured default is the last resort": (
        "claude-opus-4-8",
        ThinkingRequest(),
        "adaptive",
        "xhigh",
    ),
    "thinking in the name takes the default's level": (
        "claude-opus-4-8-thinking",
        ThinkingRequest(),
        "adaptive",
        "xhigh",
    ),
}


@pytest.mark.parametrize("case", PRECEDENCE)
def test_precedence(case: str) -> None:
    name, thinking_request, kind, wanted = PRECEDENCE[case]
    if kind == "adaptive" and wanted is None:
        wanted = "xhigh"  # the default's
    request = prepare(
        name, thinking_request, options=ThinkingOptions(default_effort="xhigh")
    ).request
    assert (request["thinking"]["type"], effort(request)) == (kind, wanted)


def test_silence_leaves_a_model_that_does_not_think_by_default_alone() -> None:
    assert "thinking" not in prepare("claude-opus-4-8").request
    assert "thinking" not in prepare("claude-opus-4-5").request


def test_silence_on_a_model_that_thinks_by_default_asks_to_see_it() -> None:
    request = prepare("claude-opus-5").request
    assert request["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert effort(request) is None


def test_effort_of_the_body_goes_with_thinking_left_off() -> None:
    request = prepare(
        "claude-opus-4-8", output_config={"effort": "low", "format": {"type": "json_schema"}}
    ).request
    assert "thinking" not in request
    assert request["output_config"] == {"effort": "low", "format": {"type": "json_schema"}}


def test_effort_above_high_is_lowered_when_thinking_is_off() -> None:
    off = ThinkingRequest(thinking={"type": "disabled"})
    assert effort(prepare("claude-opus-5", off, output_config={"effort": "max"}).request) == "high"


def test_effort_is_taken_off_where_it_is_refused() -> None:
    assert (
        "output_config"
        not in prepare("claude-sonnet-4-5", output_config={"effort": "high"}).request
    )


# ------------------------------------------------------------------------------------------- budgets and max_tokens


def test_budget_becomes_the_nearest_effort() -> None:
    for budget, wanted in [
        (1024, "low"),
        (12_000, "low"),
        (20_000, "medium"),
        (40_000, "medium"),
        (63_999, "high"),
    ]:
        thinking_request = ThinkingRequest(thinking={"type": "enabled", "budget_tokens": budget})
        assert effort(prepare("claude-opus-5", thinking_request).request) == wanted


@pytest.mark.parametrize(
    ("asked", "sent"), [(200_000, 63_999), (64_000, 63_999), (30_000, 30_000), (5, 1024)]
)
def test_budget_fits_below_max_tokens(asked: int, sent: int) -> None:
    thinking_request = ThinkingRequest(thinking={"type": "enabled", "budget_tokens": asked})
    assert prepare("claude-opus-4-5", thinking_request).request["thinking"] == {
        "type": "enabled",
        "budget_tokens": sent,
    }


@pytest.mark.parametrize("max_tokens", [1, 500, 20_000, 64_000, 1_000_000])
def test_max_tokens_is_raised_to_the_maximum_for_a_budget(max_tokens: int) -> None:
    request = prepare(
        "claude-opus-4-5", ThinkingRequest(effort="high"), max_tokens=max_tokens
    ).request
    assert (request["max_tokens"], request["thinking"]["budget_tokens"]) == (64_000, 63_999)


@pytest.mark.parametrize(
    ("name", "given", "sent"),
    [
        ("claude-opus-5", 3000, 3000),
        ("claude-opus-5", 500_000, 128_000),
        ("claude-opus-5", None, 64_000),
        ("claude-opus-4-5", None, 64_000),
        ("claude-opus-4-5", 100, 100),
        ("claude-opus-4-5", 200_000, 64_000),
    ],
)
def test_max_tokens_is_the_clients_within_the_model(
    name: str, given: int | None, sent: int
) -> None:
    fields = {} if given is None else {"max_tokens": given}
    assert prepare(name, **fields).request["max_tokens"] == sent


def test_max_tokens_that_the_client_did_not_give_is_the_models_default() -> None:
    assert (
        prepare("claude-opus-5", max_tokens=4096, max_tokens_given=False).request["max_tokens"]
        == 64_000
    )


def test_tiny_answers_get_room_where_thinking_cannot_stop() -> None:
    request = prepare("claude-opus-5-5", max_tokens=5).request
    assert (request["max_tokens"], effort(request)) == (2048, "low")
    request = prepare("claude-opus-5-5-max", max_tokens=5).request
    assert (request["max_tokens"], effort(request)) == (2048, "max")


def test_tiny_answers_are_not_thought_about_unless_asked() -> None:
    request = prepare("claude-opus-5", max_tokens=16).request
    assert (request["max_tokens"], request["thinking"]) == (16, {"type": "disabled"})
    assert prepare("claude-opus-5-high", max_tokens=16).request["thinking"]["type"] == "adaptive"


@pytest.mark.parametrize("name", ["claude-opus-4-5-high", "claude-haiku-4-5-thinking"])
def test_an_answer_that_the_client_began_is_not_thought_about(name: str) -> None:
    begun = {"role": "assistant", "content": [text("{")]}
    prepared = prepare(name, messages=[user("JSON!"), begun], max_tokens=500, temperature=0)
    assert "thinking" not in prepared.request
    assert (prepared.request["max_tokens"], prepared.request["temperature"]) == (500, 0)


def test_a_paused_answer_that_began_with_thinking_goes_on_thinking() -> None:
    paused = {"role": "assistant", "content": [thought("hm"), {"type": "server_tool_use"}]}
    request = prepare("claude-opus-4-5-high", messages=[user("search"), paused]).request
    assert request["thinking"]["type"] == "enabled"


def test_budgets_are_the_operators() -> None:
    options = ThinkingOptions(budgets=Budgets(high=30_000, medium=9000, low=100))
    budgets = [
        prepare("claude-opus-4-5", ThinkingRequest(effort=level), options=options).request[
            "thinking"
        ]["budget_tokens"]
        for level in ("max", "medium", "low")
    ]
    assert budgets == [30_000, 9000, 1024]


# ----------------------------------------------------------------------------------- sampling, tool_choice, betas, …


def test_sampling_is_taken_off_with_thinking_and_on_models_that_refuse_it() -> None:
    sampling = {"temperature": 0.2, "top_p": 0.9, "top_k": 5}
    for name in (
        "claude-opus-5",
        "claude-opus-4-8",
        "claude-opus-4-5-high",
        "claude-opus-4-6-high",
    ):
        prepared = prepare(name, **sampling)
        assert not set(sampling) & set(prepared.request), name
        assert set(sampling) <= set(prepared.notes)


def test_sampling_stays_without_thinking_but_never_temperature_and_top_p_together() -> None:
    request = prepare("claude-opus-4-6", temperature=0.2, top_p=0.9, top_k=5).request
    assert (request["temperature"], "top_p" in request, request["top_k"]) == (0.2, False, 5)
    assert prepare("claude-opus-4-6", top_p=0.9).request["top_p"] == 0.9


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("claude-opus-4-8", True),
        ("claude-opus-4-8-high", True),
        ("claude-opus-4-5", True),
        ("claude-opus-4-5-high", False),
        ("claude-opus-5-5", False),
        ("claude-sonnet-5-5", False),
        ("claude-fable-5-1", False),
    ],
)
def test_forced_tool_use_is_asked_for_in_words_where_it_is_refused(name: str, kept: bool) -> None:
    request = prepare(name, tools=TOOLS, tool_choice={"type": "any"}).request
    if kept:
        assert request["tool_choice"] == {"type": "any"}
        assert request["messages"] == [user("hi")]
    else:
        assert request["tool_choice"] == {"type": "auto"}
        assert request["messages"][-1]["content"][-1]["text"] == "You must call one of the tools."


def test_nudge_names_the_tool_and_keeps_one_call_at_a_time() -> None:
    choice = {"type": "tool", "name": "read", "disable_parallel_tool_use": True}
    request = prepare("claude-opus-5-5", tools=TOOLS, tool_choice=choice).request
    assert request["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert request["messages"][-1]["content"][-1]["text"] == "You must call the tool `read`."


def test_nudge_goes_to_the_last_user_turn() -> None:
    messages = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "no"}]
    request = prepare(
        "claude-opus-5-5", tools=TOOLS, tool_choice={"type": "any"}, messages=messages
    ).request
    assert [block["text"] for block in request["messages"][0]["content"]] == [
        "go",
        "You must call one of the tools.",
    ]
    assert request["messages"][1] == messages[1]


@pytest.mark.parametrize("choice", [{"type": "auto"}, {"type": "none"}, None])
def test_other_tool_choices_are_left_alone(choice: dict[str, Any] | None) -> None:
    request = prepare(
        "claude-opus-5-5", tools=TOOLS, tool_choice=choice, messages=[results("a")]
    ).request
    assert request["tool_choice"] == choice
    assert request["messages"] == [results("a")]


BETAS = {
    "claude-opus-4-5-high": {INTERLEAVED_BETA},
    "claude-sonnet-4-5-high": {INTERLEAVED_BETA},
    "claude-haiku-4-5-high": set(),
    "claude-opus-4-5": set(),
    "claude-opus-4-6-high": set(),
    "claude-opus-5-high": set(),
    "claude-opus-5-5": {BINDING_BETA},
    "claude-fable-5-2": {BINDING_BETA},
    "claude-haiku-5-5": {BINDING_BETA},
    "claude-sonnet-5-5": {BINDING_BETA},
    "claude-sonnet-5-5-none": set(),
    "claude-haiku-5-5-none": set(),
}


@pytest.mark.parametrize("name", BETAS)
def test_betas_only_where_needed(name: str) -> None:
    prepared = prepare(name, tools=TOOLS)
    assert prepared.betas == BETAS[name]
    assert ("block_binding" in prepared.request.get("thinking", {})) == (
        BINDING_BETA in prepared.betas
    )


def test_interleaving_needs_tools() -> None:
    assert not prepare("claude-opus-4-5-high").betas


@pytest.mark.parametrize(
    ("name", "fields", "fast", "betas"),
    [
        ("claude-opus-5-fast", {}, True, {FAST_BETA}),
        ("claude-opus-5", {"speed": "fast"}, True, {FAST_BETA}),
        ("claude-opus-5-5-fast", {}, True, {BINDING_BETA}),
        ("claude-sonnet-5-fast", {}, False, set()),
        ("claude-sonnet-5", {"speed": "fast"}, False, set()),
        ("claude-opus-5", {}, False, set()),
    ],
)
def test_fast_only_where_it_exists(
    name: str, fields: dict[str, str], fast: bool, betas: set[str]
) -> None:
    prepared = prepare(name, options=ThinkingOptions(allow_fast=True), **fields)
    assert ("speed" in prepared.request, prepared.betas) == (fast, betas)


def test_fast_only_when_allowed() -> None:
    assert "speed" not in prepare("claude-opus-5-fast").request
    assert prepare("claude-opus-5", speed="fast").notes == ("speed",)


DISPLAY = {
    "asked of the model that omits": ("claude-opus-5", ThinkingRequest(), "summarized"),
    "not asked of the model that shows": ("claude-opus-4-6-high", ThinkingRequest(), None),
    "the client's omitted is kept": (
        "claude-opus-5",
        ThinkingRequest(display="omitted"),
        "omitted",
    ),
    "thinking's own display wins": (
        "claude-opus-5",
        ThinkingRequest(thinking={"type": "adaptive", "display": "omitted"}, display="summarized"),
        "omitted",
    ),
    "a budget can have one too": (
        "claude-opus-4-5-high",
        ThinkingRequest(display="omitted"),
        "omitted",
    ),
}


@pytest.mark.parametrize("case", DISPLAY)
def test_display(case: str) -> None:
    name, thinking_request, display = DISPLAY[case]
    request = prepare(name, thinking_request).request
    assert request["thinking"].get("display") == display


@pytest.mark.parametrize(
    ("thinking", "param"),
    [
        ({}, "thinking.type"),
        ({"type": "sometimes"}, "thinking.type"),
        ({"type": "enabled", "budget_tokens": "many"}, "thinking.budget_tokens"),
        ({"type": "enabled", "budget_tokens": True}, "thinking.budget_tokens"),
    ],
)
def test_thinking_that_makes_no_sense_is_refused(thinking: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        prepare("claude-opus-5", ThinkingRequest(thinking=thinking))
    assert caught.value.param == param


def test_unknown_effort_in_output_config_is_refused() -> None:
    with pytest.raises(BadRequest) as caught:
        prepare("claude-opus-5", output_config={"effort": "ultra"})
    assert caught.value.param == "output_config.effort"


def test_unknown_model_is_treated_as_the_newest() -> None:
    choice = ModelChoice(id="claude-opus-7")
    model = CATALOGUE.get(choice.id)
    request = {
        "messages": [user("hi")],
        "temperature": 1,
        "tool_choice": {"type": "any"},
        "tools": TOOLS,
    }
    prepared = apply_thinking(
        request, ThinkingRequest(), model, ThinkingOptions(), max_tokens_given=False, choice=choice
    )
    assert prepared.request["thinking"]["type"] == "adaptive"
    assert prepared.request["tool_choice"] == {"type": "auto"}
    assert "temperature" not in prepared.request
