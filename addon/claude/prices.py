"""What a request costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

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
        written = _count(usage, "cache_creation_input_tokens")
        split = usage.get("cache_creation")
        hour = _count(split, "ephemeral_1h_input_tokens")
        return cls(
            input=_count(usage, "input_tokens"),
            output=_count(usage, "output_tokens"),
            cache_write_5m=max(written - hour, _count(split, "ephemeral_5m_input_tokens")),
            cache_write_1h=hour,
            cache_read=_count(usage, "cache_read_input_tokens"),
            web_searches=_count(usage.get("server_tool_use"), "web_search_requests"),
            fast=usage.get("speed") == "fast",
        )

    @property
    def prompt(self) -> int:
        """All tokens of the prompt, cached or not."""
        return self.input + self.cache_write_5m + self.cache_write_1h + self.cache_read


def _count(usage: Any, name: str) -> int:
    """An upstream that changes its types must not break the recording of a request."""
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value > 0 else 0


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


def _applicable(prices: Prices, prompt: int) -> Prices:
    if prices.step is None or prices.step_tokens is None or prompt <= prices.step_tokens:
        return prices
    return prices.step
