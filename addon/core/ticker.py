"""Something that is done again and again while the proxy runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


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
