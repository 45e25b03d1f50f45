"""Small work that may wait a moment is done many at a time, in order, and at once for whoever needs it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from addon.core.clock import Batch


def waiting() -> Batch:
    batch = Batch()
    batch.waits = True
    return batch


def noted(done: list[int], number: int) -> Callable[[], None]:
    return lambda: done.append(number)


def test_work_is_done_as_it_comes_unless_it_may_wait() -> None:
    batch, done = Batch(), list[int]()
    for number in range(3):
        batch.add(noted(done, number))
        assert done == list(range(number + 1))


def test_work_waits_for_more_or_for_a_moment() -> None:
    async def run() -> None:
        batch, done = waiting(), list[int]()
        for number in range(Batch.MOST):
            batch.add(noted(done, number))
            assert done == []
            await asyncio.sleep(0)
        assert done == list(range(Batch.MOST))
        batch.add(noted(done, -1))
        assert done[-1] != -1
        await asyncio.sleep(3 * Batch.SECONDS)
        assert done[-1] == -1

    asyncio.run(run())


def test_who_needs_the_work_has_it_done() -> None:
    async def run() -> None:
        batch, done = waiting(), list[int]()
        batch.add(noted(done, 0))
        batch.catch_up()
        assert done == [0]
        batch.add(noted(done, 1))
        batch.add(noted(done, 2), now=True)
        assert done == [0, 1, 2]

    asyncio.run(run())


def test_what_waits_holds_little() -> None:
    async def run() -> None:
        batch, done = waiting(), list[int]()
        batch.add(noted(done, 0), holds=Batch.MOST_BYTES)
        assert done == []
        batch.add(noted(done, 1), holds=1)
        assert done == [0, 1]
        batch.add(noted(done, 2), holds=Batch.MOST_BYTES)
        assert done == [0, 1]
        await asyncio.sleep(3 * Batch.SECONDS)
        batch.add(noted(done, 3), holds=Batch.MOST_BYTES)
        assert done == [0, 1, 2]

    asyncio.run(run())


def test_others_have_their_turn() -> None:
    async def run() -> None:
        batch, turns = waiting(), list[int]()
        for _ in range(Batch.MOST):
            batch.add(lambda: time.sleep(2 * Batch.TURN))
        while batch.waiting:
            turns.append(len(batch.waiting))
            await asyncio.sleep(0)
        # one piece in each turn; two once the time is up, on a busy machine
        assert turns == sorted(set(turns), reverse=True) and len(turns) > Batch.MOST / 2

    asyncio.run(run())


@pytest.mark.parametrize("error", [ValueError, SystemExit, asyncio.CancelledError])
def test_work_that_fails_keeps_nothing_else_from_being_done(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """An exit in the loop itself would end the proxy."""

    def fail() -> None:
        raise error

    async def run() -> None:
        batch, done = waiting(), list[int]()
        batch.add(fail)
        batch.add(noted(done, 1))
        batch.catch_up()
        assert done == [1] and "fail" in caplog.text
        batch.add(noted(done, 2))
        await asyncio.sleep(3 * Batch.SECONDS)
        assert done == [1, 2]

    asyncio.run(run())
