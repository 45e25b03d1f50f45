"""Remembers which credential must not be used, for which models, and until when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from addon.core.types import JsonObject
from addon.fallback.rate_limits import Limit

LIMITED = ("rate_limited", "plan_only")
"""Reasons of cooldowns that end when a limit resets."""

_FIRST_STRIKE, _LAST_STRIKE = 60.0, 300.0
"""Seconds of a cooldown when upstream names no end: it doubles from the first to the last value."""

_PROBE_SECONDS = 30.0
"""A probe that has not ended by then counts as lost (its client disconnected), and the next request may probe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooldown:
    """Why a credential must not be used at present."""

    family: str | None
    until: float
    reason: str


@dataclass(slots=True, kw_only=True)
class _Cooldown:
    family: str | None
    until: float
    reason: str
    strikes: int
    began: float
    probed_until: float = 0.0
    prober: str | None = None

    def probed_by_another(self, request: str | None, now: float) -> bool:
        return now < self.probed_until and (request is None or request != self.prober)


class Cooldowns:
    """The cooldowns of all credentials. When one has ended, a single request is let through as a probe; the others wait
    until it succeeds.

    `now` is in unix seconds everywhere, as Anthropic's reset headers are.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str | None], _Cooldown] = {}

    def start(self, credential: str, limit: Limit, *, reason: str, now: float) -> float:
        """Don't use the credential for this limit; returns the unix time when the cooldown ends."""
        key = (credential, limit.family)
        before = self._entries.get(key)
        lasts = before is not None and before.until > now
        # Parallel requests that were rejected together are one strike.
        strikes = (before.strikes if before else 0) + (not lasts)
        until = limit.until or now + min(_FIRST_STRIKE * 2 ** (strikes - 1), _LAST_STRIKE)
        self._entries[key] = _Cooldown(
            family=limit.family,
            until=until,
            reason=reason,
            strikes=strikes,
            began=before.began if before and lasts else now,
        )
        return until

    def admit(
        self, credential: str, family: str, now: float, *, by: str | None = None
    ) -> Cooldown | None:
        """The cooldown that forbids the request; None if it may be sent (as the probe, if a cooldown has just ended).

        `by`: the request's id, so that its own probe does not block its retries.
        """
        blocking = self.blocking(credential, family, now, by=by)
        if blocking is None:
            for _, entry in self._of(credential, family):
                entry.probed_until, entry.prober = now + _PROBE_SECONDS, by
        return blocking

    def blocking(
        self, credential: str, family: str, now: float, *, by: str | None = None
    ) -> Cooldown | None:
        """As `admit`, but nothing is sent."""
        entries = [entry for _, entry in self._of(credential, family)]
        active = [e for e in entries if now < e.until or e.probed_by_another(by, now)]
        if not active:
            return None
        last = max(active, key=lambda e: max(e.until, e.probed_until))
        until = max(last.until, last.probed_until)
        return Cooldown(family=last.family, until=until, reason=last.reason)

    def succeeded(self, credential: str, family: str, now: float) -> None:
        """Upstream accepted a request for this family. A cooldown that began after it was sent remains."""
        for key, entry in self._of(credential, family):
            if entry.until <= now:
                del self._entries[key]

    def ease(self, credential: str, limits: Iterable[str | None], sent: float) -> None:
        """Upstream says that these limits are not reached, in the response to a request that was sent at `sent`: end
        the cooldowns that had begun before."""
        for key in [(credential, family) for family in limits]:
            entry = self._entries.get(key)
            if entry and entry.began < sent and entry.reason in LIMITED:
                del self._entries[key]

    def forget(self, credential: str) -> None:
        """Remove its cooldowns: another login has taken its place, and the old one's limits say nothing about it."""
        for key in [key for key in self._entries if key[0] == credential]:
            del self._entries[key]

    def active(self, credential: str, now: float) -> list[Cooldown]:
        """Those that have not ended yet."""
        return [
            Cooldown(family=entry.family, until=entry.until, reason=entry.reason)
            for (name, _), entry in self._entries.items()
            if name == credential and now < entry.until
        ]

    def snapshot(self, now: float) -> list[JsonObject]:
        """All cooldowns, for `/health`; changes nothing."""
        return [
            {
                "credential": credential,
                "family": family,
                "until": entry.until,
                "seconds": max(0.0, entry.until - now),
                "reason": entry.reason,
            }
            for (credential, family), entry in self._entries.items()
        ]

    def _of(self, credential: str, family: str) -> list[tuple[tuple[str, str | None], _Cooldown]]:
        keys: tuple[tuple[str, str | None], ...] = ((credential, None), (credential, family))
        return [(key, self._entries[key]) for key in keys if key in self._entries]
