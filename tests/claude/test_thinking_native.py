import copy
from typing import Any

import pytest

from addon.claude.names import parse
from addon.claude.thinking import BINDING_BETA, INTERLEAVED_BETA, Prepared, ThinkingOptions
from addon.claude.thinking_native import fix_native, only_the_name_asks
from tests.claude.support import CATALOGUE, user

INTERLEAVED = frozenset({INTERLEAVED_BETA})


def fix(name: str, betas: frozenset[str] = frozenset(), **fields: Any) -> Prepared:
    choice = parse(name)
    assert choice is not None
    request = {"model": choice.id, "max_tokens": 8000, "messages": [user("hi")], **fields}
    before = copy.deepcopy(request)
    prepared = fix_native(request, CATALOGUE.get(choice.id), ThinkingOptions(), betas=betas)
    assert request == before, "the client's request was changed in place"
    return prepared


ACCEPTED = {
    "nothing asked": ("claude-opus-5", {}),
    "adaptive": (
        "claude-opus-5",
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
    ),
    "adaptive with binding": (
        "claude-opus-5-5",
        {"thinking": {"type": "adaptive", "display": "omitted", "block_binding": {}}},
    ),
    "disabled": (
        "claude-opus-5",
        {"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}},
    ),
    "disabled on a model that is off by default": (
        "claude-opus-4-8",
        {"thinking": {"type": "disabled"}},
    ),
    "between tools": ("claude-sonnet-5-5", {"thinking": {"type": "between_tools"}}),
    "a budget where one is taken": (
        "claude-opus-4-5",
        {"thinking": {"type": "enabled", "budget_tokens": 7999}},
    ),
    "a budget where one is deprecated": (
        "claude-opus-4-6",
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    ),
    "temperature where it is taken": ("claude-opus-4-6", {"temperature": 0.3, "top_k": 4}),
    "sampling that goes with a budget": (
        "claude-opus-4-5",
        {"thinking": {"type": "enabled", "budget_tokens": 2000}, "temperature": 1},
    ),
    "top_p that goes with a budget": (
        "claude-opus-4-5",
        {"thinking": {"type": "enabled", "budget_tokens": 2000}, "top_p": 0.95},
    ),
    "forced tools where they are taken": (
        "claude-opus-5",
        {"tools": [{}], "tool_choice": {"type": "any"}},
    ),
    "fast": ("claude-opus-5", {"speed": "fast"}),
    "prefill, even where it is refused": (
        "claude-opus-5",
        {"messages": [user("a"), {"role": "assistant", "content": "b"}]},
    ),
    "a budget that is no number, for Anthropic to name": (
        "claude-opus-4-5",
        {"thinking": {"type": "enabled", "budget_tokens": "x"}},
    ),
    "tiny answers": ("claude-opus-5-5", {"max_tokens": 1}),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted_request_is_not_changed(case: str) -> None:
    name, fields = ACCEPTED[case]
    prepared = fix(name, **fields)
    assert prepared.request == {
        "model": name,
        "max_tokens": 8000,
        "messages": [user("hi")],
        **fields,
    }
    assert (prepared.betas, prepared.notes) == (frozenset(), ())


def test_budget_beyond_max_tokens_is_left_with_interleaving() -> None:
    budget = {"type": "enabled", "budget_tokens": 50_000}
    assert fix("claude-opus-4-5", INTERLEAVED, thinking=budget).notes == ()
    assert fix("claude-haiku-4-5", INTERLEAVED, thinking=budget).notes == ("thinking",)


THINKING = {
    "a budget on an adaptive model": (
        "claude-opus-5",
        {"type": "enabled", "budget_tokens": 20_000},
        "adaptive",
        "medium",
    ),
    "disabled on a model that never stops": (
        "claude-opus-5-5",
        {"type": "disabled"},
        "adaptive",
        "low",
    ),
    "between_tools on a model that never stops": (
        "claude-fable-5",
        {"type": "between_tools"},
        "adaptive",
        "low",
    ),
    "disabled on sonnet 5.5": ("claude-sonnet-5-5", {"type": "disabled"}, "between_tools", None),
    "between_tools on opus 5": ("claude-opus-5", {"type": "between_tools"}, "disabled", None),
    "between_tools on opus 4.8": ("claude-opus-4-8", {"type": "between_tools"}, None, None),
    "adaptive on opus 4.5": ("claude-opus-4-5", {"type": "adaptive"}, "enabled", None),
}


@pytest.mark.parametrize("case", THINKING)
def test_refused_thinking_becomes_the_nearest(case: str) -> None:
    name, thinking, kind, effort = THINKING[case]
    request = fix(name, thinking=thinking).request
    assert (request.get("thinking") or {}).get("type") == kind
    assert request.get("output_config", {}).get("effort") == effort
    assert request["max_tokens"] == 8000


@pytest.mark.parametrize(
    "thinking", [{"type": "enabled", "budget_tokens": 2000}, {"type": "adaptive"}]
)
def test_thinking_gives_way_to_an_answer_that_the_client_began(thinking: dict[str, Any]) -> None:
    begun = {"role": "assistant", "content": "{"}
    prepared = fix("claude-opus-4-5", messages=[user("JSON!"), begun], thinking=thinking)
    assert "thinking" not in prepared.request
    assert prepared.notes == ("thinking",)


def test_effort_of_the_body_beats_the_budget() -> None:
    request = fix(
        "claude-opus-5",
        thinking={"type": "enabled", "budget_tokens": 2000},
        output_config={"effort": "max"},
    )
    assert request.request["output_config"] == {"effort": "max"}


def test_converted_thinking_gets_the_betas_it_needs() -> None:
    assert fix("claude-opus-5-5", thinking={"type": "enabled", "budget_tokens": 2000}).betas == {
        BINDING_BETA
    }
    assert fix("claude-opus-4-5", thinking={"type": "adaptive"}, tools=[{}]).betas == INTERLEAVED


@pytest.mark.parametrize(
    ("max_tokens", "budget", "sent"),
    [
        (8000, 8000, 7999),
        (8000, 90_000, 7999),
        (8000, 3, 1024),
        (1025, 4000, 1024),
        (1024, 4000, None),
        (10, 10, None),
    ],
)
def test_budget_fits_max_tokens_or_thinking_goes(
    max_tokens: int, budget: int, sent: int | None
) -> None:
    request = fix(
        "claude-opus-4-5",
        thinking={"type": "enabled", "budget_tokens": budget},
        max_tokens=max_tokens,
    ).request
    assert request["max_tokens"] == max_tokens
    assert (request.get("thinking") or {}).get("budget_tokens") == sent


@pytest.mark.parametrize(
    ("effort", "budget"), [("low", 4000), ("medium", 4000), ("high", 3999), (None, 4000)], ids=str
)
def test_adaptive_on_a_manual_model_leaves_half_for_the_answer(
    effort: str | None, budget: int
) -> None:
    config = {"output_config": {"effort": effort}} if effort else {}
    request = fix("claude-sonnet-4-5", thinking={"type": "adaptive"}, **config).request
    assert 1024 <= request["thinking"]["budget_tokens"] <= budget
    assert "output_config" not in request


@pytest.mark.parametrize(
    ("name", "thinking", "effort", "sent"),
    [
        ("claude-opus-5", {"type": "disabled"}, "max", "high"),
        ("claude-opus-4-6", {"type": "adaptive"}, "xhigh", "high"),
        ("claude-opus-4-5", None, "max", "high"),
        ("claude-haiku-4-5", None, "low", None),
    ],
)
def test_refused_effort_becomes_the_nearest(
    name: str, thinking: Any, effort: str, sent: str | None
) -> None:
    fields = {"thinking": thinking} if thinking else {}
    request = fix(name, output_config={"effort": effort}, **fields).request
    assert request.get("output_config", {}).get("effort") == sent


@pytest.mark.parametrize(
    ("name", "fields", "gone"),
    [
        (
            "claude-opus-5",
            {"temperature": 0.5, "top_p": 0.9, "top_k": 3},
            {"temperature", "top_p", "top_k"},
        ),
        ("claude-opus-4-6", {"temperature": 0.5, "top_p": 0.9}, {"top_p"}),
        (
            "claude-opus-4-5",
            {
                "thinking": {"type": "enabled", "budget_tokens": 2000},
                "temperature": 0.5,
                "top_p": 0.5,
                "top_k": 3,
            },
            {"temperature", "top_p", "top_k"},
        ),
    ],
    ids=["new model", "both together", "with a budget"],
)
def test_refused_sampling_goes(name: str, fields: dict[str, Any], gone: set[str]) -> None:
    prepared = fix(name, **fields)
    assert set(fields) - set(prepared.request) == gone == set(prepared.notes)


@pytest.mark.parametrize(
    ("name", "thinking"),
    [("claude-opus-5-5", None), ("claude-opus-4-5", {"type": "enabled", "budget_tokens": 2000})],
)
def test_refused_forced_tool_use_is_asked_for_in_words(name: str, thinking: Any) -> None:
    fields = {"thinking": thinking} if thinking else {}
    request = fix(name, tools=[{}], tool_choice={"type": "tool", "name": "read"}, **fields).request
    assert request["tool_choice"] == {"type": "auto"}
    assert "`read`" in request["messages"][-1]["content"][-1]["text"]


def test_speed_goes_where_it_does_not_exist() -> None:
    assert fix("claude-haiku-5-5", speed="fast").notes == ("speed",)


@pytest.mark.parametrize(
    ("name", "fields", "alone"),
    [
        ("claude-4.5-opus-high-thinking", {}, True),
        ("claude-opus-5-high", {"thinking": {"type": "disabled"}}, False),
        ("claude-opus-5-high", {"output_config": {"effort": "low"}}, False),
        ("claude-opus-5", {}, False),
        ("claude-opus-5-high", {"max_tokens": 0}, False),
    ],
)
def test_a_name_that_asks_for_thinking_gives_way_to_the_body(
    name: str, fields: dict[str, Any], alone: bool
) -> None:
    choice = parse(name)
    assert choice is not None
    assert only_the_name_asks(fields, choice) is alone
