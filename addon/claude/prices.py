"""What a request costs."""

from __future__ import annotations

from addon.claude.model import Model, Prices
from addon.claude.pricing import Tokens, count
from addon.core.types import JsonObject

MILLION = 1_000_000
WEB_SEARCH_USD = (
    0.01  # "$10 per 1,000 searches", Anthropic's pricing page; cache and step don't touch it
)


def cost(model: Model, tokens: Tokens, *, fast: bool = False) -> float:
    """USD at list price: cache writes and reads at their own prices, the long-prompt step, fast mode."""
    prices = _applicable(model.prices, tokens.prompt)
    total = (
        tokens.input * prices.input
        + tokens.output * prices.output
        + tokens.cache_write_5m * prices.cache_write_5m
        + tokens.cache_write_1h * prices.cache_write_1h
        + tokens.cache_read * prices.cache_read
    )
    return total * (model.fast_factor if fast else 1.0) / MILLION


def cost_of_answer(model: Model, usage: JsonObject) -> float:
    """USD by the `usage` of a Message, web searches included."""
    searches = count(usage.get("server_tool_use"), "web_search_requests")
    tokens = cost(model, Tokens.from_usage(usage), fast=usage.get("speed") == "fast")
    return tokens + searches * WEB_SEARCH_USD


def _applicable(prices: Prices, prompt: int) -> Prices:
    if prices.step is None or prices.step_tokens is None or prompt <= prices.step_tokens:
        return prices
    return prices.step
