"""What the sources of a request ask of thinking, merged by precedence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

from addon.claude.effort import check_level
from addon.claude.names import ModelChoice
from addon.core.errors import BadRequest
from addon.core.types import JsonObject
from addon.translation.types import ThinkingWish

OFF_TYPES = ("disabled", "between_tools")
THINKING_TYPES = ("enabled", "adaptive", *OFF_TYPES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one source says about thinking, None where it is silent."""

    on: bool | None = None
    level: str | None = None
    budget: int | None = None
    display: str | None = None

    def or_else(self, lower: Asked) -> Asked:
        """The first source to say on or off decides that; a level and a budget are two names of one thing."""
        silent = self.level is None and self.budget is None and self.on is not False
        return Asked(
            on=lower.on if self.on is None else self.on,
            level=lower.level if silent else self.level,
            budget=lower.budget if silent else self.budget,
            display=self.display or lower.display,
        )


def merge(
    request: JsonObject, wish: ThinkingWish, choice: ModelChoice, default_effort: str | None
) -> Asked:
    """Everything that speaks of thinking, the strongest first. Raises BadRequest for what makes no sense."""
    explicit = replace(
        _from_thinking(wish.thinking), level=(request.get("output_config") or {}).get("effort")
    )
    on = True if wish.enabled is None and wish.budget is not None else wish.enabled
    sources = (
        explicit,
        Asked(on=on, budget=wish.budget, display=wish.display),
        from_level(wish.effort),
        asked_by_name(choice),
        from_level(default_effort),
    )
    return reduce(Asked.or_else, sources)


def _from_thinking(thinking: JsonObject | None) -> Asked:
    if thinking is None:
        return Asked()
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
    return Asked(on=kind not in OFF_TYPES, budget=budget, display=thinking.get("display"))


def from_level(level: str | None) -> Asked:
    """What naming a level asks for: `none` is off, any other is on."""
    if level is None:
        return Asked()
    level = check_level(level)
    return Asked(on=False) if level == "none" else Asked(on=True, level=level)


def asked_by_name(choice: ModelChoice) -> Asked:
    """What a model name asks for."""
    return from_level(choice.effort).or_else(Asked(on=choice.thinking))
