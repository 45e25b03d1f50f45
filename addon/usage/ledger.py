"""Keeps usage in bounded memory: the newest requests as single records, everything earlier as sums.

Sums are kept in buckets of a minute, an hour and a day, so they outlive the ring of single records. A rolling window
begins somewhere inside its first bucket. The sum is exact while the ring holds every request of that bucket. Later the
whole bucket counts, so a window is never too short, and at most one bucket too long (a minute for `hour` and `day`, an
hour for `week` and `month`). The sums of a period and its chart are made from the same slices, so they always agree.

Windows have a start but no end: if the clock was set back, what was spent "in the future" still counts.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field, fields, replace
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from addon.claude.pricing import Tokens
from addon.core.errors import BadRequest
from addon.core.frozen import frozen
from addon.usage.record import PAID, RequestRecord

MINUTE, HOUR, DAY = 60, 3600, 86_400


@frozen
class Period:
    name: str
    seconds: int | None
    """None: since the first request, or the last reset."""
    bucket: int
    """Width in seconds of the buckets from which this period is summed."""
    step: int
    """Seconds between two points of its chart; a multiple of `bucket`."""


PERIODS = {
    period.name: period
    for period in (
        Period("hour", HOUR, bucket=MINUTE, step=MINUTE),
        Period("day", DAY, bucket=MINUTE, step=30 * MINUTE),
        Period("week", 7 * DAY, bucket=HOUR, step=6 * HOUR),
        Period("month", 30 * DAY, bucket=HOUR, step=DAY),
        Period("all", None, bucket=DAY, step=DAY),
    )
}


def parse_period(name: str | None) -> Period:
    """The period called `name`; None: the last day. Raises `BadRequest` for an unknown name."""
    period = PERIODS.get(name or "") if name is not None else PERIODS["day"]
    if period is None:
        raise BadRequest(f"period: must be one of {', '.join(PERIODS)}", param="period")
    return period


RING_SIZE = 2_000
MAX_NAMES = 50
MAX_NAME = 200
OTHER = "other"
"""Clients choose the names of models, of themselves and of what they are used for. Only so many of each, of limited
length, have sums of their own; the sums of all others have this name."""

BUCKETS_KEPT = {MINUTE: 1_500, HOUR: 750, DAY: 1_100}
"""How many, by width in seconds: a little over a day, a month, three years."""
CHART_POINTS = 62
MOST_UNSUMMED = 64
"""Records whose sums may wait until somebody reads any: so many at once take a fraction of the time."""


class Key(NamedTuple):
    """What requests have in common that are summed."""

    source: str
    model: str
    client: str = ""
    name: str = ""
    """The user's: see `RequestRecord`."""


@frozen
class Totals:
    """A sum over requests. Money is in pico-dollars; `failed` counts incomplete responses and errors."""

    requests: int = 0
    failed: int = 0
    cost: int = 0
    tokens: Tokens = field(default_factory=Tokens)
    misses: int = 0
    """Responses whose prompt was written to the cache anew; `miss_cost`: what that cost more than a hit."""
    miss_cost: int = 0

    @classmethod
    def of(cls, record: RequestRecord) -> Totals:
        failed, missed = int(record.error is not None), int(bool(record.miss))
        return cls(1, failed, record.cost, record.tokens, missed, record.miss_cost)

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.requests + other.requests,
            self.failed + other.failed,
            self.cost + other.cost,
            self.tokens + other.tokens,
            self.misses + other.misses,
            self.miss_cost + other.miss_cost,
        )


ZERO = Totals()

type TotalsByKey = dict[Key, Totals]

TOKEN_COLUMNS = tuple(f"tokens.{f.name}" for f in fields(Tokens))
columns = attrgetter("requests", "failed", "cost", *TOKEN_COLUMNS, "misses", "miss_cost")
"""The numbers of a `Totals` as one flat tuple."""


def from_columns(row: Iterable[int]) -> Totals:
    """The `Totals` of such a tuple; the numbers of misses may be absent."""
    requests, failed, cost, *rest = row
    tokens, misses = rest[: len(TOKEN_COLUMNS)], rest[len(TOKEN_COLUMNS) :]
    return Totals(requests, failed, cost, Tokens(*tokens), *misses)


def add_up(every: Iterable[Totals]) -> Totals:
    """The sum. Computed column by column, since a month has tens of thousands of them and the event loop waits."""
    return from_columns(map(sum, zip(columns(ZERO), *map(columns, every), strict=True)))


