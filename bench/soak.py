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
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from addon.stand_in.access import OAUTH_TOKEN, REFRESH_TOKEN, kind_of
from addon.stand_in.anthropic import FakeAnthropic
from bench.plateau import ask
from bench.run import RESULTS
from bench.soak_judge import MOST_GROWTH, Evidence, Sample, judge, slope
from bench.soak_load import LONGEST, Clients, exhaust, fate, script
from bench.strangers import PAUSE, SECRET, sent_against
from bench.target import memory_of
from tests.credentials.samples import document, write
from tests.e2e.proxy import Proxy

STRANGERS = 50
EXHAUST_EVERY, EXHAUST_SECONDS = 45.0, 5.0
FILL = 12_000
"""Conversations before the trouble begins. What the proxy remembers is bounded by number (10,000 measured texts, 5,000
answers), and while it fills up, memory would seem to leak."""
FILL_NAMES = 900_000
"""The number of the first; none of the trouble's is as high."""
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
        sample = Sample(
            at=time.monotonic() - self.started,
            rss=memory_of(self.proxy.process.pid),
            descriptors=sum(1 for _ in (process / "fd").iterdir()),
            tasks=int(tasks),
            requests=int(requests),
        )
        self.samples.append(sample)
        return sample

    async def fill(self, conversations: int) -> None:
        """Everything goes well, as fast as it can."""
        await ask(self.proxy.url, FILL_NAMES, conversations)
        async with httpx.AsyncClient(base_url=self.proxy.url) as http:
            await self.note_records(http)
        self.newest_before = max(self.records, default=-1)
        self.records.clear()
        self.fake.log.clear()
        script(self.fake, self.seed)
        self.started = time.monotonic()

    async def run(self, minutes: float) -> Clients:
        crowd = await sent_against(self.proxy.port, minutes, STRANGERS, PAUSE)
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=20)
        async with httpx.AsyncClient(
            base_url=self.proxy.url, timeout=LONGEST, limits=limits
        ) as http:
            clients = Clients(http, random.Random(self.seed))
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self.watch(http))
                await clients.keep_asking(minutes)
                watching.cancel()
            did, _ = await crowd.communicate()
            self.strangers = json.loads(did)["deeds"]
            return clients

    async def watch(self, http: httpx.AsyncClient) -> None:
        for beat in range(1_000_000):
            await asyncio.sleep(5)
            self.look()
            if beat % 6 == 0:
                await self.note_records(http)
            if beat % (EXHAUST_EVERY // 5) == 0:
                exhaust(self.fake, EXHAUST_SECONDS)

    async def note_records(self, http: httpx.AsyncClient) -> None:
        told = (await http.get("/analytics/requests?limit=1000")).json()
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
    clients = await soak.run(minutes)
    last = await soak.settle(first, sum(result.sent for result in clients.results))
    results = clients.results
    upstream = soak.fake.messages()
    evidence = Evidence(
        results=results,
        records=list(soak.records.values()),
        upstream=upstream,
        first=first,
        last=last,
        log=soak.proxy.output,
        reused_tokens=soak.fake.oauth.revocations,
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
        "rss_slope_mib_per_hour": slope([(sample.at, sample.rss) for sample in soak.samples]),
        "rss_mib_by_minute": [round(sample.rss / 1024, 1) for sample in soak.samples[::12]],
        "descriptors": {"first": first.descriptors, "last": last.descriptors},
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
