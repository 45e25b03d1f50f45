"""The answers of the analytics endpoints, as the README shows them."""

from __future__ import annotations

import pytest

from addon.api.analytics import analytics, format_cost, parse_limit, recent_requests, reset
from addon.claude.pricing import Tokens
from addon.core.errors import BadRequest
from addon.usage.ledger import UsageLedger
from addon.usage.record import picodollars
from addon.usage.subscription import SubscriptionWindow
from tests.clock import NOW, Clock
from tests.usage.records import random_record, record, seeded

SEED_FIELDS = [
    "period",
    "totalRequests",
    "claudeCodeRequests",
    "apiKeyRequests",
    "errorRequests",
    "totalInputTokens",
    "totalOutputTokens",
    "estimatedApiKeyCost",
    "estimatedSavings",
    "periodStart",
    "periodEnd",
    "estimatedApiKeyCostFormatted",
    "estimatedSavingsFormatted",
    "note",
]


def test_the_example_of_the_readme() -> None:
    ledger = UsageLedger(Clock())
    for _ in range(69):
        ledger.add(record("api_key"))
    for _ in range(59):
        ledger.add(record("claude_code"))
    ledger.add(record("claude_code", tokens=Tokens(input=163, output=47), dollars=0.001194))
    body = analytics(ledger, None)
    assert [*body][: len(SEED_FIELDS)] == SEED_FIELDS
    assert {name: body[name] for name in SEED_FIELDS} == {
        "period": "day",
        "totalRequests": 129,
        "claudeCodeRequests": 60,
        "apiKeyRequests": 69,
        "errorRequests": 0,
        "totalInputTokens": 163,
        "totalOutputTokens": 47,
        "estimatedApiKeyCost": 0,
        "estimatedSavings": 0.001194,
        "periodStart": int(NOW - 86_400) * 1000,
        "periodEnd": int(NOW) * 1000,
        "estimatedApiKeyCostFormatted": "$0.0000¢",
        "estimatedSavingsFormatted": "$0.1194¢",
        "note": "Costs are estimates. Actual costs may vary due to prompt caching.",
    }


@pytest.mark.parametrize(
    ("dollars", "text"),
    [
        (0, "$0.0000¢"),
        (0.001194, "$0.1194¢"),
        (0.0099, "$0.9900¢"),
        (0.009999999999, "$1.0000¢"),
        (0.01, "$0.0100"),
        (0.01004, "$0.0100"),
        (1.2345678, "$1.2346"),
        (1234.5, "$1234.5000"),
    ],
)
def test_costs_below_a_cent_are_told_in_cents(dollars: float, text: str) -> None:
    assert format_cost(picodollars(dollars)) == text


def test_parts_add_up_to_the_whole() -> None:
    rng = seeded(3)
    ledger = UsageLedger(Clock(), ring_size=10)
    records = [ledger.add(random_record(rng, NOW)) for _ in range(500)]
    body = analytics(ledger, "hour")
    for parts in (body["bySource"], body["byModel"]):
        assert sum(part["requests"] for part in parts.values()) == 500
        assert sum(part["inputTokens"] for part in parts.values()) == sum(
            r.tokens.input for r in records
        )
        cost = sum(part["estimatedCost"] for part in parts.values())
        assert cost == pytest.approx(sum(r.cost for r in records) / 1e12, abs=1e-9)
    counts = [body[f"{name}Requests"] for name in ("claudeCode", "extraUsage", "apiKey", "error")]
    assert body["totalRequests"] == sum(counts)


def test_only_three_sources_count_as_requests_and_summaries_as_cost() -> None:
    ledger = UsageLedger(Clock())
    for source in ("openai", "local", "refused"):
        ledger.add(record(source, tokens=Tokens(1, 1)))
    ledger.add(record("summary", tokens=Tokens(10, 20), dollars=2))
    ledger.add(record("claude_code_summary", tokens=Tokens(100, 200), dollars=3))
    body = analytics(ledger, "all")
    assert body["totalRequests"] == 0
    assert (body["estimatedApiKeyCost"], body["estimatedSavings"]) == (2, 3)
    assert (body["totalInputTokens"], body["totalOutputTokens"]) == (110, 220)
    assert {name: part["requests"] for name, part in body["bySource"].items()} == dict.fromkeys(
        ("claude_code_summary", "local", "openai", "refused", "summary"), 1
    )
    assert body["periodStart"] == 0