def merge_totals(many: Iterable[Mapping[Key, Totals]]) -> TotalsByKey:
    groups: defaultdict[Key, list[Totals]] = defaultdict(list)
    for sums in many:
        for key, totals in sums.items():
            groups[key].append(totals)
    return {key: add_up(group) for key, group in groups.items()}


def grouped[G](sums: Mapping[Key, Totals], group: Callable[[Key], G]) -> dict[G, Totals]:
    """The sums of all keys that have the same `group`."""
    groups: defaultdict[G, list[Totals]] = defaultdict(list)
    for key, totals in sums.items():
        groups[group(key)].append(totals)
    return {name: add_up(group) for name, group in groups.items()}


def add(sums: TotalsByKey, key: Key, totals: Totals) -> None:
    sums[key] = sums.get(key, ZERO) + totals


def _known(word: str, known: set[str]) -> str:
    """The word, or OTHER if there are too many of its kind."""
    if word not in known:
        if len(known) >= MAX_NAMES:
            return OTHER
        known.add(word)
    return word


class Buckets:
    """Sums by key in slices of time. Beyond `keep` slices, the one created first is removed: if it were the earliest
    one, new requests would be dropped at once after the clock was set back. The widest slices hold what was ever used:
    there the next one takes its sums over."""

    def __init__(self, width: int, keep: int) -> None:
        self.width = width
        self._keep = keep
        self._sums: dict[int, TotalsByKey] = {}

    def floor(self, time: float) -> int:
        return int(time // self.width) * self.width

    def add(self, time: float, added: Mapping[Key, Totals]) -> None:
        """Add to the slice that contains `time`."""
        at = self.floor(time)
        # A new dict each time: `copy` need not copy thousands of them on the event loop.
        sums = dict(self._sums.get(at, {}))
        for key, totals in added.items():
            add(sums, key, totals)
        self._sums[at] = sums
        if len(self._sums) > self._keep:
            removed = self._sums.pop(next(iter(self._sums)))
            if self.width == DAY:
                following = next(iter(self._sums))
                self._sums[following] = merge_totals([removed, self._sums[following]])

    def since(self, start: float) -> Iterator[tuple[int, TotalsByKey]]:
        return ((at, sums) for at, sums in self._sums.items() if at >= start)

    def copy(self) -> tuple[tuple[int, TotalsByKey], ...]:
        return tuple(self._sums.items())


@frozen
class LedgerState:
    """The complete state of a ledger, for the snapshot. Shares nothing mutable with the ledger."""

    records: tuple[RequestRecord, ...] = ()
    last_id: int = 0
    evicted_until: float | None = None
    """Time of the latest request that the ring has dropped."""
    buckets: Mapping[int, tuple[tuple[int, TotalsByKey], ...]] = field(default_factory=dict)


class UsageLedger:
    """Add each request once, when it has ended. Not thread-safe."""

    def __init__(self, clock: Callable[[], float], *, ring_size: int = RING_SIZE) -> None:
        self._clock = clock
        self._ring: deque[RequestRecord] = deque()
        self._ring_size = ring_size
        self._watchers: list[Callable[[RequestRecord], None]] = []
        self.version = 0
        """Grows with every change."""
        self._clear()

    def _clear(self) -> None:
        self._ring.clear()
        self._unsummed: list[RequestRecord] = []
        self._last_id = 0
        self._evicted_until: float | None = None
        self._words: tuple[set[str], ...] = (set(), set(), set())
        self._buckets = {width: Buckets(width, keep) for width, keep in BUCKETS_KEPT.items()}
        self.version += 1

    def now(self) -> float:
        return self._clock()

    def watch(self, watcher: Callable[[RequestRecord], None]) -> None:
        """Call `watcher` with every record that is added from now on."""
        self._watchers.append(watcher)

    def add(self, record: RequestRecord) -> RequestRecord:
        """Add `record`; returns it with its `id`."""
        self._last_id += 1
        record = replace(record, id=self._last_id, model=record.model[:MAX_NAME])
        self._unsummed.append(record)
        if len(self._unsummed) >= MOST_UNSUMMED:
            self._sum_up()
        self._push(record)
        self.version += 1
        for watcher in self._watchers:
            watcher(record)
        return record

    def _sum_up(self) -> None:
        records, self._unsummed = self._unsummed, []
        by_minute: defaultdict[float, TotalsByKey] = defaultdict(dict)
        for record in records:
            add(by_minute[record.time // MINUTE * MINUTE], self._key(record), Totals.of(record))
        for at, sums in by_minute.items():
            for buckets in self._buckets.values():
                buckets.add(at, sums)

    def _key(self, record: RequestRecord) -> Key:
        words = (record.model, record.client, record.name)
        return Key(record.source, *map(_known, words, self._words))

    def _push(self, record: RequestRecord) -> None:
        self._ring.append(record)
        while len(self._ring) > self._ring_size:
            gone = self._ring.popleft().time
            self._evicted_until = max(gone, self._evicted_until or gone)

    def recent(self, limit: int | None = None) -> list[RequestRecord]:
        """The newest requests that are still single records, newest first."""
        return [*islice(reversed(self._ring), limit)]

    def count(self) -> int:
        """How many requests were added in total, or since the last reset."""
        return self._last_id

    def sums(self, period: Period, now: float | None = None) -> TotalsByKey:
        """The sums of the last `period` by source and model; `now`: of the period that ends then."""
        return merge_totals(sums for _, sums in self._slices(period, now))

    def _slices(self, period: Period, now: float | None) -> Iterator[tuple[int, TotalsByKey]]:
        """Start of a bucket, and what of it is in the period."""
        self._sum_up()
        buckets = self._buckets[period.bucket]
        if period.seconds is None:
            yield from buckets.since(-math.inf)
            return
        start = (self._clock() if now is None else now) - period.seconds
        edge = buckets.floor(start)
        for at, sums in buckets.since(edge):
            exact = at == edge and self._ring_holds(edge)
            yield at, self._ring_sums(start, edge + buckets.width) if exact else sums

    def days(self, period: Period) -> dict[int, TotalsByKey]:
        """The sums of each day (UTC) of the last `period` that had requests, by its start in unix seconds."""
        days: defaultdict[int, list[TotalsByKey]] = defaultdict(list)
        for at, sums in self._slices(period, None):
            days[at // DAY * DAY].append(sums)
        return {day: merge_totals(found) for day, found in sorted(days.items())}

    def _ring_holds(self, since: float) -> bool:
        return self._evicted_until is None or self._evicted_until < since

    def _ring_sums(self, start: float, end: float) -> TotalsByKey:
        found: TotalsByKey = {}
        for record in self._ring:
            if start <= record.time < end:
                add(found, self._key(record), Totals.of(record))
        return found

    def spent(self, period: Period, now: float | None = None) -> int:
        """Pico-dollars that were really paid in the last `period`."""
        sums = self.sums(period, now)
        return sum(total.cost for key, total in sums.items() if key.source in PAID)

    def series(
        self, period: Period, now: float | None = None
    ) -> tuple[int, list[tuple[int, TotalsByKey]]]:
        """The chart of `period`: seconds between points, and each point's start (unix seconds) with its sums, which add
        up to `sums`. Includes points without requests, so that the time axis is even."""
        now = self._clock() if now is None else now
        slices = [*self._slices(period, now)]
        start = now - period.seconds if period.seconds else min([now, *(at for at, _ in slices)])
        step = self._step(period, now - start)
        first, last = int(start // step) * step, int(now // step) * step
        points: dict[int, list[TotalsByKey]] = {at: [] for at in range(first, last + step, step)}
        for at, sums in slices:
            # Requests in the future (the clock was set back) are shown at the right edge.
            points[min(at // step * step, last)].append(sums)
        return step, [(at, merge_totals(found)) for at, found in points.items()]

    def _step(self, period: Period, seconds: float) -> int:
        return max(1, -(-int(seconds) // (period.step * CHART_POINTS))) * period.step

    def reset(self) -> int:
        """Remove everything; returns how many requests there were. Ids start at 1 again."""
        count = self._last_id
        self._clear()
        return count

    def state(self) -> LedgerState:
        self._sum_up()
        return LedgerState(
            records=tuple(self._ring),
            last_id=self._last_id,
            evicted_until=self._evicted_until,
            buckets={width: buckets.copy() for width, buckets in self._buckets.items()},
        )

    def restore(self, state: LedgerState) -> None:
        """Replace everything by `state`."""
        self._clear()
        self._last_id = state.last_id
        self._evicted_until = state.evicted_until
        for width, buckets in self._buckets.items():
            for at, sums in state.buckets.get(width, ()):
                buckets.add(at, sums)
        keys = {key for _, sums in self._slices(PERIODS["all"], None) for key in sums}
        models, clients, names = ({key[at] for key in keys} for at in (1, 2, 3))
        self._words = (models, clients, names)
        for record in state.records:
            self._push(record)
