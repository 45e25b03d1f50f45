"""Renders usage in Prometheus' text format, for `GET /metrics`.

Tokens and cost are the ledger's own sums, so they are those of `GET /analytics?period=all`, also after a restart. The
other counters start at zero with the process, as Prometheus expects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import generate_latest as render_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from addon.claude.pricing import Tokens
from addon.usage.ledger import MAX_NAMES, OTHER, PERIODS, Key, Totals, UsageLedger, grouped
from addon.usage.record import RequestRecord, usd
from addon.usage.subscription import SubscriptionWindow

LATENCY_SECONDS = (0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
TTFT_SECONDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)
TOKEN_KINDS = tuple(item.name for item in fields(Tokens))
token_counts = attrgetter(*TOKEN_KINDS)


def _series[M: (Counter, Histogram)](metric: M, *labels: str) -> M:
    return metric.labels(*labels)


class _LedgerSums(Collector):
    """Tokens and cost as the ledger has them, read when Prometheus asks."""

    def __init__(self, ledger: UsageLedger) -> None:
        self._ledger = ledger

    def collect(self) -> Iterator[CounterMetricFamily]:
        tokens = CounterMetricFamily(
            "ccproxy_tokens",
            "Tokens used; thinking is a part of output.",
            labels=("source", "model", "kind"),
        )
        cost = CounterMetricFamily(
            "ccproxy_cost_usd", "Cost at API prices, whoever paid.", labels=("source", "model")
        )
        sums = self._ledger.sums(PERIODS["all"])
        for (source, name), totals in grouped(sums, lambda key: (key.source, key.model)).items():
            labels = source, _encodable(name)
            cost.add_metric(labels, usd(totals.cost))
            for kind, count in zip(TOKEN_KINDS, token_counts(totals.tokens), strict=True):
                tokens.add_metric((*labels, kind), count)
        yield from (tokens, cost, *_by_client(sums))


def _by_client(sums: Mapping[Key, Totals]) -> tuple[CounterMetricFamily, CounterMetricFamily]:
    """The ledger bounds both names."""
    labels = ("client", "name")
    requests = CounterMetricFamily(
        "ccproxy_client_requests", "Requests by who asked.", labels=labels
    )
    cost = CounterMetricFamily(
        "ccproxy_client_cost_usd", "Their cost at API prices.", labels=labels
    )
    for (client, name), totals in grouped(sums, lambda key: (key.client, key.name)).items():
        told = _encodable(client), _encodable(name)
        requests.add_metric(told, totals.requests)
        cost.add_metric(told, usd(totals.cost))
    return requests, cost


def _encodable(model: str) -> str:
    # JSON allows lone surrogates in a name.
    return model.encode(errors="replace").decode()


class Metrics:
    """The metrics of one process, in a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, ledger: UsageLedger) -> None:
        self._registry = registry = CollectorRegistry()
        # prometheus_client looks a series up by its labels under a lock, which is most of the cost of counting a
        # request
        self._series = lru_cache(maxsize=None)(_series)
        self._models: set[str] = set()
        self._requests = Counter(
            "ccproxy_requests",
            "Requests that ended.",
            ("source", "model", "status"),
            registry=registry,
        )
        self._errors = Counter(
            "ccproxy_errors",
            "Incomplete responses and errors.",
            ("source", "error"),
            registry=registry,
        )
        registry.register(_LedgerSums(ledger))
        self._latency = Histogram(
            "ccproxy_request_duration_seconds",
            "From the request to the end of its response.",
            ("source",),
            buckets=LATENCY_SECONDS,
            registry=registry,
        )
        self._ttft = Histogram(
            "ccproxy_first_token_seconds",
            "From the request to the first content.",
            ("source",),
            buckets=TTFT_SECONDS,
            registry=registry,
        )
        self.open_streams = Gauge(
            "ccproxy_open_streams", "Streams being delivered now.", registry=registry
        )
        """`inc()` when a stream begins, `dec()` when it ends."""
        self._cooldowns = Gauge(
            "ccproxy_cooldown_seconds",
            "Seconds until a credential is used again after a limit.",
            ("credential", "scope"),
            registry=registry,
        )
        self._utilization = Gauge(
            "ccproxy_subscription_utilization",
            "How full a limit of the subscription is, 0 to 1.",
            ("window",),
            registry=registry,
        )

    def observe(self, record: RequestRecord) -> None:
        """Count one request. Call it once for each request, rejected ones included."""
        source, model = record.source, self._label(record.model)
        self._series(self._requests, source, model, str(record.status)).inc()
        if record.error is not None:
            self._series(self._errors, source, record.error).inc()
        if record.latency_ms is not None:
            self._series(self._latency, source).observe(record.latency_ms / 1000)
        if record.ttft_ms is not None:
            self._series(self._ttft, source).observe(record.ttft_ms / 1000)

    def _label(self, model: str) -> str:
        # Each label value creates a time series that stays, and clients choose the names of models.
        model = _encodable(model)
        if model not in self._models and len(self._models) >= MAX_NAMES:
            return OTHER
        self._models.add(model)
        return model

    def set_cooldowns(self, cooldowns: Mapping[tuple[str, str], float]) -> None:
        """Seconds left by (credential, model family or `all`). Others are removed."""
        self._cooldowns.clear()
        for labels, seconds in cooldowns.items():
            self._cooldowns.labels(*labels).set(max(0.0, seconds))

    def set_windows(self, windows: Iterable[SubscriptionWindow]) -> None:
        self._utilization.clear()
        for window in windows:
            if window.utilization is not None:
                self._utilization.labels(window.name).set(window.utilization)

    def render(self) -> bytes:
        """The body of `GET /metrics`; `content_type` is its content type."""
        return render_latest(self._registry)
