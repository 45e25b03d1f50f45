import pytest

from addon.claude.prices import TokenCounts, cost
from tests.claude.support import CATALOGUE

COSTS = {
    "nothing": ("claude-opus-5", TokenCounts(), 0.0),
    "a million of each kind": (
        "claude-opus-5",
        TokenCounts(
            input=10**6, output=10**6, cache_write_5m=10**6, cache_write_1h=10**6, cache_read=10**6
        ),
        5 + 25 + 6.25 + 10 + 0.5,
    ),
    "fable 5.1 reads at a fortieth": ("claude-fable-5-1", TokenCounts(cache_read=1_000_000), 0.25),
    "haiku 5.5 at the step": (
        "claude-haiku-5-5",
        TokenCounts(input=40_000, cache_read=50_000, cache_write_5m=10_000, output=1000),
        (40_000 * 0.1 + 50_000 * 0.01 + 10_000 * 0.125 + 1000 * 0.5) / 1e6,
    ),
    "haiku 5.5 one token above the step pays it for everything": (
        "claude-haiku-5-5",
        TokenCounts(input=40_001, cache_read=50_000, cache_write_5m=10_000, output=1000),
        (40_001 * 0.5 + 50_000 * 0.05 + 10_000 * 0.625 + 1000 * 2.5) / 1e6,
    ),
    "fast doubles": ("claude-opus-5-5", TokenCounts(input=1000, output=1000, fast=True), 2 * 0.024),
    "a search is a cent, fast or not": (
        "claude-opus-5-5",
        TokenCounts(web_searches=3, fast=True),
        0.03,
    ),
}


@pytest.mark.parametrize("case", COSTS)
def test_cost(case: str) -> None:
    model_id, counts, usd = COSTS[case]
    assert cost(CATALOGUE.get(model_id), counts) == pytest.approx(usd, rel=0, abs=1e-12)


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({}, TokenCounts()),
        (
            {
                "input_tokens": None,
                "output_tokens": 5,
                "cache_creation": None,
                "server_tool_use": None,
            },
            TokenCounts(output=5),
        ),
        ({"cache_creation_input_tokens": 7}, TokenCounts(cache_write_5m=7)),
        (
            {
                "input_tokens": 1,
                "cache_creation_input_tokens": 30,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 10,
                    "ephemeral_1h_input_tokens": 20,
                },
                "cache_read_input_tokens": 4,
                "server_tool_use": {"web_search_requests": 2},
                "speed": "fast",
            },
            TokenCounts(
                input=1,
                cache_write_5m=10,
                cache_write_1h=20,
                cache_read=4,
                web_searches=2,
                fast=True,
            ),
        ),
    ],
    ids=["empty", "nulls", "no split is 5 minutes", "everything"],
)
def test_counts_are_read_from_usage(usage: dict[str, object], counts: TokenCounts) -> None:
    assert TokenCounts.from_usage(usage) == counts


def test_prompt_counts_each_token_once() -> None:
    assert (
        TokenCounts(input=1, cache_write_5m=2, cache_write_1h=4, cache_read=8, output=16).prompt
        == 15
    )


@pytest.mark.parametrize("model", CATALOGUE.models.values(), ids=CATALOGUE.ids)
def test_cache_writes_cost_a_quarter_and_a_whole_more(model) -> None:
    for prices in filter(None, (model.prices, model.prices.step)):
        assert prices.cache_write_5m == pytest.approx(1.25 * prices.input)
        assert prices.cache_write_1h == pytest.approx(2 * prices.input)
        assert prices.cache_read < prices.input < prices.output
