"""Time and luck, as values that a test can replace."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    wall: Callable[[], float] = time.time
    """Unix seconds: what other programs wrote is measured by it. It may jump."""
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    pause: Callable[[float], None] = time.sleep
    """Blocks the (worker) thread."""
    random: Callable[[], float] = random.random
    """0 to 1, to keep many processes from acting at the same moment."""


SYSTEM = Clock()


class Ticker:
    """Calls `work` every `seconds`, from `start` to `stop`.

    What `work` raises is logged by the event loop, and the next call is made all the same: a task with a loop in it
    would end without a word, and what it watches over would be unwatched from then on.
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
