"""What the dashboard is given."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from addon.api.analytics import analytics
from addon.api.dashboard_data import DashboardState, dashboard_data, percentile
from addon.claude.pricing import Tokens
from addon.core.errors import BadRequest
from addon.core.types import JsonObject
from addon.usage.budget import Budget, BudgetSettings
from addon.usage.conversations import RecentConversation
from addon.usage.ledger import DAY, HOUR, PERIODS, UsageLedger, add_up
from addon.usage.metrics import Metrics
from addon.usage.prometheus_text import render
from addon.usage.record import PAID, PICO, SAVED, usd
from addon.usage.snapshot_format import Snapshot, decode, encode
from addon.usage.subscription import SubscriptionState, SubscriptionWindow
from tests.budget import examples
from tests.clock import NOW, Clock
from tests.usage.records import random_record, record, seeded


def data(ledger: UsageLedger, period: str | None = None, **state: list[object]) -> JsonObject:
    found = dashboard_data(ledger, Budget(ledger), period, DashboardState(**state))  # type: ignore[arg-type]
    json.dumps(found, allow_nan=False)
    return found


MONEY = (("spend", PAID), ("savings", SAVED))
STEPS = st.one_of(
    st.tuples(st.just("add"), st.floats(0, 3 * HOUR), st.integers(0, 10**13)),
    st.tuples(st.just("wait"), st.floats(-HOUR, 9 * DAY), st.just(0)),
    st.tuples(st.sampled_from(("restart", "reset")), st.just(0.0), st.just(0)),
)


def lived(steps: list[tuple[str, float, int]], ring_size: int, seed: int) -> UsageLedger:
    """A ledger after `steps`: requests of any age and price, pauses, clocks set back, restarts."""
    rng, clock = seeded(seed), Clock()
    ledger = UsageLedger(clock, ring_size=ring_size)
    for step, seconds, price in steps:
        match step:
            case "add":
                ledger.add(replace(random_record(rng, clock.now - seconds), cost=price))
            case "wait":
                clock.now += seconds
            case "reset":
                ledger.reset()
            case _:
                saved = encode(Snapshot(ledger.state(), BudgetSettings(), known=True), saved_at=0)
                ledger = UsageLedger(clock, ring_size=ring_size)
                ledger.restore(decode(saved).ledger)
    return ledger


@settings(max_examples=examples(300))
@given(st.lists(STEPS, max_size=40), st.integers(1, 30), st.integers(0, 2**32))
def test_whatever_shows_usage_shows_the_same(
    steps: list[tuple[str, float, int]], ring_size: int, seed: int
) -> None:
    ledger = lived(steps, ring_size, seed)
    for period in PERIODS:
        found = data(ledger, period)
        points, told = found["series"]["points"], analytics(ledger, period)
        assert found["summary"] == told
        for column, field in (
            ("spend", "estimatedApiKeyCost"),
            ("savings", "estimatedSavings"),
            ("input", "totalInputTokens"),
            ("output", "totalOutputTokens"),
            ("cacheRead", "totalCacheReadTokens"),
            ("requests", "totalRequests"),
            ("failed", "failedRequests"),
        ):
            assert sum(point[column] for point in points) == pytest.approx(told[field], abs=1e-9)
        for group in ("bySource", "byModel"):
            costs = sum(each["estimatedCost"] for each in told[group].values())
            assert costs == pytest.approx(usd(add_up(ledger.sums(PERIODS[period]).values()).cost))
        if period != "all":
            assert found["budget"]["spent"][period] == told["estimatedApiKeyCost"]
        if ledger.count() <= ring_size:
            start = ledger.now() - (PERIODS[period].seconds or math.inf)
            rows = [each for each in ledger.recent() if each.time >= start]
            for column, sources in MONEY:
                listed = usd(sum(each.cost for each in rows if each.source in sources))
                assert sum(point[column] for point in points) == pytest.approx(listed, abs=1e-9)
    counted = metric_sums(Metrics(ledger))
    for source, totals in analytics(ledger, "all")["bySource"].items():
        assert counted[source] == pytest.approx(totals["estimatedCost"], abs=1e-9)


def metric_sums(metrics: Metrics) -> Counter[str]:
    """Dollars by source, as Prometheus reads them."""
    families = text_string_to_metric_families(render(metrics, SubscriptionState(), NOW).decode())
    found = Counter[str]()
    for sample in (each for family in families for each in family.samples):
        if sample.name == "ccproxy_cost_usd_total":
            found[sample.labels["source"]] += sample.value  # type: ignore[assignment]
    return found


def test_an_empty_proxy_is_shown() -> None:
    found = data(UsageLedger(Clock()))
    assert found["period"] == "day"
    assert found["requests"] == found["errors"] == found["windows"] == found["conversations"] == []
    assert found["speed"]["firstToken"]["p50"] is None
    assert sum(bar["count"] for bar in found["speed"]["latency"]["bars"]) == 0
    assert found["budget"] == {
        "settings": BudgetSettings().to_json(),
        "spent": {"hour": 0, "day": 0, "week": 0, "month": 0},
        "known": True,
    }


def test_an_unknown_period_is_refused() -> None:
    with pytest.raises(BadRequest, match="period"):
        data(UsageLedger(Clock()), "decade")


@pytest.mark.parametrize(
    ("share", "value"), [(0, 1), (0.5, 5), (0.51, 6), (0.95, 10), (1, 10)], ids=str
)
def test_percentiles_are_values_that_occurred(share: float, value: int) -> None:
    assert percentile(range(1, 11), share) == value
    assert percentile([], share) is None


def test_speed_is_about_the_period_and_every_request_is_in_one_bar() -> None:
    ledger = UsageLedger(Clock())
    ledger.add(record(time=NOW - 7_200, ttft_ms=99_999))
    for ttft in (0, 249, 250, 3_000, 60_000, None):
        ledger.add(record(ttft_ms=ttft))
    speed = data(ledger, "hour")["speed"]["firstToken"]
    assert (speed["count"], speed["p50"], speed["p95"]) == (5, 250, 60_000)
    filled = {bar["upTo"]: bar["count"] for bar in speed["bars"] if bar["count"]}
    assert filled == {250: 2, 500: 1, 4_000: 1, None: 1}
    assert data(ledger, "day")["speed"]["firstToken"]["count"] == 6


def test_errors_are_grouped_with_the_last_of_each_kind() -> None:
    ledger = UsageLedger(Clock())
    for n in range(3):
        ledger.add(record(time=NOW - 3 + n, error="client_closed", reason=f"r{n}"))
    ledger.add(record("error", error="overloaded_error", status=529))
    ledger.add(record())
    assert data(ledger)["errors"] == [
        {
            "error": "client_closed",
            "source": "api_key",
            "status": 200,
            "count": 3,
            "last": int(NOW - 1) * 1000,
            "reason": "r2",
        },
        {
            "error": "overloaded_error",
            "source": "error",
            "status": 529,
            "count": 1,
            "last": int(NOW) * 1000,
            "reason": None,
        },
    ]


def test_conversations_are_newest_first_with_what_they_cost() -> None:
    ledger = UsageLedger(Clock())
    ledger.add(record("claude_code", dollars=0.25, conversation="a", tokens=Tokens(1)))
    missed = {"miss": "tools changed", "miss_cost": PICO // 5, "client": "cursor"}
    ledger.add(record(dollars=0.5, conversation="a", **missed))
    ledger.add(record(dollars=9))
    old = RecentConversation(id="b", model="m", tokens=1, limit=10, last_seen=NOW - 60)
    new = RecentConversation(id="a", model="m", tokens=5, limit=10, last_seen=NOW, summarized=True)
    titles = {"a": "First words"}
    found = data(ledger, conversations=[old, new], titles=titles)["conversations"]
    turn = {"time": int(NOW) * 1000, "cached": 0}
    assert found[0] == {
        "id": "a",
        "title": "First words",
        "client": "cursor",
        "turns": [
            {**turn, "id": 1, "prompt": 1, "miss": None, "missCost": 0},
            {**turn, "id": 2, "prompt": 0, "miss": "tools changed", "missCost": 0.2},
        ],
        "model": "m",
        "tokens": 5,
        "limit": 10,
        "lastSeen": int(NOW) * 1000,
        "requests": 2,
        "cost": 0.75,
        "summarized": True,
    }
    assert (found[1]["id"], found[1]["requests"]) == ("b", 0)


def test_windows_and_notices_are_passed_on() -> None:
    window = SubscriptionWindow(name="7d", label="7 days", utilization=1, resets_at=NOW)
    found = data(UsageLedger(Clock()), windows=[window], notices=["disk full"])
    assert found["windows"] == found["summary"]["subscriptionWindows"] == [window.to_json()]
    assert found["notices"] == ["disk full"]