def test_cache_thinking_and_subscription_are_told() -> None:
    ledger = UsageLedger(Clock())
    ledger.add(record("claude_code", tokens=Tokens(10, 5, 20, 10, 60, 3)))
    window = SubscriptionWindow(name="5h", label="5 hours", utilization=0.25, resets_at=NOW + 60)
    body = analytics(ledger, "day", [window])
    assert body["totalCacheWrite5mTokens"] == 20
    assert body["totalCacheWrite1hTokens"] == 10
    assert body["totalCacheReadTokens"] == 60
    assert body["totalThinkingTokens"] == 3
    assert body["cacheHitRate"] == 0.6
    assert body["byModel"]["claude-opus-4-5"]["cacheHitRate"] == 0.6
    assert body["subscriptionWindows"] == [
        {
            "name": "5h",
            "label": "5 hours",
            "utilization": 0.25,
            "resetsAt": int(NOW + 60) * 1000,
            "status": None,
            "seenAt": None,
        }
    ]


@pytest.mark.parametrize("period", ["", "Day", "year", "hour ", "1"])
def test_an_unknown_period_is_refused(period: str) -> None:
    with pytest.raises(BadRequest, match="hour, day, week, month, all") as caught:
        analytics(UsageLedger(Clock()), period)
    assert caught.value.param == "period"


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        (None, 100),
        ("1", 1),
        ("0", 1),
        ("-5", 1),
        ("+7", 7),
        ("1000", 1000),
        ("1001", 1000),
        ("9" * 20, 1000),
    ],
)
def test_limit_is_brought_into_range(given: str | None, limit: int) -> None:
    assert parse_limit(given) == limit


@pytest.mark.parametrize("given", ["", "NaN", "ten", "1.5", "1e3", " 1", "٣", "9" * 5000])
def test_a_limit_that_is_no_number_is_refused(given: str) -> None:
    with pytest.raises(BadRequest, match="limit: must be") as caught:
        recent_requests(UsageLedger(Clock()), given)
    assert caught.value.param == "limit"


def test_a_request_is_shown_with_the_fields_of_the_readme_first() -> None:
    ledger = UsageLedger(Clock())
    ledger.add(record())
    ledger.add(
        record(
            "claude_code",
            time=NOW + 0.25,
            tokens=Tokens(1, 2, 3, 4, 5, 6),
            dollars=0.5,
            stream=True,
            latency_ms=900,
            ttft_ms=80,
            reason="limit reached",
        )
    )
    newest, oldest = recent_requests(ledger, "10")["requests"]
    assert (newest["id"], oldest["id"]) == (2, 1)
    first = [*newest.items()][:10]
    assert first == [
        ("id", 2),
        ("timestamp", int(NOW * 1000) + 250),
        ("model", "claude-opus-4-5"),
        ("source", "claude_code"),
        ("inputTokens", 1),
        ("outputTokens", 2),
        ("estimatedCost", 0.5),
        ("stream", True),
        ("latencyMs", 900),
        ("error", None),
    ]
    assert newest["cacheReadTokens"] == 5
    assert (newest["reason"], newest["ttftMs"]) == ("limit reached", 80)


def test_reset_forgets_requests_and_counts_them() -> None:
    ledger = UsageLedger(Clock(), ring_size=2)
    for _ in range(5):
        ledger.add(record(dollars=1))
    assert reset(ledger) == {"success": True, "deletedCount": 5}
    assert recent_requests(ledger, None) == {"requests": []}
    assert analytics(ledger, "all")["estimatedApiKeyCost"] == 0
    assert ledger.add(record()).id == 1
