"""What the start imports beyond plain mitmdump, and what that takes: `python -m bench.imports [--list 30]`

`python -X importtime` in both, a few times in turn, up to the first response. Of each module the fastest time counts,
without what it imports itself: other work on the machine only makes it slower. All are a little higher than without
`-X importtime`. Compiling is not measured: after the first round the bytecode is there.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from bench.run import write
from bench.target import Name, Target, start_upstream
from bench.workload import Order, short_request

ROUNDS = 5
LINE = re.compile(r"^import time:\s*(\d+) \|\s*\d+ \|\s*(\S+)$", re.MULTILINE)
NAMES: tuple[Name, ...] = ("mitmdump", "ccproxy")

type Times = Mapping[str, int]
"""Microseconds by module."""


def measure(name: Name, upstream: int) -> Times:
    with Target(name, upstream, under=[sys.executable, "-X", "importtime"]) as target:
        connection = target.connect()
        connection.ask(short_request(target.dialect, Order(deltas=3), stream=True))
        connection.close()
        return read((target.home / "output.log").read_text())


def read(said: str) -> Times:
    return {module: int(time) for time, module in LINE.findall(said)}


def fastest(rounds: list[Times]) -> Times:
    return {module: min(times.get(module, sys.maxsize) for times in rounds) for module in rounds[0]}


def by_package(times: Times, depth: int) -> Counter[str]:
    found = Counter[str]()
    for module, time in times.items():
        found[".".join(module.split(".")[:depth])] += time
    return found


def table(times: Mapping[str, int], most: int | None = None) -> None:
    for name, time in Counter(times).most_common(most):
        print(f"  {name:<44}{time / 1e3:>8.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Imports of the start, in milliseconds.")
    parser.add_argument("--list", type=int, default=15, help="show so many modules")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    rounds: dict[Name, list[Times]] = {name: [] for name in NAMES}
    with tempfile.TemporaryDirectory(prefix="bench-") as home, start_upstream(Path(home)) as up:
        up.wait_until_up()
        for _ in range(options.rounds):
            for name in NAMES:
                rounds[name].append(measure(name, up.port))
    plain, ours = (fastest(rounds[name]) for name in NAMES)
    more = {module: time for module, time in ours.items() if module not in plain}
    print(f"mitmdump: {len(plain)} modules, {sum(plain.values()) / 1e3:.0f} ms")
    table(by_package(plain, 1), options.list)
    print(f"ccproxy: {len(more)} more, {sum(more.values()) / 1e3:.0f} ms; by package")
    table(by_package(more, 2), options.list)
    print("by module")
    table(more, options.list)
    write("imports", {"mitmdump": plain, "ccproxy": more})


if __name__ == "__main__":
    main()
