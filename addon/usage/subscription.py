"""Holds the present state of the subscription: its windows and cooldowns, and the recent conversations."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from addon.core.frozen import frozen
from addon.core.types import JsonObject
from addon.fallback.cooldowns import LIMITED, Cooldowns
from addon.fallback.rate_limits import Windows, windows_of
from addon.usage.conversations import RecentConversations


@frozen(kw_only=True)
class SubscriptionWindow:
    """One limit of the subscription, from the `anthropic-ratelimit-unified-*` headers of the newest response."""

    name: str
    """As in the header: `5h`, `7d`, `7d_oi`."""
    label: str
    """For people: `5 hours`."""
    utilization: float | None
    """0: unused, 1: used up; None: unknown."""
    resets_at: float | None
    """Unix seconds."""
    status: str | None = None
    """`allowed`, `allowed_warning` or `rejected`."""
    seen_at: float | None = None
    """Unix seconds of that response."""

    def to_json(self) -> JsonObject:
        return {
            "name": self.name,
            "label": self.label,
            "utilization": self.utilization,
            "resetsAt": milliseconds(self.resets_at),
            "status": self.status,
            "seenAt": milliseconds(self.seen_at),
        }


def milliseconds(seconds: float | None) -> int | None:
    """A time in JSON: unix milliseconds, as in JavaScript's `Date`."""
    return None if seconds is None else round(seconds * 1000)


SUBSCRIPTION: Final = "claude_code"
"""Its name as a credential."""
LABELS = {"5h": "5 hours", "7d": "7 days", "7d_oi": "7 days, Fable", "7d_opus": "7 days, Opus"}
"""Anthropic's short names, for people; an unknown name is shown as it is."""


@dataclass(eq=False, repr=False, slots=True)
class SubscriptionState:
    cooldowns: Cooldowns = field(default_factory=lambda: Cooldowns(time.monotonic))
    windows: Windows | None = None
    """From the headers of the newest response."""
    seen_at: float | None = None
    """Unix seconds of that response."""
    conversations: RecentConversations = field(default_factory=RecentConversations)
    login: int | None = None
    """The login that the cooldowns and windows belong to (see `Login.identity`)."""
    version: int = 0
    """Grows with every change that the snapshot should keep."""

    def note_login(self, credential: str, login: int) -> None:
        """Drop the cooldowns and windows of another login: they say nothing about this one."""
        if self.login not in (None, login):
            self.cooldowns.forget(credential)
            self.windows = None
        self.login = login

    def limited_until(self, family: str, now: float) -> float | None:
        """Unix time when the subscription's limits for these models end; None if there is no limit now."""
        ends = [
            entry["until"]
            for entry in self.cooldowns.snapshot(now)
            if entry["reason"] in LIMITED
            and entry["seconds"] > 0
            and entry["family"] in (None, family)
        ]
        return max(ends, default=None)

    def note_windows(self, windows: Windows | None, now: float, sent: float | None = None) -> None:
        """`sent`: unix seconds when the request was sent whose response tells of them."""
        if windows is not None:
            self.windows, self.seen_at = windows, now
            self.version += 1
            if sent is not None:
                self.cooldowns.ease(SUBSCRIPTION, windows.eased(), sent)

    def guard(self, now: float) -> None:
        """Start cooldowns for the limits of the plan that are reached, as far as it is known when they end."""
        for limit in self.windows.spent(now) if self.windows else ():
            if limit.until is not None:
                self.cooldowns.start(SUBSCRIPTION, limit, reason="plan_only", now=now)

    def saved(self) -> JsonObject | None:
        """The windows for the snapshot; `restore` reads them."""
        if self.windows is None:
            return None
        return {"seenAt": self.seen_at, **self.windows.public()}

    def restore(self, saved: JsonObject, now: float) -> None:
        """Raises KeyError, TypeError, ValueError and AttributeError for another form."""
        seen = saved["seenAt"]
        self.windows, self.seen_at = windows_of(saved, now), None if seen is None else float(seen)

    def shown_windows(self) -> list[SubscriptionWindow]:
        return [
            SubscriptionWindow(
                name=window.name,
                label=LABELS.get(window.name, window.name),
                utilization=window.utilization,
                resets_at=window.reset,
                status=window.status,
                seen_at=self.seen_at,
            )
            for window in (self.windows.windows if self.windows else ())
        ]

    def cooldown_seconds(self, now: float) -> dict[tuple[str, str], float]:
        """Seconds left, by credential and model family (`all`: every model)."""
        return {
            (entry["credential"], entry["family"] or "all"): entry["seconds"]
            for entry in self.cooldowns.snapshot(now)
        }
