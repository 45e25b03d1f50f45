from __future__ import annotations

from collections.abc import Callable

import pytest

from addon.claude.pricing import Tokens
from addon.translation.accumulator import overlay
from addon.translation.from_anthropic.usage import (
    anthropic_usage,
    chat_usage,
    responses_usage,
    service_tier,
)
from tests.translation.upstream import JsonObject

USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 5,
    "cache_read_input_tokens": 100,
    "output_tokens": 7,
    "output_tokens_details": {"thinking_tokens": 3},
}


def test_both_forms_count_the_same() -> None:
    chat, responses = chat_usage(USAGE), responses_usage(USAGE)
    assert (chat["prompt_tokens"], chat["completion_tokens"], chat["total_tokens"]) == (115, 7, 122)
    assert (responses["input_tokens"], responses["output_tokens"], responses["total_tokens"]) == (
        115,
        7,
        122,
    )
    assert responses["input_tokens_details"] == {"cached_tokens": 100, "cache_write_tokens": 5}
    assert responses["output_tokens_details"] == {"reasoning_tokens": 3}


@pytest.mark.parametrize("form", [chat_usage, responses_usage])
def test_the_way_back_counts_the_same(form: Callable[[JsonObject], JsonObject]) -> None:
    assert Tokens.from_usage(anthropic_usage(form(USAGE))) == Tokens.from_usage(USAGE)


def test_nothing_known_is_nothing_counted() -> None:
    assert chat_usage({})["total_tokens"] == 0


def test_a_null_says_nothing() -> None:
    usage: JsonObject = {"input_tokens": 10, "output_tokens": 1}
    overlay(usage, {"input_tokens": None, "output_tokens": 7, "cache_read_input_tokens": None})
    assert usage == {"input_tokens": 10, "output_tokens": 7, "cache_read_input_tokens": None}


@pytest.mark.parametrize(
    ("tier", "told"),
    [
        ("standard", {"service_tier": "default"}),
        ("batch", {"service_tier": "flex"}),
        ("new", {}),
        (None, {}),
    ],
)
def test_service_tiers(tier: str | None, told: JsonObject) -> None:
    assert service_tier({"service_tier": tier}) == told
