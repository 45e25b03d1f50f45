"""How full the subscription's own limits are, as Anthropic's answers tell."""

from __future__ import annotations

from dataclasses import dataclass

from addon.core.types import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionWindow:
    """One limit of the subscription, from the `anthropic-ratelimit-unified-*` headers of the newest answer."""

    name: str
    """As in the header: `5h`, `7d`, `7d_oi`."""
    label: str
    """For people: `5 hours`."""
    utilization: float | None
    """0 is fresh, 1 is used up; None when the answer did not say."""
    resets_at: float | None
    """Unix seconds."""
    status: str | None = None
    """`allowed`, `allowed_warning` or `rejected`."""
    seen_at: float | None = None
    """Unix seconds of the answer that said so."""

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
    """A time as JSON has it: unix milliseconds, what JavaScript's `Date` takes."""
    return None if seconds is None else round(seconds * 1000)
