import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addon.claude.pricing import Tokens, bill, cost, most
from tests.budget import examples
from tests.claude.support import CATALOGUE

COSTS = {
    "nothing": ("claude-opus-5", Tokens(), 0.0),
    "a million of each kind": (
        "claude-opus-5",
        Tokens(
            input=10**6, output=10**6, cache_write_5m=10**6, cache_write_1h=10**6, cache_read=10**6
        ),
        5 + 25 + 6.25 + 10 + 0.5,
    ),
    "fable 5.1 reads at a fortieth": ("claude-fable-5-1", Tokens(cache_read=1_000_000), 0.25),
    "thinking is billed as output once": (
        "claude-opus-5",
        Tokens(output=10**6, thinking=10**6),
        25,
    ),
    "haiku 5.5 at the step": (
        "claude-haiku-5-5",
        Tokens(input=40_000, cache_read=50_000, cache_write_5m=10_000, output=1000),
        (40_000 * 0.1 + 50_000 * 0.01 + 10_000 * 0.125 + 1000 * 0.5) / 1e6,
    ),
    "haiku 5.5 one token above the step pays it for everything": (
        "claude-haiku-5-5",
        Tokens(input=40_001, cache_read=50_000, cache_write_5m=10_000, output=1000),
        (40_001 * 0.5 + 50_000 * 0.05 + 10_000 * 0.625 + 1000 * 2.5) / 1e6,
    ),
}


@pytest.mark.parametrize("case", COSTS)
def test_cost(case: str) -> None:
    model_id, tokens, usd = COSTS[case]
    assert cost(CATALOGUE.get(model_id), tokens) == pytest.approx(usd, rel=0, abs=1e-12)


