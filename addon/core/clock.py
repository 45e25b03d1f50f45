"""Time, random numbers and timers, such that tests can replace them."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
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
    """For log lines that others can cause: one a minute, which says how many were left out."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self.due = -math.inf
        self.left_out = 0

    def others(self) -> int | None:
        """How many were left out since the last line, if there may be one now; None: this one is left out, too."""
        now = self.monotonic()
        if now < self.due:
            self.left_out += 1
            return None
        others, self.left_out, self.due = self.left_out, 0, now + 60.0
        return others


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
