"""Tells those who guess the secret to stop, and what they send is no longer logged.

The right secret is let in whatever came before: Cursor's users share Cursor's servers, and one of them could shut the
others out. So it is the secret's length that keeps a guesser out, not this."""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Callable

from addon.core.errors import RateLimited, Unauthorized
from addon.core.lru import Lru

WRONG_ALLOWED = 10
SECONDS = 60.0
CALLERS = 1_000
TOO_MANY = "too_many_wrong_secrets"


class Guesses:
    """Counts wrong secrets by caller. `clock`: seconds that only grow."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wrong: Lru[bytes, deque[float]] = Lru(CALLERS)

    def wrong(self, caller: str, error: Unauthorized) -> Unauthorized | RateLimited:
        """What a caller is told whose secret was wrong: `error`, or after ten of them within a minute that there were
        too many."""
        now, known = self._clock(), _known_as(caller)
        times = self._wrong.get(known)
        if times is None:
            times = deque(maxlen=WRONG_ALLOWED)
            self._wrong.put(known, times)
        if len(times) == WRONG_ALLOWED and (wait := times[0] + SECONDS - now) > 0:
            return RateLimited(
                "Too many wrong secrets. The right one (PROXY_SECRET_KEY) as the API key works at once.",
                code=TOO_MANY,
                retry_after=wait,
            )
        times.append(now)
        return error


def _known_as(caller: str) -> bytes:
    """An address, or the network that its owner may choose IPv6 addresses from."""
    try:
        address = ipaddress.ip_address(caller)
    except ValueError:
        return caller[:64].encode("utf-8", "replace")
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).packed[:8]
