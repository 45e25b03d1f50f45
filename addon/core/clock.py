"""Time, random numbers and timers, such that tests can replace them."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable

from addon.core.frozen import frozen

logger = logging.getLogger(__name__)


@frozen(kw_only=True)
class Clock:
    wall: Callable[[], float] = time.time
    """Unix seconds, for comparison with times from other programs. It may jump."""
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    pause: Callable[[float], None] = time.sleep
    """Blocks the thread, which must be a worker thread."""
    random: Callable[[], float] = random.random
    """A number from 0 to 1, to keep processes from acting at the same moment."""


SYSTEM = Clock()


class OnceAMinute:
    """For log lines that others can cause."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self.due = -math.inf

    def may_say(self) -> bool:
        """Whether there may be a line now; if so, there may be no other for a minute."""
        now = self.monotonic()
        if now < self.due:
            return False
        self.due = now + 60.0
        return True


class Ticker:
    """Calls `work` every `seconds`, from `start` to `stop`.

    If `work` raises, the event loop logs the exception and the next call is made nevertheless. (A task with a loop
    would end silently.)
    """

    def __init__(self, seconds: float, work: Callable[[], None]) -> None:
        self.seconds = seconds
        self.work = work
        self.next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.next = asyncio.get_running_loop().call_later(self.seconds, self._tick)

    def stop(self) -> None:
        if self.next is not None:
            self.next.cancel()

    def _tick(self) -> None:
        self.start()
        self.work()


class Batch:
    """Does small pieces of work many at a time, in order. Each by itself would find neither its code nor its objects
    in the processor's caches, and push out what others use. Whoever reads what the work leaves calls `catch_up`."""

    MOST = 32
    MOST_BYTES = 256 * 1024
    """What waits may hold so much."""
    SECONDS = 0.1
    """The longest that a piece waits."""
    TURN = 0.001
    """Seconds after which others have their turn."""

    def __init__(self) -> None:
        self.waits = False
        """Whether work may wait; else it is done as it comes."""
        self.waiting: deque[Callable[[], None]] = deque()
        self.held = 0

    def add(self, work: Callable[[], None], *, holds: int = 0, now: bool = False) -> None:
        """`holds`: bytes that it keeps in memory; `now`: what waits is done, and then this."""
        self.waiting.append(work)
        self.held += holds
        if now or not self.waits or self.held > self.MOST_BYTES:
            self.catch_up()
        elif len(self.waiting) == 1:
            asyncio.get_running_loop().call_later(self.SECONDS, self._go_on)
        elif len(self.waiting) == self.MOST:
            asyncio.get_running_loop().call_soon(self._go_on)

    def catch_up(self) -> None:
        self._work(math.inf)

    def _go_on(self) -> None:
        self._work(time.monotonic() + self.TURN)

    def _work(self, until: float) -> None:
        while self.waiting and time.monotonic() < until:
            work = self.waiting.popleft()
            try:
                work()
            except (Exception, asyncio.CancelledError, SystemExit):
                # It may run beside any request, or in the loop itself, which an exit would end, and with it the proxy.
                logger.exception("%r failed", work)
        if self.waiting:
            asyncio.get_running_loop().call_soon(self._go_on)
        else:
            self.held = 0
