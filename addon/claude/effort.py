"""Levels of effort and thinking budgets, and how one stands for the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from addon.claude.names import LEVELS
from addon.core.errors import BadRequest

MIN_BUDGET = 1024
"""Anthropic answers 400 to a smaller `budget_tokens` (extended thinking page)."""
FULL_OUTPUT = 64_000
"""What one answer may be long: the maximum of the 4.5 models, and the default for those with 128K."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """Thinking tokens that a level stands for on models with manual budgets; `max`: all of max_tokens but one."""

    high: int | Literal["max"] = "max"
    medium: int = 20_000
    low: int = 5_000


def check_level(level: str, param: str = "reasoning_effort") -> str:
    """`level` in lower case. Raises BadRequest when it is none of LEVELS."""
    if level.lower() not in LEVELS:
        raise BadRequest(f"{param} must be one of {', '.join(LEVELS)}, not {level!r}", param=param)
    return level.lower()


def clamp_effort(level: str, accepted: Sequence[str]) -> str | None:
    """The greatest accepted effort that is not above `level`, else the least; None when none is accepted."""
    rank = LEVELS.index(level)
    fitting = [effort for effort in accepted if LEVELS.index(effort) <= rank]
    return fitting[-1] if fitting else next(iter(accepted), None)


def effort_for_budget(budget: int, budgets: Budgets) -> str:
    """The level whose budget is nearest."""
    high = FULL_OUTPUT if budgets.high == "max" else budgets.high
    sizes = {"low": budgets.low, "medium": budgets.medium, "high": high}
    return min(sizes, key=lambda level: abs(sizes[level] - budget))


def budget_for_level(level: str, budgets: Budgets, max_tokens: int) -> int:
    """Thinking tokens for a level other than `none`, valid for `max_tokens`."""
    sizes = {"minimal": MIN_BUDGET, "low": budgets.low, "medium": budgets.medium}
    wanted = sizes.get(level, budgets.high)
    return clamp_budget(max_tokens if wanted == "max" else wanted, max_tokens)


def clamp_budget(budget: int, max_tokens: int) -> int:
    """`budget` within what Anthropic accepts: at least 1024 and below max_tokens (which must leave room for that)."""
    return max(MIN_BUDGET, min(budget, max_tokens - 1))
