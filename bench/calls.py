"""Python calls for each tiny request, which are the same on every machine: `python -m bench.calls [--list 40]`

A profiler in the process counts them, for plain mitmdump and for ccproxy. What a call costs it can't say: ours do more.
"""

from __future__ import annotations

import argparse
import pstats
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench.run import write
from bench.target import Name, Target, start_upstream
from bench.workload import Dialect, Order, short_request

ORDER = Order(deltas=3)
REQUESTS = 200
PROFILER = """
import asyncio, cProfile, pathlib

class Profiler:
    async def running(self):
        self.task = asyncio.create_task(self.count())

    async def count(self):
        going, profile = pathlib.Path({going!r}), cProfile.Profile()
        while not going.exists():
            await asyncio.sleep(0.05)
        profile.enable()
        while going.exists():
            await asyncio.sleep(0.05)
        profile.disable()
        profile.dump_stats({found!r} + ".new")
        pathlib.Path({found!r} + ".new").rename({found!r})

addons = [Profiler()]
"""
"""A script in the process: it counts while the file `going` is there."""


def measure(
    name: Name, upstream: int, folder: Path, dialect: Dialect | None = None
) -> pstats.Stats:
    """`dialect`: if given, a stream is asked for in it."""
    going, found, script = folder / "going", folder / f"{name}.found", folder / "profiler.py"
    script.write_text(PROFILER.format(going=str(going), found=str(found)))
    with Target(name, upstream, scripts=[script]) as target:
        target.settle()
        body = short_request(dialect or target.dialect, ORDER, stream=dialect is not None)
        connection = target.connect(dialect)
        for _ in range(30):
            connection.ask(body)
        going.touch()
        time.sleep(0.3)
        for _ in range(REQUESTS):
            connection.ask(body)
        going.unlink()
        while not found.exists():
            time.sleep(0.05)
        connection.close()
    return pstats.Stats(str(found))


def by_origin(stats: pstats.Stats) -> dict[str, float]:
    """Calls a request, by whose code was called."""
    counts: Counter[str] = Counter()
    for (file, _, _), (_, calls, *_) in stats.stats.items():  # type: ignore[attr-defined]
        counts[_origin(file)] += calls
    return {origin: calls / REQUESTS for origin, calls in counts.most_common()}


def _origin(file: str) -> str:
    if file == "~":
        return "built-in"
    if "site-packages" in file:
        return file.split("site-packages/")[1].split("/")[0]
    return "ccproxy" if "/addon/" in file else "standard library"


def main() -> None:
    parser = argparse.ArgumentParser(description="Python calls for each tiny request.")
    parser.add_argument("--list", type=int, default=0, help="show so many functions as well")
    parser.add_argument("--native", action="store_true", help="streams in Anthropic's dialect")
    options = parser.parse_args()
    dialect: Dialect | None = "messages" if options.native else None
    calls = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as home, start_upstream(Path(home)) as up:
        up.wait_until_up()
        for name in ("mitmdump", "ccproxy"):
            stats = measure(name, up.port, Path(home), dialect)
            calls[name] = by_origin(stats)
            print(f"{name}: {sum(calls[name].values()):.0f} calls a request")
            for origin, count in calls[name].items():
                print(f"  {origin:<20}{count:>8.0f}")
            if options.list:
                stats.sort_stats("ncalls").print_stats(options.list)
    ratio = sum(calls["ccproxy"].values()) / sum(calls["mitmdump"].values())
    print(f"ratio: {ratio:.2f}")
    write("calls", {"native": options.native, "calls": calls, "ratio": ratio})


if __name__ == "__main__":
    main()
