"""Whatever becomes of a summary's paid call, there is a record of it, and nothing stays set aside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from addon.addons.summary_call import SummaryCall
from addon.context.summarizer import SummaryResponse
from addon.core.errors import CCProxyError
from addon.core.json_codec import dumps
from addon.core.own_http import own_http
from addon.core.settings import Settings
from addon.usage.budget import Budget, BudgetSettings, PaidCalls
from addon.usage.ledger import UsageLedger
from addon.usage.record import RequestRecord, picodollars
from tests.claude.support import CATALOGUE
from tests.clock import NOW

HAIKU = CATALOGUE.get("claude-haiku-4-5")
REQUEST = {"model": HAIKU.id, "max_tokens": 1000, "messages": []}
ANSWER = {
    "content": [{"type": "text", "text": "What was said."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1_000_000, "output_tokens": 0},
}

type Handler = Callable[[httpx.Request], Awaitable[httpx.Response]]


class World:
    """A summary call whose requests come to `handler`."""

    def __init__(self, handler: Handler) -> None:
        self.ledger = UsageLedger(lambda: NOW)
        self.budget = Budget(self.ledger, BudgetSettings(daily=100.0, enabled=True))
        self.call = SummaryCall(
            "http://upstream.example",
            "sk-ant-api03-test",
            own_http(transport=httpx.MockTransport(handler)),
            catalogue=CATALOGUE,
            paid=PaidCalls(Settings(), self.budget, CATALOGUE.get),
            ledger=self.ledger,
            clock=lambda: NOW,
        )

    async def make(self) -> SummaryResponse:
        return await self.call(REQUEST)

    def record(self) -> RequestRecord:
        (only,) = self.ledger.recent()
        return only

    def nothing_is_held(self) -> bool:
        """All of the limit that is not spent is free for two calls at a time."""
        left = picodollars(100.0) - picodollars(self.budget.spent()["day"])
        self.budget.reserve(left - 1)
        self.budget.reserve(1)
        return True


def answering(status: int, body: object) -> Handler:
    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=dumps(body))

    return answer


async def test_what_was_used_is_recorded_as_paid() -> None:
    world = World(answering(200, ANSWER))
    answer = await world.make()
    assert (answer.text, answer.complete) == ("What was said.", True)
    found = world.record()
    assert (found.source, found.model, found.status) == ("summary", HAIKU.id, 200)
    assert found.cost == picodollars(answer.cost) > 0
    assert found.error is None
    assert world.nothing_is_held()


async def test_a_refused_call_is_recorded_with_its_error() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    world = World(answering(529, error))
    with pytest.raises(CCProxyError, match="Overloaded"):
        await world.make()
    assert (world.record().status, world.record().error) == (529, "overloaded_error")
    assert world.nothing_is_held()


async def test_a_call_that_is_given_up_is_recorded_for_it_may_be_billed() -> None:
    asked = asyncio.Event()

    async def silent(request: httpx.Request) -> httpx.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody wakes it")

    world = World(silent)
    task = asyncio.create_task(world.make())
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    found = world.record()
    assert (found.source, found.model, found.status) == ("summary", HAIKU.id, 504)
    assert found.error == "timeout"
    assert found.cost >= picodollars(REQUEST["max_tokens"] * HAIKU.prices.output / 1e6)
    assert world.nothing_is_held()
