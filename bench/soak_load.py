"""The two ends of the soak: what the fake does to each request, and clients that look at every byte they get."""

from __future__ import annotations

import asyncio
import functools
import json
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.limits import windows
from addon.stand_in.record import Received
from addon.stand_in.script import Answer, broken, delivered, fail, say

type Dialect = Literal["chat", "messages", "responses"]
type End = Literal["whole", "error", "left", "wrong"]

LONG_TEXT = "Over and over the waves came in, and each of them went out again. " * 40
RATE = 5.0
"""Requests a second."""
LONG_STREAMS = 100
"""At any time, a minute each."""
LEAVE = 0.1
"""The share of clients that leave early."""
_NAME = re.compile(rb"soak-(?:long-|left-)?[0-9]+")
LONGEST = 600.0
"""Seconds after which a request counts as hanging; one that is late may only show how busy the machine is."""
MOST_SHORT = 80
"""Requests at once beside the long streams. Where RATE is too much for the machine, fewer are begun, for those that
wait would prove nothing."""

# ------------------------------------------------------------------------------------------------ upstream

FATES: Mapping[str, tuple[int, Answer]] = {
    "usual": (60, Answer()),
    "slow": (8, delivered(say(LONG_TEXT, deltas=20), every=0.05)),
    "unauthorized": (2, fail(401, "Invalid bearer token")),
    "forbidden": (1, fail(403, "Not for you")),
    "busy": (3, fail(429, headers={"retry-after": "1"})),
    "overloaded": (4, fail(529)),
    "failing": (2, fail(500)),
    "refused": (1, fail(400, "messages.0: wrong")),
    "reset": (2, delivered(cut="rst")),
    "closed": (1, delivered(cut="fin")),
    "cut-early": (2, delivered(cut="fin", after_events=1)),
    "cut": (3, delivered(say(LONG_TEXT), cut="fin", after_events=9)),
    "torn": (2, delivered(say(LONG_TEXT), cut="rst", after_bytes=2000)),
    "short": (2, delivered(say(LONG_TEXT), cut="end", after_events=9)),
    "broken": (2, broken(after=2)),
    "broken-early": (1, broken()),
    "late": (3, delivered(hold=2.5)),
    "pausing": (3, delivered(say(LONG_TEXT), pause_after=6, pause=3.0)),
    "stalled": (1, delivered(say(LONG_TEXT), pause_after=6, pause=30.0)),
}
"""What becomes of a request upstream: how often, and how."""


def fate(request: Received, seed: int) -> str:
    """Always the same for the same request."""
    rng = random.Random(seed * 1_000_003 + request.number)
    chosen = rng.choices([*FATES], [often for often, _ in FATES.values()])[0]
    # A refused permission is remembered for ten minutes: one family is enough for that.
    return "usual" if chosen == "forbidden" and b"haiku" not in request.body else chosen


def script(fake: FakeAnthropic, seed: int) -> None:
    fake.script(
        delivered(say(LONG_TEXT, deltas=240), every=0.25), when=lambda r: b"soak-long" in r.body
    )
    fake.script(
        delivered(say(LONG_TEXT, deltas=20), every=0.1),
        when=lambda r: b"soak-left" in r.body and fate(r, seed) == "usual",
    )
    for name, (_, answer) in FATES.items():
        if name != "usual":
            fake.script(answer, when=functools.partial(_is, name, seed))


def _is(name: str, seed: int, request: Received) -> bool:
    return request.path == "/v1/messages" and fate(request, seed) == name


def exhaust(fake: FakeAnthropic, seconds: float) -> None:
    """The next request by subscription that nothing else befalls finds its window full, for so long."""
    now = time.time()
    headers = windows({"5h": now + seconds, "7d": now + 86_400}, frozenset({"5h"}))
    fake.script([fail(429, "Your limit is reached", headers=headers)], when="oauth")


def asked_by(request: Received) -> str:
    """The name of the client's request that an upstream request is about."""
    found = _NAME.search(request.body)
    return found[0].decode() if found else ""


# ------------------------------------------------------------------------------------------------ clients


@dataclass(slots=True)
class Result:
    """What a client saw of one request."""

    name: str
    dialect: Dialect
    stream: bool
    end: End = "wrong"
    status: int = 0
    begun: bool = False
    """Its head was about to leave; a client may have changed its mind before."""
    sent: bool = False
    """Its head has left for certain. One that is `begun` only may have as well: its client left in the middle."""
    request_id: str | None = None
    seconds: float = 0.0
    gap: float = 0.0
    """The longest silence on a stream."""
    said: str = ""
    """The end of what came, of an answer that is wrong."""


