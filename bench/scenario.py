"""A scenario measures one target once; a claim says what its figures have to be."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.target import NAMES, Name, Target

type Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Claim:
    """What is asked of ccproxy's `figure`: against plain mitmdump's of the same round, or by itself."""

    figure: str
    against: Literal["ratio", "added", "value"]
    at_most: float | None = None
    at_least: float | None = None

    def holds(self, value: float) -> bool:
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        bound = f"≤ {self.at_most:g}" if self.at_most is not None else f"≥ {self.at_least:g}"
        return {"ratio": f"{bound} x", "added": f"added {bound}", "value": bound}[self.against]


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    about: str
    measure: Callable[[Target, float], Figures]
    """`scale`: 1 for the full size. Raises Wrong when an answer is not complete."""
    claims: tuple[Claim, ...] = ()
    names: tuple[Name, ...] = NAMES
    fresh: bool = False
    """Wants a process of its own, which `measure` starts by `with target`."""


def sized(count: int, scale: float) -> int:
    return max(3, round(count * scale))


def milliseconds(seconds: Sequence[float], percent: int = 50) -> float:
    if len(seconds) < 2:
        return seconds[0] * 1e3
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1e3
