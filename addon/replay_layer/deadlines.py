"""When a stream has to say something, and when to give up: deadlines as a value, apart from what is done about them."""

from __future__ import annotations

from dataclasses import dataclass

from addon.core.settings import Settings

LONGEST_TICK = 5.0
"""Seconds. A pending timer keeps a finished stream in memory, so none is long."""
SHORTEST_TICK = 0.02
WAITING_TICK = 1.0
"""Until content flows, deadlines begin between ticks (a connection, a retry), so ticks are closer."""


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(slots=True)
class StreamTimers:
    """The times of one stream, all on one monotonic clock."""

    timing: Timing
    complete_at: float
    """The client's request was complete."""
    last_sent: float
    """The client was sent something."""
    last_received: float
    """Upstream sent something, or was asked."""
    connecting_since: float | None = None
    awaiting_upstream: bool = False
    committed: bool = False
    """A head was sent: from here on errors are events."""
    delivered: bool = False
    """Content was sent: from here on nothing is tried again."""
    hook: object = None
    """The hook that it was seen waiting in, and since when."""
    hook_since: float = 0.0

    def connecting_too_long(self, now: float) -> bool:
        since = self.connecting_since
        return since is not None and now >= since + self.timing.connect

    def upstream_silent_too_long(self, now: float) -> bool:
        return self.awaiting_upstream and now >= self.last_received + self.timing.idle

    def hook_hangs(self, hook: object, now: float) -> bool:
        """`hook`: the one that is waited for at this moment, or None."""
        if hook is not self.hook:
            self.hook, self.hook_since = hook, now
        return hook is not None and now >= self.hook_since + self.timing.idle

    def word_due(self, now: float) -> bool:
        """Whether the client has to hear something now: a first byte, or a keepalive."""
        return now >= self._next_word()

    def delay(self, now: float, *, audible: bool) -> float:
        """Seconds until the next look at this clock. `audible`: the client wants to hear something meanwhile."""
        due = [now + (LONGEST_TICK if self.delivered else WAITING_TICK)]
        word = self._next_word()
        if audible or word > now:
            due.append(word)
        if self.connecting_since is not None:
            due.append(self.connecting_since + self.timing.connect)
        if self.awaiting_upstream:
            due.append(self.last_received + self.timing.idle)
        if self.hook is not None:
            due.append(self.hook_since + self.timing.idle)
        return max(min(due) - now, SHORTEST_TICK)

    def _next_word(self) -> float:
        if self.committed:
            return self.last_sent + self.timing.keepalive
        return self.complete_at + self.timing.first_byte
