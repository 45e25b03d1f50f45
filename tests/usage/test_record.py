"""Tokens as Anthropic reports them, and what they cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from addon.usage.record import PICO, Tokens, picos, usd
from tests.usage.records import PRICES

USAGES = [
    pytest.param({}, Tokens(), id="nothing-said-is-nothing-used"),
    pytest.param({"input_tokens": 3, "output_tokens": 5}, Tokens(3, 5), id="plain"),
    pytest.param(
        {
            "input_tokens": 1,
            "output_tokens": 9,
            "cache_creation_input_tokens": 70,
            "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 30},
            "cache_read_input_tokens": 1000,
            "output_tokens_details": {"thinking_tokens": 4},
        },
        Tokens(1, 9, 40, 30, 1000, 4),
        id="cache-writes-by-lifetime-and-thinking",
    ),
    pytest.param(
        {"cache_creation_input_tokens": 70, "cache_creation": None},
        Tokens(cache_write_5m=70),
        id="cache-writes-without-parts-lived-five-minutes",
    ),
    pytest.param(
        {"cache_creation_input_tokens": 70, "cache_creation": {"ephemeral_1h_input_tokens": 30}},
        Tokens(cache_write_5m=40, cache_write_1h=30),
        id="the-rest-of-the-sum-lived-five-minutes",
    ),
    pytest.param(
        {
            "input_tokens": None,
            "output_tokens": "7",
            "cache_read_input_tokens": -1,
            "cache_creation": 3,
        },
        Tokens(),
        id="what-is-no-count-is-zero",
    ),
    pytest.param({"input_tokens": True}, Tokens(), id="true-is-no-count"),
]


@pytest.mark.parametrize(("usage", "tokens"), USAGES)
def test_reads_usage(usage: dict[str, object], tokens: Tokens) -> None:
    assert Tokens.from_usage(usage) == tokens


COSTS = [
    pytest.param(Tokens(input=1_000_000), 5.0, id="input"),
    pytest.param(Tokens(output=1_000_000, thinking=900_000), 25.0, id="thinking-is-part-of-output"),
    pytest.param(Tokens(cache_write_5m=1_000_000), 6.25, id="cache-write-5m"),
    pytest.param(Tokens(cache_write_1h=1_000_000), 10.0, id="cache-write-1h"),
    pytest.param(Tokens(cache_read=1_000_000), 0.5, id="cache-read"),
    pytest.param(Tokens(1, 1, 1, 1, 1), 46.75e-6, id="one-token-of-each"),
]


@pytest.mark.parametrize(("tokens", "dollars"), COSTS)
def test_cost(tokens: Tokens, dollars: float) -> None:
    assert usd(tokens.cost(PRICES)) == dollars


@pytest.mark.parametrize(("prompt", "price"), [(200_000, 5), (200_001, 50)])
def test_a_long_prompt_with_its_cache_tokens_costs_the_higher_step(prompt: int, price: int) -> None:
    stepped = replace(PRICES, step_tokens=200_000, step=replace(PRICES, input=50))
    tokens = Tokens(input=10, cache_read=prompt - 10)
    assert (
        tokens.cost(stepped) - Tokens(cache_read=prompt - 10).cost(PRICES)
        == price * 10 * PICO // 10**6
    )


def test_hit_rate_is_the_cached_share_of_the_whole_prompt() -> None:
    assert (
        Tokens(
            input=10, output=999, cache_write_5m=20, cache_write_1h=10, cache_read=60
        ).cache_hit_rate
        == 0.6
    )
    assert Tokens(output=5).cache_hit_rate == 0


@pytest.mark.parametrize("dollars", [0.0, 1e-9, 0.001194, 1.1, 123456.789])
def test_dollars_come_back_from_picodollars(dollars: float) -> None:
    assert usd(picos(dollars)) == dollars
