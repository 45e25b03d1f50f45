"""Renders usage in Prometheus' text format, for `GET /metrics`.

Tokens and cost are the ledger's own sums, so they are those of `GET /analytics?period=all`, also after a restart. The
other counters start at zero with the process. Few ask for this, so it is loaded by the first who does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from itertools import accumulate
from operator import attrgetter

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from addon.claude.pricing import Tokens
from addon.usage.ledger import PERIODS, grouped
from addon.usage.metrics import Histogram, Labels, Metrics
from addon.usage.record import encodable, usd
from addon.usage.subscription import SubscriptionState

CONTENT_TYPE = CONTENT_TYPE_LATEST
TOKEN_KINDS = tuple(item.name for item in fields(Tokens))
token_counts = attrgetter(*TOKEN_KINDS)


def render(metrics: Metrics, subscription: SubscriptionState, now: float) -> bytes:
    """The body of `GET /metrics`; its content type is CONTENT_TYPE."""
    registry = CollectorRegistry()
    registry.register(_Families(metrics, subscription, now))
    return generate_latest(registry)


@dataclass(eq=False)
class _Families(Collector):
    metrics: Metrics
    subscription: SubscriptionState
    now: float

    def collect(self) -> Iterator[Metric]:
        yield from self.since_start()
        yield from self.from_ledger()
        yield from self.as_it_is_now()

    def since_start(self) -> Iterator[Metric]:
        metrics, labels = self.metrics, ("source", "model", "status")
        yield _counter("requests", "Requests that ended.", labels, metrics.requests.items())
        about = "Incomplete responses and errors."
        yield _counter("errors", about, ("source", "error"), metrics.errors.items())
        about = "From the request to the end of its response."
        yield _histogram("request_duration_seconds", about, metrics.latency)
        yield _histogram(
            "first_token_seconds", "From the request to the first content.", metrics.ttft
        )

    def from_ledger(self) -> Iterator[Metric]:
        sums = self.metrics.ledger.sums(PERIODS["all"])
        models = grouped(sums, lambda key: (key.source, encodable(key.model)))
        tokens = (
            ((*names, kind), count)
            for names, totals in models.items()
            for kind, count in zip(TOKEN_KINDS, token_counts(totals.tokens), strict=True)
        )
        about = "Tokens used; thinking is a part of output."
        yield _counter("tokens", about, ("source", "model", "kind"), tokens)
        cost = ((names, usd(totals.cost)) for names, totals in models.items())
        yield _counter("cost_usd", "Cost at API prices, whoever paid.", ("source", "model"), cost)
        # the ledger bounds both names
        clients = grouped(sums, lambda key: (encodable(key.client), encodable(key.name)))
        who = ("client", "name")
        requests = ((names, totals.requests) for names, totals in clients.items())
        yield _counter("client_requests", "Requests by who asked.", who, requests)
        cost = ((names, usd(totals.cost)) for names, totals in clients.items())
        yield _counter("client_cost_usd", "Their cost at API prices.", who, cost)

    def as_it_is_now(self) -> Iterator[Metric]:
        streams = self.metrics.open_streams
        yield _gauge("open_streams", "Streams being delivered now.", (), [((), streams)])
        left = self.subscription.cooldown_seconds(self.now).items()
        about = "Seconds until a credential is used again after a limit."
        yield _gauge("cooldown_seconds", about, ("credential", "scope"), left)
        full = (
            ((window.name,), window.utilization)
            for window in self.subscription.shown_windows()
            if window.utilization is not None
        )
        about = "How full a limit of the subscription is, 0 to 1."
        yield _gauge("subscription_utilization", about, ("window",), full)


def _series(
    kind: type[CounterMetricFamily | GaugeMetricFamily],
    name: str,
    about: str,
    labels: Labels,
    values: Iterable[tuple[Labels, float]],
) -> Metric:
    family = kind(f"ccproxy_{name}", about, labels=labels)
    for given, value in values:
        family.add_metric(given, value)
    return family


_counter = partial(_series, CounterMetricFamily)
_gauge = partial(_series, GaugeMetricFamily)


def _histogram(name: str, about: str, observed: Histogram) -> Metric:
    family = HistogramMetricFamily(f"ccproxy_{name}", about, labels=("source",))
    bounds = (*map(str, observed.bounds), "+Inf")
    for source, counts in observed.counts.items():
        buckets = list(zip(bounds, accumulate(counts), strict=True))
        family.add_metric((source,), buckets, observed.sums[source])
    return family
