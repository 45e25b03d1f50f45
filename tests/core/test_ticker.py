"""What is done again and again goes on when it fails once."""

from __future__ import annotations

import asyncio
from typing import Any

from addon.core.clock import Ticker


async def test_a_failure_is_told_and_does_not_end_it() -> None:
    calls: list[int] = []
    enough = asyncio.Event()
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    def work() -> None:
        calls.append(len(calls))
        if len(calls) == 2:
            raise KeyError("gone")
        if len(calls) == 4:
            ticker.stop()
            enough.set()

    ticker = Ticker(0.001, work)
    ticker.start()
    await asyncio.wait_for(enough.wait(), 10)
    await asyncio.sleep(0.01)
    assert calls == [0, 1, 2, 3], "and it ends when it is stopped"
    assert [str(context["exception"]) for context in told] == ["'gone'"]


async def test_one_that_was_never_started_can_be_stopped() -> None:
    Ticker(1, lambda: None).stop()
