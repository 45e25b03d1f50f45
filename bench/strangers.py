"""A thousand strangers at once, and what the owner notices of them: `python -m bench.strangers --minutes 5`.

They come through a tunnel and know no secret. They send large bodies, bombs, wrong secrets and heads without an end, or
let bytes drip, and come back as soon as they are closed. Meanwhile the owner asks from this machine and through the
tunnel. His requests must take hardly longer, memory must stay and come back, and the terminal must stay readable.

"Longer" is beside the time that they take while the same strangers come to a second proxy on this machine: the thousand
clients themselves need most of a core, and on a machine with two they would be measured instead of the proxy.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import random
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx

from addon.stand_in.anthropic import FakeAnthropic
from bench.run import RESULTS
from bench.target import memory_of
from tests.e2e import raw
from tests.e2e.proxy import TLS, Proxy, chat

COUNT = 1000
PAUSE = 10.0
"""Seconds, on average, between two deeds of one stranger: so many seconds for a hundred deeds a second."""
HOST = "strangers-come-this-way.trycloudflare.com"
SECRET = "bench-" + "s" * 32
THROUGH_TUNNEL = {"host": HOST, "cf-connecting-ip": "8.8.8.8", "x-api-key": SECRET}
EVERY = 0.2
"""Seconds between two requests of the owner's."""
ALONE, AFTER = 30.0, 30.0
"""Seconds for which nobody else comes to his proxy."""
MOST_SLOWER, MOST_GROWTH, MOST_LINES = 1.2, 64.0, 1.0
"""Times as long; MiB; lines of the log a minute."""

BOMB = gzip.compress(b'{"secret": "' + b"x" * 2_000_000 + b'"}')
LARGE_BOMB = gzip.compress(b"x" * 30_000_000)
GZIP = ("Content-Type: application/json", "Content-Encoding: gzip")


def with_body(path: str, body: bytes, *headers: str, said: int = 0) -> bytes:
    length = f"Content-Length: {said or len(body)}"
    return raw.head("POST", path, *headers, length, host=HOST) + body


CHUNK = b"fff0\r\n" + b"x" * 0xFFF0 + b"\r\n"
DEEDS: Mapping[str, bytes] = {
    "body": with_body("/v1/messages", b"x" * 300_000, said=30_000_000),
    "small body": with_body("/v1/messages", b"x" * 60_000),
    "chunks": raw.head("OPTIONS", "/v1/messages", "Transfer-Encoding: chunked", host=HOST)
    + CHUNK * 5,
    "bomb": with_body("/dashboard/login", BOMB, *GZIP),
    "large bomb": with_body("/dashboard/login", LARGE_BOMB, *GZIP),
    "guess": raw.head("GET", "/v1/models", "x-api-key: guess", host=HOST),
    "sign-in": with_body("/dashboard/login", b'{"secret": "guess"}', "Content-Type: application/json"),
    "head without end": b"GET / HTTP/1.1\r\nx: " + b"x" * 60_000,
    "chunk line without end": raw.head("POST", "/v1/messages", "Transfer-Encoding: chunked", host=HOST)
    + b"1;"
    + b"x" * 60_000,
}  # fmt: skip
SLOW: Mapping[str, bytes] = {
    "slow head": b"GET /v1/models HTTP/1.1\r\nx-slow: ",
    "slow body": with_body("/dashboard/login", b"", said=4000),
    "slow refused body": with_body("/v1/messages", b"", said=60_000),
    "silent": b"",
}
"""What comes before bytes that drip."""


