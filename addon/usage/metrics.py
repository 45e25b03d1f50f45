"""Counts requests for `GET /metrics` (`prometheus_text.py`), from the start of the process, as Prometheus expects."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict

from addon.usage.ledger import MAX_NAMES, OTHER, UsageLedger
from addon.usage.record import RequestRecord, encodable

LATENCY_SECONDS = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
TTFT_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0)

type Labels = tuple[str, ...]


class Histogram:
    """By source: how many values there were up to each of `bounds` and above the one before, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(bounds) + 1))
        self.sums: defaultdict[str, float] = defaultdict(float)

    def observe(self, source: str, value: float) -> None:
        self.counts[source][bisect_left(self.bounds, value)] += 1
        self.sums[source] += value


class Metrics:
    """The counters of one process. The library's own are not used: each counts under a lock, which would be most of the
    cost of counting a request."""

    def __init__(self, ledger: UsageLedger) -> None:
        self.ledger = ledger
        self._models: set[str] = set()
        self.requests: Counter[Labels] = Counter()
        self.errors: Counter[Labels] = Counter()
        self.latency = Histogram(LATENCY_SECONDS)
        self.ttft = Histogram(TTFT_SECONDS)
        self.open_streams = 0
        """Streams being delivered now."""

    def observe(self, record: RequestRecord) -> None:
        """Count one request. Call it once for each request, rejected ones included."""
        source, model = record.source, self._label(record.model)
        self.requests[source, model, str(record.status)] += 1
        if record.error is not None:
            self.errors[source, record.error] += 1
        if record.latency_ms is not None:
            self.latency.observe(source, record.latency_ms / 1000)
        if record.ttft_ms is not None:
            self.ttft.observe(source, record.ttft_ms / 1000)

    def _label(self, model: str) -> str:
        # Each label value creates a time series that stays, and clients choose the names of models.
        model = encodable(model)
        if model not in self._models and len(self._models) >= MAX_NAMES:
            return OTHER
        self._models.add(model)
        return model
