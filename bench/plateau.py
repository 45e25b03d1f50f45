"""Memory over tens of thousands of requests, each of them another conversation: it has to come to rest.

`python -m bench.plateau --requests 40000`
"""

from __future__ import annotations

import argparse
import asyncio
import random

import httpx

from addon.stand_in.anthropic import FakeAnthropic
from bench.run import write
from bench.soak_load import Clients
from bench.target import memory_of
from tests.e2e.proxy import Proxy

AT_ONCE = 8
STEPS = 20


async def ask(url: str, first: int, count: int) -> None:
    """So many requests. Raises AssertionError when one of them does not get its whole answer."""
    rng, numbers = random.Random(first), iter(range(first, first + count))
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        clients = Clients(http, rng)

        async def one_after_the_other() -> None:
            for number in numbers:
                await clients.one(f"soak-{number:06d}", stream=rng.random() < 0.7, leaves=False)

        await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
    assert all(result.end == "whole" for result in clients.results)


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory over tens of thousands of requests.")
    parser.add_argument("--requests", type=int, default=40_000)
    step = parser.parse_args().requests // STEPS
    held: list[float] = []
    with FakeAnthropic() as fake, Proxy(fake.url, fork=False) as proxy:
        for number in range(STEPS):
            asyncio.run(ask(proxy.url, number * step, step))
            fake.log.clear()
            assert proxy.process
            held.append(memory_of(proxy.process.pid) / 1024)  # MiB
            print(f"{(number + 1) * step:>8} requests  {held[-1]:6.1f} MiB", flush=True)
    later = (held[-1] - held[STEPS // 2 - 1]) / (step * STEPS / 2) * 1000 * 1024
    print(f"in the second half {later:.1f} KiB for 1,000 requests")
    write("plateau", {"step": step, "mib": held, "kib_per_1000_later": later})


if __name__ == "__main__":
    main()