@dataclass(slots=True)
class Clients:
    http: httpx.AsyncClient
    rng: random.Random
    dialects: Sequence[Dialect] = ("chat", "messages", "responses")
    results: list[Result] = field(default_factory=list)

    async def keep_asking(self, minutes: float) -> None:
        """For so long, and then until every answer has ended."""
        end = time.monotonic() + minutes * 60
        async with asyncio.TaskGroup() as group:
            for number in range(LONG_STREAMS):
                group.create_task(self.long_streams(number, end))
            await self.requests(group, end)

    async def requests(self, group: asyncio.TaskGroup, end: float) -> None:
        number, rng, room = 0, self.rng, asyncio.Semaphore(MOST_SHORT)
        while time.monotonic() < end:
            leaves, stream = rng.random() < LEAVE, rng.random() < 0.7
            name = f"soak-{'left-' if leaves else ''}{number:06d}"
            await room.acquire()
            asked = group.create_task(self.one(name, stream=stream, leaves=leaves))
            asked.add_done_callback(lambda _: room.release())
            number += 1
            await asyncio.sleep(rng.expovariate(RATE))

    async def long_streams(self, number: int, end: float) -> None:
        turn = 0
        while time.monotonic() < end:
            await self.one(f"soak-long-{number:03d}{turn:03d}", stream=True, leaves=False)
            turn += 1

    async def one(self, name: str, *, stream: bool, leaves: bool) -> None:
        dialect = self.rng.choice(self.dialects)
        result = Result(name, dialect, stream)
        stay = self.rng.uniform(0.0, 2.0) if leaves else LONGEST
        started = time.monotonic()
        try:
            async with asyncio.timeout(stay):
                await self.ask(result)
        except TimeoutError:
            result.end = "left" if leaves else "wrong"
            result.said = "" if leaves else "no end"
        except httpx.HTTPError as error:
            result.said = f"{type(error).__name__}: {error}"
        result.seconds = time.monotonic() - started
        self.results.append(result)

    async def ask(self, result: Result) -> None:
        path, body = request(result, self.rng)

        async def trace(name: str, _: Mapping[str, Any]) -> None:
            result.begun = result.begun or name.endswith("send_request_headers.started")
            result.sent = result.sent or name.endswith("send_request_headers.complete")

        extensions = {"trace": trace}
        async with self.http.stream("POST", path, json=body, extensions=extensions) as response:
            result.status = response.status_code
            result.request_id = response.headers.get("x-request-id")
            pieces, last = [], time.monotonic()
            async for piece in response.aiter_raw():
                now = time.monotonic()
                result.gap, last = max(result.gap, now - last), now
                pieces.append(piece)
        content = b"".join(pieces).decode()
        result.end = ending(result, content)
        result.said = content[-300:] if result.end == "wrong" else ""


def request(result: Result, rng: random.Random) -> tuple[str, dict[str, Any]]:
    model = rng.choice(("claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5"))
    text = f"{result.name} {'Tell me more. ' * rng.randrange(200)}"
    user = [{"role": "user", "content": text}]
    match result.dialect:
        case "chat":
            body: dict[str, Any] = {"messages": user}
            path = "/v1/chat/completions"
        case "messages":
            body, path = {"messages": user, "max_tokens": 1000}, "/v1/messages"
        case "responses":
            body, path = {"input": text}, "/v1/responses"
    return path, {**body, "model": model, "stream": result.stream}


ENDS: Mapping[Dialect, str] = {
    "chat": "data: [DONE]",
    "messages": "event: message_stop",
    "responses": "event: response.completed",
}
FAILURES: Mapping[Dialect, re.Pattern[str]] = {
    "chat": re.compile(r'^data: \{"error":', re.MULTILINE),
    "messages": re.compile(r"^event: error", re.MULTILINE),
    "responses": re.compile(r"^event: (?:error|response\.failed)", re.MULTILINE),
}


def ending(result: Result, content: str) -> End:
    """A whole answer, or one clear error, and never both."""
    if result.status >= 400 or not result.stream:
        return _plain_ending(result.status, content)
    ended = content.count(ENDS[result.dialect])
    failed = len(FAILURES[result.dialect].findall(content))
    match ended, failed:
        case 1, 0:
            return "whole"
        case 0, 1:
            return "error"
        case _:
            return "wrong"


def _plain_ending(status: int, content: str) -> End:
    try:
        body = json.loads(content)
    except ValueError:
        return "wrong"
    if status == 200:
        return "wrong" if body.get("error") else "whole"
    return "error" if (body.get("error") or {}).get("message") else "wrong"