@dataclass
class Strangers:
    port: int
    rng: random.Random
    pause: float = PAUSE
    deeds: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    """Connections that were closed amid a deed."""

    async def come(self, count: int, seconds: float) -> None:
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(self.keep_coming(end))

    async def keep_coming(self, end: float) -> None:
        await asyncio.sleep(self.rng.random() * self.pause)
        while time.monotonic() < end:
            slow = self.rng.random() < 0.4
            name = self.rng.choice([*(SLOW if slow else DEEDS)])
            self.deeds[name] += 1
            deed = self.drip(SLOW[name], end) if slow else self.do(DEEDS[name])
            try:
                await deed
            except OSError:
                self.lost[name] += 1
            await asyncio.sleep(self.rng.random() * self.pause)

    async def do(self, data: bytes) -> None:
        """Send it, and stay for a while."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            async with asyncio.timeout(self.rng.random() * 2 * self.pause):
                await writer.drain()
                while await reader.read(65536):
                    pass
        except TimeoutError:
            pass
        finally:
            writer.close()

    async def drip(self, first: bytes, end: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(first)
            while time.monotonic() < end and not reader.at_eof():
                if first:
                    writer.write(b"x")
                await asyncio.sleep(1.0)
                await writer.drain()
        finally:
            writer.close()


@dataclass
class Owner:
    proxy: Proxy
    seconds: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    async def ask_for(self, seconds: float) -> None:
        """A request each time on a new connection, by turns from here and through the tunnel."""
        assert self.proxy.process
        end, turn = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            headers = THROUGH_TUNNEL if turn % 2 else {}
            turn += 1
            await self.ask(headers)
            self.memory.append(memory_of(self.proxy.process.pid))
            await asyncio.sleep(EVERY)

    async def ask(self, headers: dict[str, str]) -> None:
        try:
            async with httpx.AsyncClient(base_url=self.proxy.url, timeout=20, verify=TLS) as http:
                began = time.perf_counter()
                response = await http.post("/v1/chat/completions", json=chat(), headers=headers)
        except httpx.HTTPError as error:
            self.failed.append(repr(error))
            return
        self.seconds.append(time.perf_counter() - began)
        if response.status_code != 200:
            self.failed.append(response.text[:200])


async def watched(
    proxy: Proxy, other: Proxy, minutes: float, count: int, pause: float
) -> dict[str, Any]:
    """`other`: where the strangers come to first."""
    alone, spared, beset, after = (Owner(proxy) for _ in range(4))
    await alone.ask_for(5)  # warms up
    alone.seconds.clear()
    await alone.ask_for(ALONE)
    elsewhere = await sent_against(other.port, ALONE / 60, count, pause)
    await spared.ask_for(ALONE)
    await elsewhere.communicate()
    lines = noise(proxy)
    crowd = await sent_against(proxy.port, minutes, count, pause)
    await beset.ask_for(minutes * 60)
    did, _ = await crowd.communicate()
    await after.ask_for(AFTER)
    lines = noise(proxy) - lines
    alone_ms = statistics.median(alone.seconds) * 1000
    return told(spared, beset, after, lines / minutes) | {
        "alone_ms": alone_ms,
        "minutes": minutes,
        "strangers": count,
        **json.loads(did),
    }


def noise(proxy: Proxy) -> int:
    """Lines of the log that are no request's of the owner's."""
    return sum("chat" not in line and "sub" not in line for line in proxy.output.splitlines())


def told(spared: Owner, beset: Owner, after: Owner, lines: float) -> dict[str, Any]:
    before, during = (statistics.median(owner.seconds) for owner in (spared, beset))
    growth = (max(beset.memory) - max(spared.memory)) / 1024
    left = (after.memory[-1] - max(spared.memory)) / 1024
    failed = beset.failed + after.failed
    problems = [
        f"{name}: {value:.2f} of {most:g} allowed"
        for name, value, most in (
            ("times as long", during / before, MOST_SLOWER),
            ("MiB grown", growth, MOST_GROWTH),
            ("MiB left", left, MOST_GROWTH / 4),
            ("lines a minute", lines, MOST_LINES),
            ("failed requests", len(failed), 0),
        )
        if value > most
    ]
    return {
        "spared_ms": before * 1000,
        "beset_ms": during * 1000,
        "beset_p99_ms": statistics.quantiles(beset.seconds, n=100)[98] * 1000,
        "requests": len(beset.seconds),
        "grown_mib": growth,
        "left_mib": left,
        "lines_a_minute": lines,
        "failed": failed[:5],
        "load": os.getloadavg(),
        "problems": problems,
    }


async def sent_against(
    port: int, minutes: float, count: int, pause: float
) -> asyncio.subprocess.Process:
    """Strangers in a process of their own, so that the owner is not kept waiting by their deeds here."""
    command = ["-m", "bench.strangers", "--against", str(port), f"--minutes={minutes}"]
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        f"--count={count}",
        f"--pause={pause}",
        stdout=asyncio.subprocess.PIPE,
    )


def come(port: int, minutes: float, count: int, pause: float) -> dict[str, Any]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * count)), hard))
    strangers = Strangers(port, random.Random(1), pause)
    asyncio.run(strangers.come(count, minutes * 60))
    return {"deeds": strangers.deeds, "lost": strangers.lost}


def measured(minutes: float, count: int = COUNT, pause: float = PAUSE) -> dict[str, Any]:
    with FakeAnthropic() as fake, ExitStack() as stack:
        proxy, other = (
            stack.enter_context(Proxy(fake.url, fork=False, PROXY_SECRET_KEY=SECRET))
            for _ in range(2)
        )
        return asyncio.run(watched(proxy, other, minutes, count, pause))


def main() -> None:
    parser = argparse.ArgumentParser(description="A thousand strangers at once.")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--pause", type=float, default=PAUSE, help="seconds between two deeds")
    parser.add_argument("--against", type=int, metavar="PORT", help="only come, to this port")
    options = parser.parse_args()
    if options.against:
        print(json.dumps(come(options.against, options.minutes, options.count, options.pause)))
        return
    found = measured(options.minutes, options.count, options.pause)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / time.strftime("strangers-%Y%m%d-%H%M%S.json", time.gmtime())
    file.write_text(json.dumps(found, indent=1))
    print(json.dumps(found, indent=1))
    if found["problems"]:
        sys.exit("; ".join(found["problems"]))


if __name__ == "__main__":
    main()
