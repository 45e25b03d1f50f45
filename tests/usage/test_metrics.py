"""What Prometheus reads."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from addon.claude.pricing import Tokens
from addon.fallback.rate_limits import Limit, Window, Windows
from addon.usage.ledger import MAX_NAMES, UsageLedger
from addon.usage.metrics import Metrics
from addon.usage.prometheus_text import render
from addon.usage.subscription import SubscriptionState
from tests.clock import NOW, Clock
from tests.usage.records import record

LABELS = (
    "source",
    "model",
    "status",
    "error",
    "kind",
    "le",
    "credential",
    "scope",
    "window",
    "client",
    "name",
)


def samples(
    metrics: Metrics, subscription: SubscriptionState | None = None
) -> dict[tuple[str, ...], float]:
    """By name and label values in the order above, as Prometheus would parse them."""
    families = text_string_to_metric_families(
        render(metrics, subscription or SubscriptionState(), NOW).decode()
    )
    found = [each for family in families for each in family.samples]
    return {
        (each.name, *(each.labels[name] for name in LABELS if name in each.labels)): each.value
        for each in found
    }


def watched() -> tuple[Metrics, UsageLedger]:
    """Metrics that are told of each request in the ledger."""
    ledger = UsageLedger(Clock())
    metrics = Metrics(ledger)
    ledger.watch(metrics.observe)
    return metrics, ledger


def test_a_request_is_counted_with_its_tokens_cost_and_speed() -> None:
    metrics, ledger = watched()
    ledger.add(record(tokens=Tokens(1, 2, 3, 4, 5, 6), dollars=0.25, latency_ms=3_000, ttft_ms=300))
    ledger.add(record(status=529, error="overloaded_error"))
    found = samples(metrics)
    model = "claude-opus-4-5"
    assert found["ccproxy_requests_total", "api_key", model, "200"] == 1
    assert found["ccproxy_requests_total", "api_key", model, "529"] == 1
    assert found["ccproxy_errors_total", "api_key", "overloaded_error"] == 1
    kinds = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read", "thinking")
    counts = [found["ccproxy_tokens_total", "api_key", model, kind] for kind in kinds]
    assert counts == [1, 2, 3, 4, 5, 6]
    assert found["ccproxy_cost_usd_total", "api_key", model] == 0.25
    assert found["ccproxy_request_duration_seconds_sum", "api_key"] == 3
    assert found["ccproxy_request_duration_seconds_count", "api_key"] == 1
    assert found["ccproxy_first_token_seconds_bucket", "api_key", "0.25"] == 0
    assert found["ccproxy_first_token_seconds_bucket", "api_key", "0.5"] == 1


def test_gauges_show_now_and_forget_what_is_over() -> None:
    metrics = watched()[0]
    metrics.open_streams += 1
    subscription = SubscriptionState()
    subscription.cooldowns.start("subscription", Limit(None, NOW + 60), reason="limit", now=NOW)
    subscription.note_windows(Windows(windows=(Window("5h", utilization=0.4), Window("7d"))), NOW)
    found = samples(metrics, subscription)
    assert found[("ccproxy_open_streams",)] == 1
    assert found["ccproxy_cooldown_seconds", "subscription", "all"] == pytest.approx(60, abs=1)
    assert found["ccproxy_subscription_utilization", "5h"] == 0.4
    assert ("ccproxy_subscription_utilization", "7d") not in found
    gone = [key for key in samples(metrics) if "cooldown" in key[0] or "utilization" in key[0]]
    assert not gone


def test_model_names_of_clients_cannot_fill_the_memory() -> None:
    metrics = watched()[0]
    for n in range(MAX_NAMES + 5):
        metrics.observe(record(model=f"m{n}"))
    found = {key: n for key, n in samples(metrics).items() if key[0] == "ccproxy_requests_total"}
    assert len(found) == MAX_NAMES + 1
    assert found["ccproxy_requests_total", "api_key", "other", "200"] == 5


@pytest.mark.parametrize(
    ("model", "label"),
    [('a"b', 'a"b'), ("a\\b", "a\\b"), ("a\nb", "a\nb"), ("\ud800", "?")],
    ids=ascii,
)
def test_an_odd_model_name_stays_one_label(model: str, label: str) -> None:
    metrics = watched()[0]
    metrics.observe(record(model=model))
    assert samples(metrics)["ccproxy_requests_total", "api_key", label, "200"] == 1


def test_two_instances_share_nothing() -> None:
    first, second = watched()[0], watched()[0]
    first.observe(record())
    assert not [key for key in samples(second) if key[0] == "ccproxy_requests_total"]


def test_who_asked_is_counted_and_bounded() -> None:
    metrics, ledger = watched()
    for n in range(MAX_NAMES + 9):
        ledger.add(record(dollars=1, client=f"client-{n}", name="work" if n else ""))
    found = samples(metrics)
    assert found["ccproxy_client_requests_total", "client-0", ""] == 1
    assert found["ccproxy_client_cost_usd_total", "other", "work"] == 9
    asked = [name for name in found if name[0] == "ccproxy_client_requests_total"]
    assert len(asked) == MAX_NAMES + 1
