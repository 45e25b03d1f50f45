"""What the memory of plain mitmdump does under the soak's load: `python -m bench.soak_plain --minutes 16`

The same clients and the same trouble upstream, in Anthropic's own dialect with a key, since mitmdump only passes on."""

from __future__ import annotations

import argparse
import asyncio
import random
import time

import httpx

from bench.run import write
from bench.soak import LEAVE, LONG_STREAMS, RATE
from bench.soak_load import LONGEST, Clients, script
from bench.target import Target
from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.credential import API_KEY

HEADERS = {"x-api-key": API_KEY, "anthropic-version": "2023-06-01"}
LOOK_SECONDS = 60.0


async def long_streams(clients: Clients, number: int, end: float) -> None:
    while time.monotonic() < end:
        await clients.one(f"soak-long-{number:03d}000", stream=True, leaves=False)


async def watch(target: Target, fake: FakeAnthropic, held: list[float]) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        assert target.process
        held.append(target.process.memory("VmRSS") / 1024)
        print(f"{len(held):>4} min  {held[-1]:.2f} MiB", flush=True)
        fake.log.clear()


async def run(target: Target, fake: FakeAnthropic, minutes: float) -> list[float]:
    """MiB, each minute."""
    held: list[float] = []
    rng, end = random.Random(1), time.monotonic() + minutes * 60
    url, limits = f"http://127.0.0.1:{target.port}", httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(
        base_url=url, timeout=LONGEST, limits=limits, headers=HEADERS
    ) as http:
        clients = Clients(http, rng, ("messages",))
        async with asyncio.TaskGroup() as group:
            for number in range(LONG_STREAMS):
                group.create_task(long_streams(clients, number, end))
            watching = group.create_task(watch(target, fake, held))
            for number in range(1_000_000):
                if time.monotonic() > end:
                    break
                leaves = rng.random() < LEAVE
                name = f"soak-{'left-' if leaves else ''}{number:06d}"
                group.create_task(clients.one(name, stream=rng.random() < 0.7, leaves=leaves))
                await asyncio.sleep(rng.expovariate(RATE))
            watching.cancel()
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory of plain mitmdump under trouble.")
    parser.add_argument("--minutes", type=float, default=16.0)
    minutes = parser.parse_args().minutes
    with FakeAnthropic() as fake:
        script(fake, 1)
        port = int(fake.url.rpartition(":")[2])
        with Target("mitmdump", port) as target:
            held = asyncio.run(run(target, fake, minutes))
    later = held[len(held) // 2 :]
    slope = (later[-1] - later[0]) / max(len(later) - 1, 1) * 60
    print(f"in the second half {slope:.1f} MiB an hour")
    write("soak-plain", {"mib_by_minute": held, "mib_per_hour_later": slope})


if __name__ == "__main__":
    main()
