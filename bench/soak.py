"""Minutes of random trouble, and what must hold all the time: `python -m bench.soak --minutes 10`.

Five requests a second and a hundred long streams, one client in ten leaves early, and upstream refuses, breaks off and
stalls at random; meanwhile fifty strangers come as in `bench.strangers`. Every request must end in an answer or in one
clear error, nobody may pay twice for one request, the accounts must agree with what upstream said, and memory,
descriptors and tasks must come back to where they were.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from addon.stand_in.access import OAUTH_TOKEN, REFRESH_TOKEN, kind_of
from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.script import delivered, say
from bench.plateau import ask
from bench.run import RESULTS
from bench.soak_judge import MOST_GROWTH, Evidence, Sample, growth, judge, slope, slowness
from bench.soak_load import (
    LONG_STREAMS,
    LONG_TEXT,
    LONGEST,
    MOST_SHORT,
    Clients,
    exhaust,
    fate,
    script,
)
from bench.strangers import PAUSE, SECRET, sent_against
from bench.target import memory_of
from tests.credentials.samples import document, write
from tests.e2e.proxy import Proxy

STRANGERS = 50
LOOK_SECONDS = 5
EXHAUST_EVERY, EXHAUST_SECONDS = 45.0, 5.0
FILL = 12_000
"""Conversations before the trouble begins. What the proxy remembers is bounded by number (10,000 measured texts, 5,000
answers), and while it fills up, memory would seem to leak."""
FILL_NAMES = 900_000
"""The number of the first; none of the trouble's is as high."""
_LONG = re.compile(rb"soak-9[0-9]*[0-5]\b")
"""Those of the filling that get a long answer."""
TIMING = {
    "FIRST_BYTE_SECONDS": "1",
    "KEEPALIVE_SECONDS": "1",
    "UPSTREAM_IDLE_SECONDS": "6",
    "CONNECT_SECONDS": "3",
}
WATCH = """
import asyncio, gc, pathlib

def requests():
    return sum(type(each).__name__ == "Exchange" for each in gc.get_objects())

class Watch:
    async def running(self):
        self.task = asyncio.create_task(self.watch())

    async def watch(self):
        while True:
            gc.collect()
            held = pathlib.Path({path!r})
            held.with_suffix(".new").write_text(f"{{len(asyncio.all_tasks())}} {{requests()}}")
            held.with_suffix(".new").replace(held)
            await asyncio.sleep(2)

addons = [Watch()]
"""
"""A script beside the proxy's own, which tells how many tasks and requests it holds."""


