"""Tokens as Anthropic reports them, and money that does not drift."""

from __future__ import annotations

import pytest

from addon.usage.record import Tokens, picos, usd

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
        {"input_tokens": None, "cache_creation": None, "output_tokens_details": None},
        Tokens(),
        id="null-is-nothing",
    ),
]


@pytest.mark.parametrize(("usage", "tokens"), USAGES)
def test_reads_usage(usage: dict[str, object], tokens: Tokens) -> None:
    assert Tokens.from_usage(usage) == tokens


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
