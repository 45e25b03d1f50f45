"""What must hold after a soak, whatever went wrong in it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from addon.stand_in.access import kind_of
from addon.stand_in.record import Received, Used, used
from bench.soak_load import Result, asked_by
from tests.e2e.accounts import tokens_of

LONGEST_GAP = 4.0
"""Seconds of silence on a stream, with keepalives each second and a loaded machine."""
LATE = 90.0
"""Seconds that a request may take; the longest streams take 60."""
WINDOW = 6
"""Samples over which it is judged how much of the CPU the proxy and this bench got."""
WARM_UP = 0.3
"""Share of the run before memory is looked at."""
MOST_GROWTH = 5
"""File descriptors, threads, tasks and requests that may be left over."""
MOST_MIB = 12.0
"""That memory may grow by from the second quarter to the last: a leak of 10 KiB a request is more in ten minutes."""
BAD_WORDS = ("Traceback", "has crashed", "Addon error", "never retrieved")
"""What the log of a sound proxy does not say."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the proxy's process holds."""

    at: float
    """Seconds since the start."""
    rss: int
    """KiB."""
    descriptors: int
    tasks: int
    requests: int
    """That are still in memory."""
    threads: int = 0
    ran: tuple[float, ...] = ()
    """Seconds of CPU, of the proxy and of this bench."""
    waited: tuple[float, ...] = ()
    """Seconds for which they were ready to run and others had the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    results: Sequence[Result]
    """What clients saw."""
    records: Sequence[Mapping[str, Any]]
    """What the proxy counted."""
    upstream: Sequence[Received]
    """What the fake saw and said."""
    first: Sample
    last: Sample
    """At rest, before and after."""
    log: str
    """Of the proxy."""
    reused_tokens: int
    """Spent refresh tokens that were used again."""
    samples: Sequence[Sample] = ()
    """Amid the trouble."""
    failed_looks: Sequence[str] = ()
    """What went wrong when the proxy's own records were asked for."""
    ended: str = ""
    """What was wrong with the proxy's end."""


def judge(evidence: Evidence) -> Iterator[str]:
    """What did not hold; nothing when all is well."""
    slower = slowness(evidence.samples)
    for result in evidence.results:
        if result.end == "wrong":
            yield f"{result.name} ({result.dialect}, {result.status}) ended wrongly: {result.said}"
        if result.stream and result.gap > LONGEST_GAP * slower:
            yield f"{result.name}: {result.gap:.1f} s of silence"
        if result.sent and result.seconds > LATE * slower:
            yield f"{result.name}: took {result.seconds:.0f} s"
    yield from evidence.failed_looks
    if evidence.ended:
        yield evidence.ended
    if (grown := growth(evidence.samples)) > MOST_MIB:
        yield f"memory grew by {grown:.1f} MiB from the second quarter to the last"
    yield from _paid_twice(evidence.upstream)
    yield from _accounts(evidence)
    for name in ("descriptors", "threads", "tasks", "requests"):
        before, after = getattr(evidence.first, name), getattr(evidence.last, name)
        if after > before + MOST_GROWTH:
            yield f"{name}: {after} at the end, {before} at the start"
    yield from (f"the proxy's log says {word}" for word in BAD_WORDS if word in evidence.log)
    if evidence.reused_tokens:
        yield "a spent refresh token was used again"


def _paid_twice(upstream: Sequence[Received]) -> Iterator[str]:
    paid = (r for r in upstream if kind_of(r) == "api_key" and used(r) != Used())
    times = Counter(map(asked_by, paid))
    yield from (f"{name} was paid {count} times" for name, count in times.items() if count > 1)


def _accounts(evidence: Evidence) -> Iterator[str]:
    """Each request has one record; the record of an answer that came whole says what upstream said."""
    results = [result for result in evidence.results if result.sent]
    begun = sum(result.begun for result in evidence.results)
    records = evidence.records
    if not len(results) <= len(records) <= begun:
        yield f"{len(results)} to {begun} requests, and {len(records)} records"
    by_id = {record["requestId"]: record for record in records}
    asked: dict[str, list[Received]] = defaultdict(list)
    for request in evidence.upstream:
        asked[asked_by(request)].append(request)
    for result in results:
        if result.end != "whole":
            continue
        if not asked[result.name]:
            yield f"{result.name}: a whole answer, and upstream was not asked"
            continue
        last = asked[result.name][-1]
        same_bill = [r for r in asked[result.name] if kind_of(r) == kind_of(last)]
        told = sum(map(used, same_bill), Used())
        record = by_id.get(f"req_{last.number:024d}")
        counted = tokens_of(record) if record else None
        if counted != told:
            yield f"{result.name}: {counted} counted, {told} told"


def slowness(samples: Sequence[Sample]) -> float:
    """How many times longer work took than it had with a CPU to itself, at the worst time: a machine that is busy with
    other things makes everything late, and nothing wrong."""
    worst = 1.0
    for early, late in zip(samples, samples[WINDOW:], strict=False):
        for before, after, idle_before, idle_after in zip(
            early.ran, late.ran, early.waited, late.waited, strict=True
        ):
            if after - before > 0.1:
                worst = max(worst, 1 + (idle_after - idle_before) / (after - before))
    return worst


def growth(samples: Sequence[Sample]) -> float:
    """MiB, from the second quarter to the last."""
    quarter = len(samples) // 4
    if not quarter:
        return 0.0
    before, after = samples[quarter : 2 * quarter], samples[-quarter:]
    return (median(s.rss for s in after) - median(s.rss for s in before)) / 1024


def slope(rss: Sequence[tuple[float, int]]) -> float:
    """MiB an hour that memory grows, by least squares, once warm. `rss`: seconds since the start, and KiB then."""
    warm = [(at, held) for at, held in rss if at >= rss[-1][0] * WARM_UP]
    mean_at = sum(at for at, _ in warm) / len(warm)
    mean_held = sum(held for _, held in warm) / len(warm)
    across = sum((at - mean_at) * (held - mean_held) for at, held in warm)
    spread = sum((at - mean_at) ** 2 for at, _ in warm)
    return across / spread / 1024 * 3600 if spread else 0.0