ANSWERS = {
    "a plain one": ({"input_tokens": 1000, "output_tokens": 1000}, 0.024),
    "fast doubles": ({"input_tokens": 1000, "output_tokens": 1000, "speed": "fast"}, 2 * 0.024),
    "a search is a cent, fast or not": (
        {"server_tool_use": {"web_search_requests": 3}, "speed": "fast"},
        0.03,
    ),
    "in the US a tenth more": (
        {"input_tokens": 1000, "output_tokens": 1000, "inference_geo": "us"},
        1.1 * 0.024,
    ),
    "elsewhere not": (
        {"input_tokens": 1000, "output_tokens": 1000, "inference_geo": "global"},
        0.024,
    ),
    "in the US and fast, a write of each kind": (
        {
            "cache_creation_input_tokens": 3000,
            "cache_creation": {
                "ephemeral_5m_input_tokens": 1000,
                "ephemeral_1h_input_tokens": 2000,
            },
            "speed": "fast",
            "inference_geo": "us",
        },
        2.2 * (1000 * 5 + 2000 * 8) / 1e6,
    ),
    "a batch costs half": (
        {"input_tokens": 1000, "output_tokens": 1000, "service_tier": "batch"},
        0.012,
    ),
    "priority counts at list price": (
        {"input_tokens": 1000, "output_tokens": 1000, "service_tier": "priority"},
        0.024,
    ),
    "fetching is free": ({"server_tool_use": {"web_fetch_requests": 9}}, 0.0),
    "nulls": ({"input_tokens": None, "server_tool_use": None, "speed": None}, 0.0),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_cost_of_an_answer(case: str) -> None:
    usage, usd = ANSWERS[case]
    answer = bill(usage, CATALOGUE.get("claude-opus-5-5"), CATALOGUE.get)
    assert answer.usd == pytest.approx(usd, abs=1e-12)


def step(kind: str, input: int, output: int, **more: object) -> dict[str, object]:
    """An entry of `usage.iterations`."""
    zero = {"cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    return {"type": kind, "input_tokens": input, "output_tokens": output, **zero, **more}


def test_a_compaction_is_billed_beside_the_response() -> None:
    # the example of platform.claude.com/docs/en/build-with-claude/compaction
    steps = [step("compaction", 180_000, 3_500), step("message", 23_000, 1_000)]
    usage = {"input_tokens": 23_000, "output_tokens": 1_000, "iterations": steps}
    answer = bill(usage, CATALOGUE.get("claude-opus-5"), CATALOGUE.get)
    assert answer.tokens == Tokens(input=203_000, output=4_500)
    assert answer.usd == pytest.approx(203_000 * 5e-6 + 4_500 * 25e-6)


def test_an_advisor_is_billed_at_its_own_models_price() -> None:
    advice = step("advisor_message", 1_000, 200, model="claude-opus-5", cache_read_input_tokens=500)
    usage = {"input_tokens": 100, "output_tokens": 10, "speed": "fast"}
    usage |= {"iterations": [step("message", 60, 4), advice, step("message", 40, 6)]}
    answer = bill(usage, CATALOGUE.get("claude-opus-5-5"), CATALOGUE.get)
    own = 2 * (100 * 4e-6 + 10 * 20e-6)
    assert answer.usd == pytest.approx(own + 1_000 * 5e-6 + 200 * 25e-6 + 500 * 0.5e-6)
    assert answer.tokens == Tokens(input=1_100, output=210, cache_read=500)


def test_each_model_of_a_fallback_is_billed_at_its_own_price() -> None:
    served = step("fallback_message", 100, 50, model="claude-opus-5")
    usage = {"input_tokens": 100, "output_tokens": 50}
    usage |= {"iterations": [step("message", 100, 1, model="claude-fable-5-1"), served]}
    answer = bill(usage, CATALOGUE.get("claude-fable-5-1"), CATALOGUE.get)
    assert answer.usd == pytest.approx(100 * 10e-6 + 50e-6 + 100 * 5e-6 + 50 * 25e-6)


def test_the_step_for_long_prompts_applies_to_each_iteration() -> None:
    haiku = CATALOGUE.get("claude-haiku-5-5")
    usage = {"input_tokens": 150_000, "output_tokens": 0}
    whole = bill(usage, haiku, CATALOGUE.get).usd
    usage |= {"iterations": [step("message", 75_000, 0), step("message", 75_000, 0)]}
    assert whole == pytest.approx(150_000 * 0.5e-6)
    assert bill(usage, haiku, CATALOGUE.get).usd == pytest.approx(150_000 * 0.1e-6)


ODD = [
    {"iterations": {}},
    {"iterations": [None, {"type": None, "model": 5}]},
    {"iterations": [step("advisor_message", 0, 0, model="gpt-9")]},
    {"inference_geo": ["us"], "service_tier": {}},
]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_what_is_no_usage_costs_nothing(odd: dict[str, object]) -> None:
    usage = {"input_tokens": 7, **odd}
    model = CATALOGUE.get("claude-opus-5")
    assert bill(usage, model, CATALOGUE.get).usd == pytest.approx(7 * 5e-6)


TOOLS = {
    "search": ({"type": "web_search_20250305", "max_uses": 3}, 3),
    "code": ({"type": "code_execution_20250825"}, 10),
    "advisor": ({"type": "advisor_20260301", "model": "claude-opus-5", "max_tokens": 900}, 10),
    "function": ({"name": "read", "input_schema": {}}, 0),
}


@settings(max_examples=examples(300))
@given(
    prompt=st.integers(0, 300_000),
    output=st.integers(0, 30_000),
    tools=st.sets(st.sampled_from(sorted(TOOLS))),
    fast=st.booleans(),
    us=st.booleans(),
    compacts=st.booleans(),
    falls=st.booleans(),
    ttl=st.sampled_from(["5m", "1h", None]),
)
def test_a_reservation_covers_whatever_is_billed(
    *,
    prompt: int,
    output: int,
    tools: set[str],
    fast: bool,
    us: bool,
    compacts: bool,
    falls: bool,
    ttl: str | None,
) -> None:
    """The dearest response to a request, against what was reserved for it."""
    model = CATALOGUE.get("claude-opus-5-5")
    request: dict[str, object] = {"max_tokens": output, "tools": [TOOLS[t][0] for t in tools]}
    written = {"ephemeral_5m_input_tokens": prompt, "ephemeral_1h_input_tokens": 0}
    if ttl == "1h":
        written = {"ephemeral_1h_input_tokens": prompt}
    first = {"input_tokens": 0, "cache_creation": written, "cache_creation_input_tokens": prompt}
    first = first if ttl else {"input_tokens": prompt}
    uses = sum(TOOLS[tool][1] for tool in tools)
    usage: dict[str, object] = {**first, "output_tokens": output}
    usage["input_tokens"] = first["input_tokens"] + uses * prompt
    usage["server_tool_use"] = {"web_search_requests": 3 if "search" in tools else 0}
    steps: list[dict[str, object]] = []
    if fast:
        request["speed"] = usage["speed"] = "fast"
    if us:
        request["inference_geo"] = usage["inference_geo"] = "us"
    if compacts:
        request["context_management"] = {"edits": [{"type": "compact_20260112"}]}
        steps.append(step("compaction", prompt, output))
    if "advisor" in tools:
        advice = step("advisor_message", prompt, 900, model="claude-opus-5")
        steps += [advice] * 10
    if falls:
        request["fallbacks"] = [{"model": "claude-opus-5"}]
        message = {**step("message", 0, output), **first, "input_tokens": usage["input_tokens"]}
        steps += [message, step("fallback_message", prompt, output, model="claude-opus-5")]
    usage["iterations"] = steps
    reserved = most(request, model, prompt, CATALOGUE.get)
    assert bill(usage, model, CATALOGUE.get).usd <= reserved + 1e-12


@pytest.mark.parametrize("model", CATALOGUE.models.values(), ids=CATALOGUE.ids)
def test_cache_writes_cost_a_quarter_and_a_whole_more(model) -> None:
    for prices in filter(None, (model.prices, model.prices.step)):
        assert prices.cache_write_5m == pytest.approx(1.25 * prices.input)
        assert prices.cache_write_1h == pytest.approx(2 * prices.input)
        assert prices.cache_read < prices.input < prices.output
