"""Reads what a request asks for about thinking, from all its sources, by precedence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal

from addon.claude.names import LEVELS, ModelChoice
from addon.core.errors import BadRequest
from addon.core.frozen import frozen
from addon.core.types import JsonObject

MIN_BUDGET = 1024
"""Anthropic rejects a smaller `budget_tokens` (extended thinking page)."""
FULL_OUTPUT = 64_000
"""The default for max_tokens: the maximum of the 4.5 models; newer ones have 128K."""


@frozen(kw_only=True)
class Budgets:
    """Thinking tokens for each level, on models with manual budgets. `max`: max_tokens - 1."""

    high: int | Literal["max"] = "max"
    medium: int = 20_000
    low: int = 5_000


def check_level(level: str, param: str = "reasoning_effort") -> str:
    """`level` in lower case. Raises BadRequest if it is not one of LEVELS."""
    if level.lower() not in LEVELS:
        raise BadRequest(f"{param} must be one of {', '.join(LEVELS)}, not {level!r}", param=param)
    return level.lower()


def clamp_effort(level: str, accepted: Sequence[str]) -> str | None:
    """The highest accepted effort up to `level`, otherwise the lowest; None if none is accepted."""
    rank = LEVELS.index(level)
    fitting = [effort for effort in accepted if LEVELS.index(effort) <= rank]
    return fitting[-1] if fitting else next(iter(accepted), None)


def effort_for_budget(budget: int, budgets: Budgets) -> str:
    """The level with the nearest budget."""
    high = FULL_OUTPUT if budgets.high == "max" else budgets.high
    sizes = {"low": budgets.low, "medium": budgets.medium, "high": high}
    return min(sizes, key=lambda level: abs(sizes[level] - budget))


def budget_for_level(level: str, budgets: Budgets, max_tokens: int) -> int:
    """Thinking tokens for a level other than `none`, within `max_tokens`."""
    sizes = {"minimal": MIN_BUDGET, "low": budgets.low, "medium": budgets.medium}
    wanted = sizes.get(level, budgets.high)
    return clamp_budget(max_tokens if wanted == "max" else wanted, max_tokens)


def clamp_budget(budget: int, max_tokens: int) -> int:
    """`budget` within Anthropic's limits: at least 1024 and below max_tokens, which must be greater than that."""
    return max(MIN_BUDGET, min(budget, max_tokens - 1))


OFF_TYPES = ("disabled", "between_tools")
THINKING_TYPES = ("enabled", "adaptive", *OFF_TYPES)


@frozen(kw_only=True)
class ThinkingSource:
    """What one source says about thinking; None: it says nothing."""

    on: bool | None = None
    level: str | None = None
    budget: int | None = None
    display: str | None = None

    def or_else(self, lower: ThinkingSource) -> ThinkingSource:
        """This source, completed by a weaker one. A level and a budget exclude each other, so they are taken
        together."""
        if lower is NOTHING:
            return self
        silent = self.level is None and self.budget is None and self.on is not False
        return ThinkingSource(
            on=lower.on if self.on is None else self.on,
            level=lower.level if silent else self.level,
            budget=lower.budget if silent else self.budget,
            display=self.display or lower.display,
        )


NOTHING = ThinkingSource()


def merge_sources(
    request: JsonObject,
    thinking_request: ThinkingRequest,
    choice: ModelChoice,
    default_effort: str | None,
) -> ThinkingSource:
    """All sources merged, the strongest first. Raises BadRequest for invalid values."""
    effort = (request.get("output_config") or {}).get("effort")
    explicit = _from_thinking(thinking_request.thinking, effort)
    on = (
        True
        if thinking_request.enabled is None and thinking_request.budget is not None
        else thinking_request.enabled
    )
    sources = (
        explicit,
        ThinkingSource(on=on, budget=thinking_request.budget, display=thinking_request.display),
        from_level(thinking_request.effort),
        asked_by_name(choice),
        from_level(default_effort),
    )
    return reduce(ThinkingSource.or_else, sources)


def _from_thinking(thinking: JsonObject | None, level: str | None) -> ThinkingSource:
    if thinking is None:
        return ThinkingSource(level=level)
    kind = thinking.get("type")
    if kind not in THINKING_TYPES:
        raise BadRequest(
            f"thinking.type must be one of {', '.join(THINKING_TYPES)}", param="thinking.type"
        )
    budget = thinking.get("budget_tokens") if kind == "enabled" else None
    if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int)):
        raise BadRequest(
            "thinking.budget_tokens must be a whole number", param="thinking.budget_tokens"
        )
    on, display = kind not in OFF_TYPES, thinking.get("display")
    return ThinkingSource(on=on, level=level, budget=budget, display=display)


def from_level(level: str | None) -> ThinkingSource:
    """What a level asks for: `none` is off, any other is on."""
    if level is None:
        return NOTHING
    level = check_level(level)
    return ThinkingSource(on=False) if level == "none" else ThinkingSource(on=True, level=level)


def asked_by_name(choice: ModelChoice) -> ThinkingSource:
    """What a model name asks for."""
    return from_level(choice.effort).or_else(ThinkingSource(on=choice.thinking))


@dataclass(repr=False, slots=True, kw_only=True)
class ThinkingRequest:
    """What a request body says about thinking, before it is adapted to the model."""

    thinking: JsonObject | None = None
    """`thinking` in Anthropic's shape, as given."""
    effort: str | None = None
    """A level: none, minimal, low, medium, high, xhigh or max."""
    budget: int | None = None
    """`reasoning.max_tokens`, at least 1."""
    display: str | None = None
    """`summarized` or `omitted`."""
    enabled: bool | None = None
    """`reasoning.enabled`."""
