"""What is remembered of requests that were refused: wrong secrets by caller, and the last ones for a person to read.

The right secret is let in whatever came before: Cursor's users share Cursor's servers, and one of them could shut the
others out. So it is the secret's length that keeps a guesser out, not a count."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Literal

from addon.core.clock import OnceAMinute
from addon.core.errors import CCProxyError, RateLimited
from addon.core.lru import Lru
from addon.core.settings import Settings
from addon.core.types import JsonObject
from addon.core.version import STARTED_AS
from addon.exchange.access import NOT_ON_LIST

logger = logging.getLogger(__name__)

WRONG_ALLOWED = 10
SECONDS = 60.0
CALLERS = 1_000
TOO_MANY = "too_many_wrong_secrets"
BLOCKED_KEPT = 100


type Kind = Literal[
    "rejected requests",
    "wrong secrets beyond the limit",
    "connections of unknown callers closed",
    "connections closed whose client read nothing",
]


class LineAMinute:
    """What the log says of what anybody can do from outside: one line a minute, of whatever kind. It has the first of
    them, and counts by kind what came since the last line."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._minute = OnceAMinute(clock)
        self._counts: Counter[Kind] = Counter()

    def say(self, kind: Kind, line: str) -> None:
        if not self._minute.may_say():
            self._counts[kind] += 1
            return
        counted = ", ".join(f"{kind}: {count}" for kind, count in self._counts.items())
        self._counts.clear()
        logger.warning("%s%s", line, f" Since the last such line, {counted}." if counted else "")


class Guesses:
    """Counts wrong secrets by caller. `clock`: seconds that only grow."""

    def __init__(self, clock: Callable[[], float], lines: LineAMinute) -> None:
        self._clock = clock
        self._lines = lines
        self._wrong: Lru[bytes, deque[float]] = Lru(CALLERS)

    def wrong[E: CCProxyError](self, caller: str, error: E) -> E | RateLimited:
        """What a caller is told whose secret was wrong: `error`, or after ten of them within a minute that there were
        too many."""
        now, known = self._clock(), _known_as(caller)
        times = self._wrong.get(known)
        if times is None:
            times = deque(maxlen=WRONG_ALLOWED)
            self._wrong.put(known, times)
        if len(times) == WRONG_ALLOWED and (wait := times[0] + SECONDS - now) > 0:
            self._lines.say(
                "wrong secrets beyond the limit",
                f"Somebody guesses the secret: more than {WRONG_ALLOWED} in a minute.",
            )
            return RateLimited(
                f"Too many wrong secrets. The right one, which {STARTED_AS} tunnel shows, works at once as the"
                " API key.",
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


class Blocked:
    """For `GET /security/blocked`, newest first."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.entries: deque[JsonObject] = deque(maxlen=BLOCKED_KEPT)

    def note(
        self, method: str, path: str, address: str | None, error: CCProxyError, allow: str | None
    ) -> None:
        """`address`: who called through a tunnel, as the tunnel says; None for this machine. `allow`: the line of
        `.env` that would let it in."""
        self.entries.appendleft(
            {
                "time": round(self.clock() * 1000),
                "method": method[:16],
                "path": path.partition("?")[0][:200],
                "address": address[:64] if address else None,
                "status": error.status,
                "reason": error.message,
                "allow": allow,
            }
        )


def line_that_allows(address: str | None, error: CCProxyError, settings: Settings) -> str | None:
    """The `.env` line that would let this address in, if that is why it was refused."""
    try:
        known = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    if error.code != NOT_ON_LIST:
        return None
    return f"ALLOWED_IPS={','.join(map(str, [*(settings.allowed_ips or ()), known]))}"
