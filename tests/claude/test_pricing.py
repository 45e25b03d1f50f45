"""Tokens as Anthropic reports them."""

import pytest

from addon.claude.pricing import Tokens

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
            "input_tokens": "3",
            "output_tokens": -1,
            "cache_creation": [],
            "output_tokens_details": 4,
        },
        Tokens(),
        id="what-is-no-count-is-nothing",
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


def test_the_prompt_counts_each_token_once() -> None:
    tokens = Tokens(input=1, cache_write_5m=2, cache_write_1h=4, cache_read=8, output=16)
    assert tokens.prompt == 15


def test_hit_rate_is_the_cached_share_of_the_whole_prompt() -> None:
    assert (
        Tokens(
            input=10, output=999, cache_write_5m=20, cache_write_1h=10, cache_read=60
        ).cache_hit_rate
        == 0.6
    )
    assert Tokens(output=5).cache_hit_rate == 0
