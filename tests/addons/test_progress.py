"""What is said of a request that waits long: once for each mark, and what it waits for."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

from mitmproxy import http
from mitmproxy.test import tflow

from addon.addons.progress import Progress
from addon.claude.catalogue import Catalogue
from addon.claude.names import ModelChoice
from addon.claude.thinking_request import ThinkingRequest
from addon.core.environment import models_files
from addon.core.terminal import Terminal
from addon.exchange.attempt import Attempt
from addon.exchange.claude_request import ClaudeRequest
from addon.exchange.state import Exchange, Exchanges
from addon.translation.types import Reply
from tests.clock import Clock

CATALOGUE: Catalogue = Catalogue.load(*models_files(Path("/nonexistent")))


def waiting(exchanges: Exchanges, clock: Clock) -> tuple[http.HTTPFlow, Exchange]:
    """The flow as well: exchanges end with their flows."""
    flow = tflow.tflow()
    exchange = exchanges.begin(flow)
    exchange.clock = clock.now
    exchange.claude = ClaudeRequest(
        asked="claude-opus-5",
        choice=ModelChoice(id="claude-opus-5"),
        model=CATALOGUE.get("claude-opus-5"),
        request={},
        reply=Reply(model="claude-opus-5"),
        thinking_request=ThinkingRequest(),
        max_tokens_given=True,
        betas=set(),
    )
    return flow, exchange


def attempt() -> Attempt:
    return Attempt(
        source="claude_code", credential="subscription", scheme="https", host="h", port=443,
        path="/", headers=[], body=b"", auth=("a", "b"),
    )  # fmt: skip


def test_each_mark_is_said_once() -> None:
    clock, exchanges = Clock(), Exchanges()
    progress = Progress(exchanges, Terminal(io.StringIO()), clock)
    _flow, _ = waiting(exchanges, clock)
    said = []
    for _ in range(70):
        clock.now += 1
        said += list(progress.look())
    assert [line.split(" ", 1)[1] for line in said] == [
        f"opus-5     {seconds} s: not sent yet" for seconds in (10, 30, 60)
    ]


def test_it_says_what_is_waited_for() -> None:
    clock, exchanges = Clock(), Exchanges()
    progress = Progress(exchanges, Terminal(io.StringIO()), clock)
    _flow, exchange = waiting(exchanges, clock)
    exchange.attempts.append(attempt())
    clock.now += 10
    assert "Anthropic has not responded yet" in next(progress.look())
    exchange.doing = "bringing the conversation within its limit"
    clock.now += 20
    assert "bringing the conversation within its limit" in next(progress.look())


def test_what_has_ended_is_not_waited_for() -> None:
    clock, exchanges = Clock(), Exchanges()
    progress = Progress(exchanges, Terminal(io.StringIO()), clock)
    _flow, exchange = waiting(exchanges, clock)
    exchange.finished = True
    clock.now += 10
    assert list(progress.look()) == []


async def test_a_pause_says_that_it_is_one() -> None:
    _flow, exchange = waiting(Exchanges(), Clock())
    pausing = asyncio.create_task(exchange.pause(30))
    await asyncio.sleep(0)
    assert exchange.doing == "waiting 30 s before it is sent again"
    exchange.gone.set()
    await pausing
    assert exchange.doing == ""
