"""What the processor does for each tiny request, the same on every machine: `python -m bench.instructions`

Valgrind runs plain mitmdump and ccproxy and counts instructions, and how often a second cache of 1 MiB (`--cache`) does
not hold what is needed. Needs `valgrind`, which is in every Linux distribution. What the system does is not counted.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.run import write
from bench.target import Name, Target, start_upstream
from bench.workload import Dialect, Order, short_request

ORDER = Order(deltas=3)
WARM_UP = 30
REQUESTS = 60
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Counts:
    """A request's."""

    instructions: float
    first_cache_misses: float
    second_cache_misses: float


def measure(
    name: Name, upstream: int, folder: Path, cache: int, dialect: Dialect | None = None
) -> Counts:
    """`cache`: bytes of the second cache. `dialect`: if given, a stream is asked for in it."""
    found = folder / f"{name}.callgrind"
    callgrind = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--cache-sim=yes"]
    sizes = [f"--LL={cache},8,64", f"--callgrind-out-file={found}"]
    with Target(name, upstream, under=[*callgrind, *sizes, sys.executable]) as target:
        assert target.process
        target.settle()
        body = short_request(dialect or target.dialect, ORDER, stream=dialect is not None)
        connection = target.connect(dialect)
        for _ in range(WARM_UP):
            connection.ask(body)
        _tell(target.process.child.pid, "--instr=on")
        for _ in range(REQUESTS):
            connection.ask(body)
        _tell(target.process.child.pid, "--instr=off", "--dump=counted")
        connection.close()
    return read(found.with_name(found.name + ".1").read_text())


def _tell(pid: int, *orders: str) -> None:
    for order in orders:
        command = ["callgrind_control", order, str(pid)]
        subprocess.run(command, check=True, capture_output=True)


def read(profile: str) -> Counts:
    """From callgrind's file of REQUESTS requests."""
    lines = dict(line.split(":", 1) for line in profile.splitlines() if ":" in line)
    totals = map(int, lines["totals"].split())
    counts = dict(zip(lines["events"].split(), totals, strict=True))

    def each(*events: str) -> float:
        return sum(counts[event] for event in events) / REQUESTS

    return Counts(each("Ir"), each("I1mr", "D1mr", "D1mw"), each("ILmr", "DLmr", "DLmw"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Instructions for each tiny request.")
    parser.add_argument("--cache", type=int, default=MIB, help="bytes of the second cache")
    parser.add_argument("--native", action="store_true", help="streams in Anthropic's dialect")
    options = parser.parse_args()
    dialect: Dialect | None = "messages" if options.native else None
    counts = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as home, start_upstream(Path(home)) as up:
        up.wait_until_up()
        for name in ("mitmdump", "ccproxy"):
            counted = measure(name, up.port, Path(home), options.cache, dialect)
            counts[name] = asdict(counted)
            for what, count in counts[name].items():
                print(f"{name:<10} {what.replace('_', ' '):<22}{count:>12,.0f}", flush=True)
    ratios = {what: counts["ccproxy"][what] / count for what, count in counts["mitmdump"].items()}
    print("ratios: " + ", ".join(f"{ratio:.2f} {what}" for what, ratio in ratios.items()))
    write(
        "instructions",
        {"native": options.native, "cache": options.cache, "counts": counts, "ratios": ratios},
    )


if __name__ == "__main__":
    main()
