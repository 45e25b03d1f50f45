"""What the processor does for each tiny request, the same on every machine: `python -m bench.instructions`

Valgrind runs plain mitmdump and ccproxy and counts instructions, and how often a second cache of 1 MiB (`--cache`) does
not hold what is needed. Needs `valgrind`, which is in every Linux distribution. What the system does is not counted.
`--events`: for a stream of 12 deltas, and for each further one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench.run import write
from bench.target import Name, Target, start_upstream
from bench.workload import Dialect, Order, short_request

ORDER = Order(deltas=3)
SHORT = Order(deltas=12, gap_ms=60, first_ms=60)
"""Each event by itself: valgrind takes 10 ms for one."""
LONG = replace(SHORT, deltas=SHORT.deltas + 100)
WARM_UP = 30
REQUESTS = 60
NAMES: tuple[Name, ...] = ("mitmdump", "ccproxy")
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Counts:
    """A request's, or an event's."""

    instructions: float
    first_cache_misses: float
    second_cache_misses: float


@dataclass(frozen=True, slots=True)
class Asked:
    """The requests that are counted."""

    order: Order = ORDER
    requests: int = REQUESTS
    stream: bool = False
    dialect: Dialect | None = None
    """None: the target's own."""


def measure(name: Name, upstream: int, folder: Path, cache: int, asked: Asked) -> Counts:
    """`cache`: bytes of the second cache."""
    found = folder / f"{name}.callgrind"
    callgrind = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--cache-sim=yes"]
    sizes = [f"--LL={cache},8,64", f"--callgrind-out-file={found}"]
    with Target(name, upstream, under=[*callgrind, *sizes, sys.executable]) as target:
        assert target.process
        target.settle()
        dialect = asked.dialect or target.dialect
        body = short_request(dialect, asked.order, stream=asked.stream)
        connection = target.connect(dialect)
        for _ in range(WARM_UP):
            connection.ask(short_request(dialect, ORDER, stream=asked.stream))
        _tell(target.process.child.pid, "--instr=on")
        for _ in range(asked.requests):
            connection.ask(body)
        _tell(target.process.child.pid, "--instr=off", "--dump=counted")
        connection.close()
    return read(found.with_name(found.name + ".1").read_text(), asked.requests)


def _tell(pid: int, *orders: str) -> None:
    for order in orders:
        command = ["callgrind_control", order, str(pid)]
        subprocess.run(command, check=True, capture_output=True)


def measure_event(name: Name, upstream: int, folder: Path, cache: int, short: Counts) -> Counts:
    """What each event adds to a stream of SHORT."""
    long = asdict(measure(name, upstream, folder, cache, Asked(LONG, 2, stream=True)))
    events = LONG.deltas - SHORT.deltas
    return Counts(**{what: (long[what] - count) / events for what, count in asdict(short).items()})


def read(profile: str, requests: int) -> Counts:
    """From callgrind's file of so many requests."""
    lines = dict(line.split(":", 1) for line in profile.splitlines() if ":" in line)
    totals = map(int, lines["totals"].split())
    counts = dict(zip(lines["events"].split(), totals, strict=True))

    def each(*events: str) -> float:
        return sum(counts[event] for event in events) / requests

    return Counts(each("Ir"), each("I1mr", "D1mr", "D1mw"), each("ILmr", "DLmr", "DLmw"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Instructions for each tiny request.")
    parser.add_argument("--cache", type=int, default=MIB, help="bytes of the second cache")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--native", action="store_true", help="streams in Anthropic's dialect")
    kind.add_argument("--events", action="store_true", help="short streams, and their events")
    options = parser.parse_args()
    asked = Asked(SHORT, 20, stream=True) if options.events else Asked()
    if options.native:
        asked = Asked(stream=True, dialect="messages")
    counts: dict[Name, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as home, start_upstream(Path(home)) as up:
        up.wait_until_up()
        given = (up.port, Path(home), options.cache)
        for name in NAMES:
            each = measure(name, *given, asked)
            counts[name] = asdict(each)
            if options.events:
                event = asdict(measure_event(name, *given, each))
                counts[name] |= {f"{what}_an_event": count for what, count in event.items()}
            for what, count in counts[name].items():
                print(f"{name:<10} {what.replace('_', ' '):<32}{count:>12,.0f}", flush=True)
    ratios = {what: counts["ccproxy"][what] / count for what, count in counts["mitmdump"].items()}
    print("ratios: " + ", ".join(f"{ratio:.2f} {what}" for what, ratio in ratios.items()))
    write("instructions", {**vars(options), "counts": counts, "ratios": ratios})


if __name__ == "__main__":
    main()
