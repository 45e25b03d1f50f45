"""What the dashboard is given."""

from __future__ import annotations

import json

import pytest

from addon.api.dashboard_data import DashboardState, dashboard_data, percentile
from addon.claude.pricing import Tokens
from addon.core.errors import BadRequest
from addon.core.types import JsonObject
from addon.usage.budget import Budget, BudgetSettings
from addon.usage.conversations import RecentConversation
from addon.usage.ledger import PERIODS, UsageLedger
from addon.usage.subscription import SubscriptionWindow
from tests.clock import NOW, Clock
from tests.usage.records import random_record, record, seeded


def data(ledger: UsageLedger, period: str | None = None, **state: list[object]) -> JsonObject:
    found = dashboard_data(ledger, Budget(ledger), period, DashboardState(**state))  # type: ignore[arg-type]
    json.dumps(found, allow_nan=False)
    return found


@pytest.mark.parametrize("period", PERIODS)
def test_the_chart_adds_up_to_the_summary(period: str) -> None:
    rng, ledger = seeded(2), UsageLedger(Clock(), ring_size=10)
    for _ in range(300):
        ledger.add(random_record(rng, NOW - rng.random() * 3_000))
    found = data(ledger, period)
    points, summary = found["series"]["points"], found["summary"]
    for column, field in (
        ("spend", "estimatedApiKeyCost"),
        ("savings", "estimatedSavings"),
        ("input", "totalInputTokens"),
        ("output", "totalOutputTokens"),
        ("cacheRead", "totalCacheReadTokens"),
    ):
        assert sum(point[column] for point in points) == pytest.approx(summary[field], abs=1e-9)
    assert sum(point["requests"] for point in points) == 300
    assert len(found["requests"]) == 10


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
    ledger.add(record(dollars=0.5, conversation="a"))
    ledger.add(record(dollars=9))
    old = RecentConversation(id="b", model="m", tokens=1, limit=10, last_seen=NOW - 60)
    new = RecentConversation(id="a", model="m", tokens=5, limit=10, last_seen=NOW, summarized=True)
    found = data(ledger, conversations=[old, new])["conversations"]
    assert found[0] == {
        "id": "a",
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