@dataclass(slots=True)
class Soak:
    fake: FakeAnthropic
    proxy: Proxy
    held_file: Path
    seed: int
    samples: list[Sample] = field(default_factory=list)
    failed_looks: list[str] = field(default_factory=list)
    records: dict[int, dict[str, Any]] = field(default_factory=dict)
    """The proxy's own records by id: it keeps two thousand."""
    newest_before: int = -1
    """Id of the last record of the filling."""
    strangers: dict[str, int] = field(default_factory=dict)
    """What they did, how often."""
    started: float = field(default_factory=time.monotonic)

    def look(self) -> Sample:
        assert self.proxy.process
        process = Path("/proc") / str(self.proxy.process.pid)
        tasks, requests = self.held_file.read_text().split()
        cpu = [cpu_of(pid) for pid in (self.proxy.process.pid, os.getpid())]
        sample = Sample(
            at=time.monotonic() - self.started,
            rss=memory_of(self.proxy.process.pid),
            descriptors=sum(1 for _ in (process / "fd").iterdir()),
            tasks=int(tasks),
            requests=int(requests),
            threads=sum(1 for _ in (process / "task").iterdir()),
            ran=tuple(ran for ran, _ in cpu),
            waited=tuple(waited for _, waited in cpu),
        )
        self.samples.append(sample)
        return sample

    async def fill(self, conversations: int) -> None:
        """Everything goes well, as fast as it can, with as many long answers as the trouble has."""
        self.fake.script(delivered(say(LONG_TEXT)), when=lambda r: _LONG.search(r.body) is not None)
        await ask(self.proxy.url, FILL_NAMES, conversations)
        async with httpx.AsyncClient(base_url=self.proxy.url) as http:
            await self.note_records(http)
        self.newest_before = max(self.records, default=-1)
        self.records.clear()
        self.fake.log.clear()
        script(self.fake, self.seed)
        self.started = time.monotonic()

    async def run(self, minutes: float) -> Clients:
        limits = httpx.Limits(
            max_connections=LONG_STREAMS + MOST_SHORT, max_keepalive_connections=20
        )
        async with (
            self.crowd(minutes) as crowd,
            httpx.AsyncClient(base_url=self.proxy.url, timeout=LONGEST, limits=limits) as http,
            httpx.AsyncClient(base_url=self.proxy.url, timeout=LONGEST) as own,
        ):
            clients = Clients(http, random.Random(self.seed))
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self.watch(own))
                await clients.keep_asking(minutes)
                watching.cancel()
            did, _ = await crowd.communicate()
            self.strangers = json.loads(did)["deeds"]
            return clients

    @asynccontextmanager
    async def crowd(self, minutes: float) -> AsyncIterator[asyncio.subprocess.Process]:
        crowd = await sent_against(self.proxy.port, minutes, STRANGERS, PAUSE)
        try:
            yield crowd
        finally:
            if crowd.returncode is None:  # something else has failed
                crowd.kill()

    async def watch(self, http: httpx.AsyncClient) -> None:
        for beat in range(1_000_000):
            await asyncio.sleep(LOOK_SECONDS)
            sample = self.look()
            if beat % (60 // LOOK_SECONDS) == 0:
                print(row(sample), flush=True)
            if beat % 6 == 0:
                await self.note_records(http)
            if beat % (EXHAUST_EVERY // LOOK_SECONDS) == 0:
                exhaust(self.fake, EXHAUST_SECONDS)

    async def note_records(self, http: httpx.AsyncClient) -> None:
        try:
            told = (await http.get("/analytics/requests?limit=1000")).json()
        except (httpx.HTTPError, ValueError) as error:
            self.failed_looks.append(f"/analytics/requests: {error!r}")
            return
        self.records |= {
            record["id"]: record for record in told["requests"] if record["id"] > self.newest_before
        }

    async def settle(self, baseline: Sample, count: int) -> Sample:
        """Wait until nothing is under way any more."""
        async with httpx.AsyncClient(base_url=self.proxy.url) as http:
            for _ in range(60):
                await asyncio.sleep(0.5)
                await self.note_records(http)
                calm = self.look().tasks <= baseline.tasks + MOST_GROWTH
                if calm and len(self.records) >= count:
                    break
        await asyncio.sleep(6)
        return self.look()

    def end(self) -> str:
        """What was wrong with the proxy's end; "" if nothing was."""
        try:
            status = self.proxy.stop()
        except subprocess.TimeoutExpired as error:
            return f"the proxy did not end within {error.timeout:.0f} s"
        return f"the proxy ended with {status}" if status else ""


def cpu_of(pid: int) -> tuple[float, float]:
    """Seconds for which a process's threads ran, and for which they waited for a CPU (proc_pid_schedstat(5))."""
    ran = waited = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError):  # the thread has ended
            so_far, queued, _ = map(int, file.read_text().split())
            ran, waited = ran + so_far, waited + queued
    return ran / 1e9, waited / 1e9


HEADINGS = ("minute", "MiB", "files", "threads", "tasks", "requests")


def row(sample: Sample) -> str:
    minute, mib = f"{sample.at / 60:.1f}", f"{sample.rss / 1024:.1f}"
    held = sample.descriptors, sample.threads, sample.tasks, sample.requests
    return "".join(f"{cell:>9}" for cell in (minute, mib, *held))


# ------------------------------------------------------------------------------------------------ running


@contextmanager
def stage(seed: int) -> Iterator[Soak]:
    with tempfile.TemporaryDirectory(prefix="soak-") as name, FakeAnthropic() as fake:
        folder = Path(name)
        fake.log.keep_answers = True
        login = folder / ".credentials.json"
        write(login, document(OAUTH_TOKEN, REFRESH_TOKEN, time.time() + 60))
        held = folder / "held"
        (folder / "watch.py").write_text(WATCH.format(path=str(held)))
        settings: dict[str, Any] = {
            "CLAUDE_CONFIG_DIR": name,
            "CLAUDE_OAUTH_TOKEN_URL": f"{fake.url}/v1/oauth/token",
            "CLAUDE_CODE_OAUTH_TOKEN": None,
            "PROXY_SECRET_KEY": SECRET,
            **TIMING,
        }
        watch = ["-s", str(folder / "watch.py")]
        with Proxy(fake.url, fork=False, arguments=watch, **settings) as proxy:
            while not held.exists():
                time.sleep(0.1)
            yield Soak(fake, proxy, held, seed)


async def perform(soak: Soak, minutes: float, fill: int) -> dict[str, Any]:
    await soak.fill(fill)
    await asyncio.sleep(5)
    first = soak.look()
    print("".join(f"{name:>9}" for name in HEADINGS))
    print(row(first), flush=True)
    begun = len(soak.samples)
    clients = await soak.run(minutes)
    amid = soak.samples[begun:]
    last = await soak.settle(first, sum(result.sent for result in clients.results))
    results = clients.results
    print(row(last))
    ended = soak.end()
    upstream = soak.fake.messages()
    evidence = Evidence(
        results=results,
        records=list(soak.records.values()),
        upstream=upstream,
        first=first,
        last=last,
        log=soak.proxy.output,
        reused_tokens=soak.fake.oauth.revocations,
        samples=amid,
        failed_looks=soak.failed_looks,
        ended=ended,
    )
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "minutes": minutes,
        "filled": fill,
        "seed": soak.seed,
        "strangers": soak.strangers,
        "requests": len(results),
        "ends": Counter(result.end for result in results),
        "statuses": Counter(result.status for result in results),
        "upstream": Counter(kind_of(request) for request in upstream),
        "fates": Counter(fate(r, soak.seed) for r in upstream if b"soak-long" not in r.body),
        "refreshes": soak.fake.oauth.rotations,
        "longest_seconds": max(result.seconds for result in results),
        "longest_silence": max(result.gap for result in results if result.stream),
        "rss_mib": {"first": first.rss / 1024, "last": last.rss / 1024},
        "rss_slope_mib_per_hour": slope([(sample.at, sample.rss) for sample in amid]),
        "rss_growth_mib": growth(amid),
        "rss_mib_by_minute": [round(sample.rss / 1024, 1) for sample in amid[::12]],
        "slowness": slowness(amid),
        "descriptors": {"first": first.descriptors, "last": last.descriptors},
        "threads": {"first": first.threads, "last": last.threads},
        "tasks": {"first": first.tasks, "last": last.tasks},
        "requests_held": {"first": first.requests, "last": last.requests},
        "load": os.getloadavg(),
        "problems": list(judge(evidence)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Minutes of random trouble.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fill", type=int, default=FILL, help="conversations before the trouble")
    options = parser.parse_args()
    with stage(options.seed) as soak:
        told = asyncio.run(perform(soak, options.minutes, options.fill))
        log = soak.proxy.output
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / time.strftime("soak-%Y%m%d-%H%M%S.json", time.gmtime())
    file.write_text(json.dumps(told, indent=1))
    print(json.dumps(told, indent=1))
    if told["problems"]:
        file.with_suffix(".log").write_text(log)
        sys.exit(f"{len(told['problems'])} things did not hold; see {file}")


if __name__ == "__main__":
    main()
