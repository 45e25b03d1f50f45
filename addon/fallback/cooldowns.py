"""Which credential is left alone, for which models, and until when."""

from __future__ import annotations

from dataclasses import dataclass

from addon.core.types import JsonObject
from addon.fallback.rate_limits import Limit

_FIRST_STRIKE, _LAST_STRIKE = 60.0, 900.0
"""Seconds to leave a credential alone when nobody says until when: doubles from one to the other."""

_PROBE_SECONDS = 30.0
"""A probe that has not reported by then is lost (its client left), and the next request may probe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooldown:
    """Why a credential is left alone for now."""

    family: str | None
    until: float
    reason: str


@dataclass(slots=True, kw_only=True)
class _Cooldown:
    family: str | None
    until: float
    reason: str
    strikes: int
    probed_until: float = 0.0
    prober: str | None = None

    def probed_by_another(self, request: str | None, now: float) -> bool:
        return now < self.probed_until and (request is None or request != self.prober)


class Cooldowns:
    """Which credential rests, for which models, until when. When a rest is over, one request goes first as a probe.

    `now` is unix seconds everywhere, since resets are.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str | None], _Cooldown] = {}

    def start(self, credential: str, limit: Limit, *, reason: str, now: float) -> float:
        """Leave the credential alone; gives the unix time until when."""
        key = (credential, limit.family)
        before = self._entries.get(key)
        strikes = before.strikes if before else 0
        # Parallel requests that were refused together are one strike.
        if before is None or before.until <= now:
            strikes += 1
        until = limit.until or now + min(_FIRST_STRIKE * 2 ** (strikes - 1), _LAST_STRIKE)
        self._entries[key] = _Cooldown(
            family=limit.family, until=until, reason=reason, strikes=strikes
        )
        return until

    def admit(
        self, credential: str, family: str, now: float, *, by: str | None = None
    ) -> Cooldown | None:
        """None: go ahead (and if a rest has just ended, this request is its one probe).

        `by`: the request's id, so that its own retries are not held up by its own probe.
        """
        entries = [entry for _, entry in self._of(credential, family)]
        resting = [e for e in entries if now < e.until or e.probed_by_another(by, now)]
        if resting:
            last = max(resting, key=lambda e: max(e.until, e.probed_until))
            until = max(last.until, last.probed_until)
            return Cooldown(family=last.family, until=until, reason=last.reason)
        for entry in entries:
            entry.probed_until, entry.prober = now + _PROBE_SECONDS, by
        return None

    def succeeded(self, credential: str, family: str, now: float) -> None:
        """Upstream let a request of this family through. A rest that began after it was sent stays."""
        for key, entry in self._of(credential, family):
            if entry.until <= now:
                del self._entries[key]

    def forget(self, credential: str) -> None:
        """Another login took its place under the same name: what was refused to the old one says nothing of it."""
        for key in [key for key in self._entries if key[0] == credential]:
            del self._entries[key]

    def snapshot(self, now: float) -> list[JsonObject]:
        """For /health; changes nothing."""
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
