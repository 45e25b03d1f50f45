"""Remembers which credential must not be used, for which models, and until when."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from addon.core.frozen import frozen
from addon.core.types import JsonObject
from addon.fallback.rate_limits import Limit

LIMITED = ("rate_limited", "plan_only")
"""Reasons of cooldowns that end when a limit resets."""

_FIRST_STRIKE, _LAST_STRIKE = 60.0, 300.0
"""Seconds of a cooldown when upstream names no end: it doubles from the first to the last value."""

_DRIFT = 2.0
"""Seconds by which the two clocks may differ without one being set."""

_PROBE_SECONDS = 30.0
"""A probe that has not ended by then counts as lost (its client disconnected), and the next request may probe."""


@frozen(kw_only=True)
class Cooldown:
    """Why a credential must not be used at present."""

    family: str | None
    until: float
    reason: str


@dataclass(eq=False, repr=False, slots=True, kw_only=True)
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

    `now` is in unix seconds everywhere, as Anthropic's reset headers are. A clock that is set back moves the ends of
    cooldowns with it; one that is set ahead ends them, as the end of a suspension does.
    """

    def __init__(self, monotonic: Callable[[], float] | None = None) -> None:
        """`monotonic`: a clock that nobody sets; None: the other one is not set either."""
        self._entries: dict[tuple[str, str | None], _Cooldown] = {}
        self._monotonic = monotonic
        self._seen: tuple[float, float] | None = None
        """Both clocks, when they were last looked at."""

    def _keep_up(self, now: float) -> None:
        if self._monotonic is None:
            return
        before, self._seen = self._seen, (now, self._monotonic())
        if before is None:
            return
        set_back = (self._seen[1] - before[1]) - (now - before[0])
        if set_back > _DRIFT:
            for entry in self._entries.values():
                entry.until -= set_back
                entry.probed_until -= set_back
                entry.began -= set_back

    def start(self, credential: str, limit: Limit, *, reason: str, now: float) -> float:
        """Don't use the credential for this limit; returns the unix time when the cooldown ends."""
        self._keep_up(now)
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
        self._keep_up(now)
        entries = [entry for _, entry in self._of(credential, family)]
        active = [e for e in entries if now < e.until or e.probed_by_another(by, now)]
        if not active:
            return None
        last = max(active, key=lambda e: max(e.until, e.probed_until))
        until = max(last.until, last.probed_until)
        return Cooldown(family=last.family, until=until, reason=last.reason)

    def succeeded(self, credential: str, family: str, now: float) -> None:
        """Upstream accepted a request for this family. A cooldown that began after it was sent remains."""
        self._keep_up(now)
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
        self._keep_up(now)
        return [
            Cooldown(family=entry.family, until=entry.until, reason=entry.reason)
            for (name, _), entry in self._entries.items()
            if name == credential and now < entry.until
        ]

    def snapshot(self, now: float) -> list[JsonObject]:
        """All cooldowns, for `/health`; starts and ends none."""
        self._keep_up(now)
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
