"""What the memory of plain mitmdump does under the soak's load: `python -m bench.soak_plain --minutes 16`

The same clients and the same trouble upstream, in Anthropic's own dialect with a key, since mitmdump only passes on."""

from __future__ import annotations

import argparse
import asyncio
import random
import time

import httpx

from addon.stand_in.access import API_KEY
from addon.stand_in.anthropic import FakeAnthropic
from bench.run import write
from bench.soak_judge import slope
from bench.soak_load import LONGEST, Clients, script
from bench.target import Target

HEADERS = {"x-api-key": API_KEY, "anthropic-version": "2023-06-01"}
LOOK_SECONDS = 60.0


async def watch(target: Target, fake: FakeAnthropic, held: list[tuple[float, int]]) -> None:
    assert target.process
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        held.append((time.monotonic(), target.process.memory("VmRSS")))
        print(f"{len(held):>4} min  {held[-1][1] / 1024:.2f} MiB", flush=True)
        fake.log.clear()


async def run(target: Target, fake: FakeAnthropic, minutes: float) -> list[tuple[float, int]]:
    """Seconds since the start and KiB then, each minute."""
    held: list[tuple[float, int]] = []
    started = time.monotonic()
    url, limits = f"http://127.0.0.1:{target.port}", httpx.Limits(max_connections=200)
    async with (
        httpx.AsyncClient(base_url=url, timeout=LONGEST, limits=limits, headers=HEADERS) as http,
        asyncio.TaskGroup() as group,
    ):
        watching = group.create_task(watch(target, fake, held))
        await Clients(http, random.Random(1), ("messages",)).keep_asking(minutes)
        watching.cancel()
    return [(at - started, kib) for at, kib in held]


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory of plain mitmdump under trouble.")
    parser.add_argument("--minutes", type=float, default=16.0)
    minutes = parser.parse_args().minutes
    with FakeAnthropic() as fake:
        script(fake, 1)
        port = int(fake.url.rpartition(":")[2])
        with Target("mitmdump", port) as target:
            held = asyncio.run(run(target, fake, minutes))
    growth = slope(held)
    print(f"{growth:.1f} MiB an hour, once warm")
    write("soak-plain", {"mib_by_minute": [kib / 1024 for _, kib in held], "mib_per_hour": growth})


if __name__ == "__main__":
    main()
