"""Runs scenarios: all targets interleaved, medians of rounds, ratios of pairs, and a file with everything.

Absolute times are this machine's; what carries over are the ratios, since the two of a pair ran seconds apart.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.scenario import Claim, Figures, Scenario
from bench.target import ROOT, Name, Process, Target, start_upstream

RESULTS = ROOT / "bench" / "results"
LEAST_HEADROOM = 3.0
"""Without a proxy there must be so many times mitmdump's throughput, or the load is what was measured."""


@dataclass(slots=True)
class Outcome:
    """The figures of a scenario's rounds, by target."""

    scenario: Scenario
    rounds: dict[Name, list[Figures]] = field(default_factory=dict)

    def median(self, name: Name, figure: str) -> float:
        return statistics.median(figures[figure] for figures in self.rounds[name])

    def ratio(self, figure: str, to: Name = "mitmdump") -> float:
        return statistics.median(ours / theirs for ours, theirs in self.pairs(figure, to) if theirs)

    def pairs(self, figure: str, to: Name = "mitmdump") -> Iterator[tuple[float, float]]:
        pairs = zip(self.rounds["ccproxy"], self.rounds[to], strict=True)
        return ((ours[figure], theirs[figure]) for ours, theirs in pairs)

    def value(self, claim: Claim) -> float:
        match claim.against:
            case "ratio":
                return self.ratio(claim.figure)
            case "added":
                return statistics.median(ours - plain for ours, plain in self.pairs(claim.figure))
            case "value":
                return self.median("ccproxy", claim.figure)


@dataclass(slots=True)
class Stage:
    """What is running."""

    upstream: Process
    beside: Path | None
    stack: ExitStack
    running: dict[Name, Target] = field(default_factory=dict)

    def target(self, name: Name, scenario: Scenario) -> Target:
        source = self.beside if name == "beside" and self.beside else ROOT
        if scenario.fresh:
            return Target(name, self.upstream.port, source)
        if name not in self.running:
            target = Target(name, self.upstream.port, source)
            self.running[name] = self.stack.enter_context(target)
            target.settle()
        return self.running[name]


def run(
    scenarios: Sequence[Scenario], rounds: int, scale: float, beside: Path | None = None
) -> list[Outcome]:
    """`beside`: another checkout to measure as well. Raises Wrong when an answer is not complete."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        upstream = stack.enter_context(start_upstream(home))
        upstream.wait_until_up()
        stage = Stage(upstream, beside, stack)
        return [perform(scenario, rounds, scale, stage) for scenario in scenarios]


def perform(scenario: Scenario, rounds: int, scale: float, stage: Stage) -> Outcome:
    names: tuple[Name, ...] = (*scenario.names, *(("beside",) if stage.beside else ()))
    outcome = Outcome(scenario, {name: [] for name in names})
    for number in range(rounds):
        for name in names if number % 2 == 0 else names[::-1]:
            target = stage.target(name, scenario)
            outcome.rounds[name].append(scenario.measure(target, scale))
    print(table(outcome), flush=True)
    return outcome


# ------------------------------------------------------------------------------------------------ reporting


def table(outcome: Outcome) -> str:
    scenario = outcome.scenario
    claims = {claim.figure: claim for claim in scenario.claims}
    lines = [f"\n{scenario.name}: {scenario.about}"]
    others: list[Name] = [name for name in ("mitmdump", "beside") if name in outcome.rounds]
    heads = ("", *outcome.rounds, *(f"x {name}" for name in others), "asked")
    lines.append(_row(heads))
    for figure in outcome.rounds["ccproxy"][0]:
        medians = [f"{outcome.median(name, figure):.4g}" for name in outcome.rounds]
        ratios = [f"{outcome.ratio(figure, other):.2f}" for other in others]
        claim = claims.get(figure)
        verdict = [_verdict(outcome, claim)] if claim else []
        lines.append(_row((figure, *medians, *ratios, *verdict)))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"  {cells[0]:<18}" + "".join(f"{cell:>12}" for cell in cells[1:])


def _verdict(outcome: Outcome, claim: Claim) -> str:
    value = outcome.value(claim)
    return f"   {claim}: {value:.3g} {'met' if claim.holds(value) else 'MISSED'}"


def headroom(outcomes: Sequence[Outcome]) -> float | None:
    """Requests per second without a proxy, over plain mitmdump's; None without that scenario."""
    for outcome in outcomes:
        if outcome.scenario.name == "tiny":
            return outcome.median("mitmdump", "kept_ms") / outcome.median("direct", "kept_ms")
    return None


def document(outcomes: Sequence[Outcome], scale: float) -> dict[str, Any]:
    return {
        "scale": scale,
        "headroom": headroom(outcomes),
        "scenarios": {outcome.scenario.name: outcome.rounds for outcome in outcomes},
    }


def write(name: str, found: Mapping[str, Any]) -> None:
    """Into a new file of the results, with where and when it was found; and say which."""
    packages = ("mitmproxy", "orjson", "tiktoken", "httpx")
    where = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "machine": f"{platform.platform()}, {os.cpu_count()} CPUs",
        "load": os.getloadavg(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
    }
    RESULTS.mkdir(exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    file = RESULTS / f"{name + '-' if name else ''}{stamp}.json"
    file.write_text(json.dumps({**where, **found}, indent=1))
    print(f"\n{file.relative_to(ROOT)}; load average {os.getloadavg()[0]:.1f}")


def main(scenarios: Sequence[Scenario]) -> None:
    """The command line of every script here. Exits with 1 when the run is void."""
    names = [scenario.name for scenario in scenarios]
    parser = argparse.ArgumentParser(description="Measures ccproxy beside plain mitmdump.")
    parser.add_argument("scenario", nargs="*", help=f"of: {', '.join(names)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="size of each round")
    parser.add_argument("--beside", type=Path, help="another checkout, to measure a change")
    options = parser.parse_args()
    unknown = set(options.scenario) - set(names)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    chosen = [one for one in scenarios if not options.scenario or one.name in options.scenario]
    outcomes = run(chosen, options.rounds, options.scale, options.beside)
    write("", document(outcomes, options.scale))
    room = headroom(outcomes)
    if room is not None and room < LEAST_HEADROOM:
        sys.exit(f"Void: without a proxy it is only {room:.1f} times as fast as with mitmdump.")
