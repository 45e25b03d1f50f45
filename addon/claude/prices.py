"""What a request costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from addon.claude.model import Model, Prices
from addon.wire.types import JsonObject

MILLION = 1_000_000
WEB_SEARCH_USD = (
    0.01  # "$10 per 1,000 searches", Anthropic's pricing page; cache and step don't touch it
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """Tokens of one answer, each counted in exactly one field (`output` includes thinking)."""

    input: int = 0
    output: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0
    web_searches: int = 0
    fast: bool = False

    @classmethod
    def from_usage(cls, usage: JsonObject) -> Self:
        """From the `usage` object of a Message; absent and null counts are 0."""
        written = usage.get("cache_creation_input_tokens") or 0
        split = usage.get("cache_creation") or {}
        hour = split.get("ephemeral_1h_input_tokens") or 0
        return cls(
            input=usage.get("input_tokens") or 0,
            output=usage.get("output_tokens") or 0,
            cache_write_5m=max(written - hour, split.get("ephemeral_5m_input_tokens") or 0),
            cache_write_1h=hour,
            cache_read=usage.get("cache_read_input_tokens") or 0,
            web_searches=(usage.get("server_tool_use") or {}).get("web_search_requests") or 0,
            fast=usage.get("speed") == "fast",
        )

    @property
    def prompt(self) -> int:
        """All tokens of the prompt, cached or not."""
        return self.input + self.cache_write_5m + self.cache_write_1h + self.cache_read


def cost(model: Model, counts: TokenCounts) -> float:
    """USD at list price: cache writes and reads at their own prices, the long-prompt step, fast mode, searches."""
    prices = _applicable(model.prices, counts.prompt)
    tokens = (
        counts.input * prices.input
        + counts.output * prices.output
        + counts.cache_write_5m * prices.cache_write_5m
        + counts.cache_write_1h * prices.cache_write_1h
        + counts.cache_read * prices.cache_read
    )
    factor = model.fast_factor if counts.fast else 1.0
    return tokens * factor / MILLION + counts.web_searches * WEB_SEARCH_USD


def cost_without_cache(model: Model, counts: TokenCounts) -> float:
    """USD if nothing had been cached: every prompt token at the input price."""
    prices = _applicable(model.prices, counts.prompt)
    factor = model.fast_factor if counts.fast else 1.0
    tokens = counts.prompt * prices.input + counts.output * prices.output
    return tokens * factor / MILLION + counts.web_searches * WEB_SEARCH_USD


def _applicable(prices: Prices, prompt: int) -> Prices:
    if prices.step is None or prices.step_tokens is None or prompt <= prices.step_tokens:
        return prices
    return prices.step
