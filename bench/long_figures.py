"""What the runs of `bench.long_conversation` come to."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from addon.claude.catalogue import Catalogue
from addon.claude.model import Model
from addon.claude.pricing import Tokens, cost
from addon.stand_in.prompt_cache import InputUsage
from addon.stand_in.record import Received
from bench.target import ROOT

MODEL, SUMMARIZER = "claude-sonnet-5", "claude-opus-4-5"
UNIT = 20_000
"""Tokens of growth that may cost one summary."""
WARM = range(185_000, 215_000)
"""Tokens of the turns whose added latency is told."""
FIRST_TURNS = 3
"""Of a conversation: the cache is not expected to be warm yet."""
CATALOGUE = Catalogue.load((ROOT / "addon/claude/models.toml").read_text(encoding="utf-8"))

type Figures = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Arm:
    about: str
    """Limit and target."""
    settings: Mapping[str, Any] | None = None
    """None: no proxy."""
    forgetful: bool = False
    """Once it summarizes it is started anew for each turn with an empty CCPROXY_HOME: nothing is remembered."""


@dataclass(slots=True, kw_only=True)
class Turn:
    conversation: int
    number: int
    usage: InputUsage
    added: float
    """Seconds that the turn took, the fake's own time apart."""
    cpu: float
    """Seconds of CPU that the proxy used for it, whatever else the machine did."""
    waited: bool
    """While it was on its way, a summary was being made; whether it was for this one shows by its being new here."""
    summary: str
    """The heading of the summary in it; empty without one."""
    counted: float
    """Tokens, as the proxy counted before it asked; 0: it did not say."""


@dataclass(slots=True)
class Run:
    arm: Arm
    turns: list[Turn] = field(default_factory=list)
    summaries: list[Received] = field(default_factory=list)
    summary_usage: list[InputUsage] = field(default_factory=list)
    summary_output: int = 0
    """Tokens of each summary."""

    @property
    def tokens(self) -> int:
        return sum(turn.usage.total for turn in self.turns)

    @property
    def growth(self) -> int:
        """Tokens that the conversations grew by."""
        ends = {turn.conversation: turn.usage.total for turn in self.turns}
        starts = {turn.conversation: turn.usage.total for turn in reversed(self.turns)}
        return sum(ends.values()) - sum(starts.values())


def figures(runs: Mapping[str, Run]) -> dict[str, Figures]:
    return {name: _figures(run, runs.get("direct")) for name, run in runs.items()}


def _figures(run: Run, direct: Run | None) -> Figures:
    turns = billed(MODEL, [turn.usage for turn in run.turns])
    calls = billed(SUMMARIZER, run.summary_usage)
    output = len(run.summary_usage) * run.summary_output
    bodies = [request.body for request in run.summaries]
    warm = [turn.cpu for turn in run.turns if turn.usage.total in WARM]
    found: Figures = {
        "tokens_at_the_end": run.turns[-1].usage.total,
        "summaries": len(bodies),
        "summaries_repeated": len(bodies) - len(set(bodies)),
        "summaries_from_scratch": sum(b"<earlier_summary>" not in body for body in bodies),
        "cached_share": cached_share(run),
        "count_error_p95": count_error(run),
        "warm_cpu_ms": statistics.median(warm) * 1e3 if warm else None,
        "turns_that_waited": sum(turn.waited and new for turn, new in _told(run)),
        "turns_input_usd": turns,
        "summaries_input_usd": calls,
        "summaries_output_usd": cost(_model(SUMMARIZER), Tokens(output=output)),
        "input_to_same_uncached": (turns + calls) / uncached(MODEL, run),
    }
    if direct:
        found["summaries_per_20k"] = len(bodies) / (direct.growth / UNIT)
        found["input_to_direct"] = (turns + calls) / uncached(MODEL, direct)
        found["added_ms"] = added_ms(run, direct)
        shares = verbatim(run, direct)
        found["verbatim_at_the_end"], found["verbatim_mean"] = shares[-1], statistics.mean(shares)
    return found


def billed(model: str, usages: list[InputUsage]) -> float:
    """USD of the input at list price."""
    return sum(cost(_model(model), _tokens(usage)) for usage in usages)


def uncached(model: str, run: Run) -> float:
    """USD of the turns' input if nothing of it had been cached."""
    return sum(cost(_model(model), Tokens(input=turn.usage.total)) for turn in run.turns)


def cached_share(run: Run) -> float:
    """Share of the input that was read from the cache, after the first turns, without those that a new summary
    came in with."""
    steady = list(_steady(run))
    return sum(usage.read for usage in steady) / max(1, sum(usage.total for usage in steady))


def _steady(run: Run) -> Iterator[InputUsage]:
    return (turn.usage for turn, new in _told(run) if turn.number > FIRST_TURNS and not new)


def _told(run: Run) -> Iterator[tuple[Turn, bool]]:
    """The turns, and whether a new summary came in with each."""
    before: dict[int, str] = {}
    for turn in run.turns:
        yield turn, turn.summary != before.get(turn.conversation, "")
        before[turn.conversation] = turn.summary


def count_error(run: Run) -> float | None:
    """How far off the proxy's own count was, in 95 of 100 turns at most, as a share; without the first turns."""
    errors = [
        abs(turn.counted / turn.usage.total - 1)
        for turn in run.turns
        if turn.number > FIRST_TURNS and turn.counted
    ]
    return None if len(errors) < 2 else statistics.quantiles(errors, n=20, method="inclusive")[-1]


def added_ms(run: Run, direct: Run) -> float | None:
    """Median of what the turns with about 200K tokens took longer than the same turns without a proxy."""
    pairs = zip(run.turns, direct.turns, strict=True)
    added = [
        ours.added - theirs.added
        for ours, theirs in pairs
        if ours.usage.total in WARM and not ours.waited
    ]
    return statistics.median(added) * 1e3 if added else None


def verbatim(run: Run, direct: Run) -> list[float]:
    """By turn: the share of the whole conversation that was sent as it is, and not as a summary."""
    pairs = zip(run.turns, direct.turns, strict=True)
    return [
        min(1.0, (ours.usage.total - bool(ours.summary) * run.summary_output) / whole.usage.total)
        for ours, whole in pairs
    ]


def _model(name: str) -> Model:
    return CATALOGUE.get(name)


def _tokens(usage: InputUsage) -> Tokens:
    return Tokens.from_usage(usage.fields())


def table(runs: Mapping[str, Run], found: Mapping[str, Figures]) -> str:
    names = dict.fromkeys(name for each in found.values() for name in each)
    rows = {name: [_shown(each.get(name)) for each in found.values()] for name in names}
    head = {"": list(found), "limit, target": [run.arm.about for run in runs.values()]}
    return "\n".join(_row(name, cells) for name, cells in (head | rows).items())


def _row(name: str, cells: list[str]) -> str:
    return f"{name:<24}" + "".join(f"{cell:>19}" for cell in cells)


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"
