import pytest

from addon.claude.pricing import Tokens, cost, cost_of_response
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
    "nulls": ({"input_tokens": None, "server_tool_use": None, "speed": None}, 0.0),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_cost_of_an_answer(case: str) -> None:
    usage, usd = ANSWERS[case]
    assert cost_of_response(CATALOGUE.get("claude-opus-5-5"), usage) == pytest.approx(
        usd, abs=1e-12
    )


@pytest.mark.parametrize("model", CATALOGUE.models.values(), ids=CATALOGUE.ids)
def test_cache_writes_cost_a_quarter_and_a_whole_more(model) -> None:
    for prices in filter(None, (model.prices, model.prices.step)):
        assert prices.cache_write_5m == pytest.approx(1.25 * prices.input)
        assert prices.cache_write_1h == pytest.approx(2 * prices.input)
        assert prices.cache_read < prices.input < prices.output
