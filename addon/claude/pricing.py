"""Reads the tokens of a response from its `usage`, and calculates their cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Self

from addon.claude.model import Model, Prices
from addon.core.errors import NotFound
from addon.core.frozen import frozen
from addon.core.types import JsonObject


@frozen
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
WEB_SEARCH_USD = 0.01
""""$10 per 1,000 searches" (platform.claude.com/docs/en/about-claude/pricing), whatever the cache, the step and the
speed. Fetching is free. Hours of code execution are not in `usage`, and most are free, so they are not counted."""
US_FACTOR = 1.1
""""A 1.1x pricing multiplier applies" to all tokens with `inference_geo: us`
(platform.claude.com/docs/en/manage-claude/data-residency)."""
TIER_FACTORS = {"batch": 0.5}
"""Half the price in a batch (pricing page). Priority tokens are paid in advance; they count at list price."""
SERVER_TOOL_USES = 10
"""Server tools run at most ten times in one response by default (`pause_turn` in the SDK's `StopReason`)."""

type FindModel = Callable[[str], Model]
"""The model with an id; raises NotFound."""


def cost(model: Model, tokens: Tokens, factor: float = 1.0) -> float:
    """USD at list prices, including those of the cache and the step for long prompts. `factor`: of fast mode, of a
    region."""
    prices = _applicable(model.prices, tokens.prompt)
    total = (
        tokens.input * prices.input
        + tokens.output * prices.output
        + tokens.cache_write_5m * prices.cache_write_5m
        + tokens.cache_write_1h * prices.cache_write_1h
        + tokens.cache_read * prices.cache_read
    )
    return total * factor / MILLION


@frozen
class Bill:
    """What a response used and costs, with everything that was sampled for it."""

    tokens: Tokens
    usd: float


def bill(usage: JsonObject, model: Model, find: FindModel) -> Bill:
    """From the `usage` of a response by `model`.

    Its counts leave out compactions and advisors: `usage.iterations` has them, an advisor's at the price of its own
    model (SDK `BetaUsage`, `BetaAdvisorMessageIterationUsage`; the advisor tool's page). If another model took over on
    Anthropic's side, every attempt counts at its own price.
    """
    told, everywhere = Tokens.from_usage(usage), _factor(usage)
    fast = model.fast_factor if usage.get("speed") == "fast" else 1.0
    searched = count(usage.get("server_tool_use"), "web_search_requests") * WEB_SEARCH_USD
    if not (iterations := _objects(usage.get("iterations"))):
        return Bill(told, cost(model, told, everywhere * fast) + searched)
    parts: dict[str, list[tuple[Model, Tokens]]] = {"": [(model, told)]}
    for entry in iterations:
        by = _model_of(entry, model, find)
        parts.setdefault(str(entry.get("type")), []).append((by, Tokens.from_usage(entry)))
    sampled = parts.pop("message", []) + (other := parts.pop("fallback_message", []))
    # In steps where they add up to the whole: the price for long prompts applies to each step alone.
    if other or replace(_sum(sampled), thinking=told.thinking) == told:
        parts[""] = sampled
    tokens = replace(_sum(part for each in parts.values() for part in each), thinking=told.thinking)
    usd = sum(
        cost(by, used, everywhere * (1.0 if kind == "advisor_message" else fast))
        for kind, each in parts.items()
        for by, used in each
    )
    return Bill(tokens, usd + searched)


def _sum(parts: Iterable[tuple[Model, Tokens]]) -> Tokens:
    return sum((tokens for _, tokens in parts), Tokens())


def _model_of(named: JsonObject, default: Model, find: FindModel) -> Model:
    name = named.get("model")
    try:
        return find(name) if isinstance(name, str) else default
    except NotFound:
        return default


def _factor(named: JsonObject) -> float:
    """Of a request or of its `usage`."""
    us = US_FACTOR if named.get("inference_geo") == "us" else 1.0
    return us * TIER_FACTORS.get(str(named.get("service_tier")), 1.0)


def most_output(request: JsonObject, model: Model) -> int:
    """The longest response that may be billed; an Anthropic client's limit may be anything."""
    asked = request.get("max_tokens")
    is_limit = isinstance(asked, int) and 0 <= asked < model.max_output
    return int(asked or 0) if is_limit else model.max_output


def most(request: JsonObject, model: Model, prompt: int, find: FindModel) -> float:
    """The most USD that a request with a prompt of that many tokens can cost: all of it written to the cache, all of
    `max_tokens`, and whatever else Anthropic may sample for it."""
    output, factor = most_output(request, model), _factor(request)
    fast = factor * (model.fast_factor if request.get("speed") == "fast" else 1.0)
    one = Tokens(cache_write_1h=prompt, output=output)
    total = cost(model, one, fast)
    context = request.get("context_management")
    for edit in _objects(context.get("edits") if isinstance(context, dict) else None):
        if str(edit.get("type")).startswith("compact"):
            total += cost(model, one, fast)
    for other in _objects(request.get("fallbacks")):
        total += cost(_model_of(other, model, find), one, fast)
    for tool in _objects(request.get("tools")):
        total += _most_of_tool(tool, model, prompt, find, fast)
    return total


def _most_of_tool(
    tool: JsonObject, model: Model, prompt: int, find: FindModel, factor: float
) -> float:
    """Each use of a server tool reads the prompt once more; an advisor reads it at its own price."""
    kind, uses = str(tool.get("type")), count(tool, "max_uses") or SERVER_TOOL_USES
    if kind.startswith("advisor_"):
        advisor = _model_of(tool, model, find)
        advice = Tokens(cache_write_1h=prompt, output=most_output(tool, advisor))
        return uses * (cost(advisor, advice, factor) + cost(model, Tokens(input=prompt), factor))
    if kind.startswith(("web_search_", "web_fetch_", "code_execution_")):
        search = WEB_SEARCH_USD if kind.startswith("web_search_") else 0.0
        return uses * (search + cost(model, Tokens(input=prompt), factor))
    return 0.0


def _objects(value: Any) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _applicable(prices: Prices, prompt: int) -> Prices:
    if prices.step is None or prices.step_tokens is None or prompt <= prices.step_tokens:
        return prices
    return prices.step
