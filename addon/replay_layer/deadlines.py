"""When a stream has to send something, and when to give up: deadlines as values, apart from what is done about them."""

from __future__ import annotations

from dataclasses import dataclass

from addon.core.frozen import frozen
from addon.core.settings import Settings

LONGEST_TICK = 5.0
"""Seconds. A pending timer keeps a finished stream in memory, so no timer is long."""
SHORTEST_TICK = 0.02
WAITING_TICK = 1.0
"""Until content flows, deadlines start between two ticks (a connection, a retry), so ticks are closer together."""
LINGER_SECONDS = 2.0
"""For upstream to end a response whose last event has come."""


@frozen(kw_only=True)
class Timing:
    """Deadlines, in seconds."""

    first_byte: float = 10.0
    keepalive: float = 15.0
    connect: float = 10.0
    idle: float = 600.0

    @classmethod
    def from_settings(cls, settings: Settings) -> Timing:
        return cls(
            first_byte=settings.first_byte_seconds,
            keepalive=settings.keepalive_seconds,
            connect=settings.connect_seconds,
            idle=settings.upstream_idle_seconds,
        )


@dataclass(eq=False, repr=False, slots=True, kw_only=True)
class StreamTimers:
    """The times of one stream, all on one monotonic clock. What is None does not run."""

    timing: Timing
    complete_at: float
    """The client's request was complete."""
    last_sent: float | None = None
    """The client was sent something; None: not even a head."""
    connecting_since: float | None = None
    last_received: float | None = None
    """Upstream sent something, or was asked; None: nothing is expected of it."""
    hook: object = None
    """The hook that it was seen waiting in, and since when."""
    hook_since: float = 0.0

    def connecting_too_long(self, now: float) -> bool:
        since = self.connecting_since
        return since is not None and now >= since + self.timing.connect

    def upstream_silent_too_long(self, now: float) -> bool:
        last = self.last_received
        return last is not None and now >= last + self.timing.idle

    def lingers(self, now: float) -> bool:
        """Whether nothing has come for so long that a response which is complete may be ended."""
        last = self.last_received
        return last is not None and now >= last + LINGER_SECONDS

    def hook_hangs(self, hook: object, now: float) -> bool:
        """`hook`: the one that is waited for at this moment, or None."""
        if hook is not self.hook:
            self.hook, self.hook_since = hook, now
        return hook is not None and now >= self.hook_since + self.timing.idle

    def output_due(self, now: float) -> bool:
        """Whether the client has to be sent something now: a first byte, or a keepalive."""
        return now >= self._next_output()

    def delay(self, now: float, *, audible: bool, delivered: bool) -> float:
        """Seconds until the next look at this clock. `audible`: the client is sent keepalives meanwhile. `delivered`:
        content was sent."""
        due = [now + (LONGEST_TICK if delivered else WAITING_TICK)]
        output = self._next_output()
        if audible or output > now:
            due.append(output)
        if self.connecting_since is not None:
            due.append(self.connecting_since + self.timing.connect)
        if self.last_received is not None:
            due.append(self.last_received + self.timing.idle)
        if self.hook is not None:
            due.append(self.hook_since + self.timing.idle)
        return max(min(due) - now, SHORTEST_TICK)

    def _next_output(self) -> float:
        if self.last_sent is None:
            return self.complete_at + self.timing.first_byte
        return self.last_sent + self.timing.keepalive
