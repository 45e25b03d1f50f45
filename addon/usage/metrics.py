"""Renders usage in Prometheus' text format, for `GET /metrics`.

Tokens and cost are the ledger's own sums, so they are those of `GET /analytics?period=all`, also after a restart. The
other counters start at zero with the process, as Prometheus expects.
https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from itertools import accumulate
from operator import attrgetter

from addon.claude.pricing import Tokens
from addon.usage.ledger import MAX_NAMES, OTHER, PERIODS, Totals, UsageLedger, grouped
from addon.usage.record import RequestRecord, usd
from addon.usage.subscription import SubscriptionState

PREFIX = "ccproxy_"
LATENCY_SECONDS = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
TTFT_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0)
TOKEN_KINDS = tuple(item.name for item in fields(Tokens))
token_counts = attrgetter(*TOKEN_KINDS)
ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

type Labels = tuple[str, ...]


class Histogram:
    """By source: how many values there were up to each of `bounds`, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(bounds) + 1))
        self.sums: defaultdict[str, float] = defaultdict(float)

    def observe(self, source: str, value: float) -> None:
        self.counts[source][bisect_left(self.bounds, value)] += 1
        self.sums[source] += value

    def lines(self, name: str, about: str) -> Iterator[str]:
        yield from _head("histogram", name, about)
        bounds = (*map(str, self.bounds), "+Inf")
        for source, counts in self.counts.items():
            so_far = tuple(accumulate(counts))
            for bound, count in zip(bounds, so_far, strict=True):
                yield _sample(f"{name}_bucket", ("source", "le"), (source, bound), count)
            yield _sample(f"{name}_count", ("source",), (source,), so_far[-1])
            yield _sample(f"{name}_sum", ("source",), (source,), self.sums[source])


class Metrics:
    """The metrics of one process."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, ledger: UsageLedger) -> None:
        self._ledger = ledger
        self._models: set[str] = set()
        self._requests: Counter[Labels] = Counter()
        self._errors: Counter[Labels] = Counter()
        self._latency = Histogram(LATENCY_SECONDS)
        self._ttft = Histogram(TTFT_SECONDS)
        self.open_streams = 0
        """Streams being delivered now."""

    def observe(self, record: RequestRecord) -> None:
        """Count one request. Call it once for each request, rejected ones included."""
        source, model = record.source, self._label(record.model)
        self._requests[source, model, str(record.status)] += 1
        if record.error is not None:
            self._errors[source, record.error] += 1
        if record.latency_ms is not None:
            self._latency.observe(source, record.latency_ms / 1000)
        if record.ttft_ms is not None:
            self._ttft.observe(source, record.ttft_ms / 1000)

    def _label(self, model: str) -> str:
        # Each label value creates a time series that stays, and clients choose the names of models.
        model = _encodable(model)
        if model not in self._models and len(self._models) >= MAX_NAMES:
            return OTHER
        self._models.add(model)
        return model

    def render(self, subscription: SubscriptionState, now: float) -> bytes:
        """The body of `GET /metrics`; `content_type` is its content type."""
        lines = (*self._since_start(), *self._from_ledger(), *self._now(subscription, now))
        return "".join(f"{line}\n" for line in lines).encode(errors="replace")

    def _since_start(self) -> Iterator[str]:
        labels = ("source", "model", "status")
        yield from _series(
            "counter", "requests_total", labels, self._requests.items(), "Requests that ended."
        )
        about = "Incomplete responses and errors."
        yield from _series(
            "counter", "errors_total", ("source", "error"), self._errors.items(), about
        )
        about = "From the request to the end of its response."
        yield from self._latency.lines("request_duration_seconds", about)
        yield from self._ttft.lines("first_token_seconds", "From the request to the first content.")

    def _from_ledger(self) -> Iterator[str]:
        sums = self._ledger.sums(PERIODS["all"])
        models = grouped(sums, lambda key: (key.source, _encodable(key.model)))
        about = "Tokens used; thinking is a part of output."
        labels = ("source", "model", "kind")
        yield from _series("counter", "tokens_total", labels, _tokens(models), about)
        about = "Cost at API prices, whoever paid."
        yield from _series("counter", "cost_usd_total", labels[:2], _costs(models), about)
        # the ledger bounds both names
        clients = grouped(sums, lambda key: (_encodable(key.client), _encodable(key.name)))
        requests = ((names, totals.requests) for names, totals in clients.items())
        who, about = ("client", "name"), "Requests by who asked."
        yield from _series("counter", "client_requests_total", who, requests, about)
        about = "Their cost at API prices."
        yield from _series("counter", "client_cost_usd_total", who, _costs(clients), about)

    def _now(self, subscription: SubscriptionState, now: float) -> Iterator[str]:
        streams = [((), self.open_streams)]
        yield from _series("gauge", "open_streams", (), streams, "Streams being delivered now.")
        about = "Seconds until a credential is used again after a limit."
        left = subscription.cooldown_seconds(now).items()
        yield from _series("gauge", "cooldown_seconds", ("credential", "scope"), left, about)
        about = "How full a limit of the subscription is, 0 to 1."
        full = (
            ((window.name,), window.utilization)
            for window in subscription.shown_windows()
            if window.utilization is not None
        )
        yield from _series("gauge", "subscription_utilization", ("window",), full, about)


def _tokens(models: Mapping[tuple[str, str], Totals]) -> Iterator[tuple[Labels, int]]:
    for labels, totals in models.items():
        for kind, count in zip(TOKEN_KINDS, token_counts(totals.tokens), strict=True):
            yield (*labels, kind), count


def _costs(sums: Mapping[tuple[str, str], Totals]) -> Iterator[tuple[Labels, float]]:
    return ((labels, usd(totals.cost)) for labels, totals in sums.items())


def _encodable(name: str) -> str:
    # JSON allows lone surrogates in a name.
    return name.encode(errors="replace").decode()


def _series(
    kind: str, name: str, labels: Labels, values: Iterable[tuple[Labels, float]], about: str
) -> Iterator[str]:
    yield from _head(kind, name, about)
    yield from (_sample(name, labels, given, value) for given, value in values)


def _head(kind: str, name: str, about: str) -> tuple[str, str]:
    return f"# HELP {PREFIX}{name} {about}", f"# TYPE {PREFIX}{name} {kind}"


def _sample(name: str, labels: Labels, given: Labels, value: float) -> str:
    pairs = zip(labels, given, strict=True)
    shown = ",".join(f'{label}="{text.translate(ESCAPES)}"' for label, text in pairs)
    return f"{PREFIX}{name}{{{shown}}} {value}"
