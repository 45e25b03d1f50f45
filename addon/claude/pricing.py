"""Reads the tokens of a response from its `usage`, and calculates their cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from addon.claude.model import Model, Prices
from addon.core.types import JsonObject


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens by how they are billed: `input` excludes the three kinds of cached tokens, `output` includes
    `thinking`."""

    input: int = 0
    output: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0
    thinking: int = 0

    @classmethod
    def from_usage(cls, usage: JsonObject) -> Self:
        """From the `usage` of a Message; absent and null counts are 0."""
        written = count(usage, "cache_creation_input_tokens")
        split = usage.get("cache_creation")
        hour = count(split, "ephemeral_1h_input_tokens")
        return cls(
            input=count(usage, "input_tokens"),
            output=count(usage, "output_tokens"),
            cache_write_5m=max(written - hour, count(split, "ephemeral_5m_input_tokens")),
            cache_write_1h=hour,
            cache_read=count(usage, "cache_read_input_tokens"),
            thinking=count(usage.get("output_tokens_details"), "thinking_tokens"),
        )

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.input + other.input,
            self.output + other.output,
            self.cache_write_5m + other.cache_write_5m,
            self.cache_write_1h + other.cache_write_1h,
            self.cache_read + other.cache_read,
            self.thinking + other.thinking,
        )

    @property
    def prompt(self) -> int:
        """All input tokens: uncached, written to the cache, and read from it."""
        return self.input + self.cache_write_5m + self.cache_write_1h + self.cache_read

    @property
    def cache_hit_rate(self) -> float:
        """The share of the prompt that was read from the cache, 0 to 1."""
        return self.cache_read / self.prompt if self.prompt else 0.0


def count(counts: Any, name: str) -> int:
    """A count in `usage` or in a part of it; 0 for another type, so that a change of upstream's can't keep a request
    from being recorded."""
    value = counts.get(name) if isinstance(counts, dict) else None
    return value if isinstance(value, int) and value > 0 else 0


MILLION = 1_000_000
WEB_SEARCH_USD = (
    0.01  # "$10 per 1,000 searches" (Anthropic's pricing page), whatever the cache and the step
)


def cost(model: Model, tokens: Tokens, *, fast: bool = False) -> float:
    """USD at list prices, including those of the cache, the step for long prompts, and fast mode."""
    prices = _applicable(model.prices, tokens.prompt)
    total = (
        tokens.input * prices.input
        + tokens.output * prices.output
        + tokens.cache_write_5m * prices.cache_write_5m
        + tokens.cache_write_1h * prices.cache_write_1h
        + tokens.cache_read * prices.cache_read
    )
    return total * (model.fast_factor if fast else 1.0) / MILLION


def cost_of_response(model: Model, usage: JsonObject) -> float:
    """USD for the `usage` of a Message, including web searches."""
    searches = count(usage.get("server_tool_use"), "web_search_requests")
    tokens = cost(model, Tokens.from_usage(usage), fast=usage.get("speed") == "fast")
    return tokens + searches * WEB_SEARCH_USD


def _applicable(prices: Prices, prompt: int) -> Prices:
    if prices.step is None or prices.step_tokens is None or prompt <= prices.step_tokens:
        return prices
    return prices.step
