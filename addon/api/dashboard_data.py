"""Builds the body of `GET /dashboard/data?period=`: everything the dashboard page shows, as one JSON object.

    version        1; a page of another version reloads itself
    now            unix milliseconds
    period         hour | day | week | month | all: what `summary`, `series`, `errors` and `speed` cover
    summary        the body of `GET /analytics`
    series         {step: seconds, points: [{start, spend, savings, input, output, cacheRead, cacheWrite,
                   requests, failed}]}, oldest first; `start` in ms, money in USD, the rest counts
    speed          {firstToken: {count, p50, p95, bars}, latency: {the same}} in ms; a bar is {upTo: ms or null, count}
    errors         [{error, source, status, count, last: ms, reason}], most frequent first
    requests       the newest requests, as `GET /analytics/requests`
    windows        [{name, label, utilization: 0..1 or null, resetsAt: ms or null, status, seenAt}]
    budget         {settings: as `GET /budget`, spent: {hour, day, week, month} in USD, known: bool}
    conversations  [{id, title: its first words or "", client, model, tokens, limit, lastSeen: ms, requests, cost: USD,
                   summarized: bool, turns: [{id, time: ms, prompt, cached, miss, missCost}], oldest first}], newest
                   first
    notices        [text]: problems, and each rest of the subscription, as in /health
    ready          bool: something can serve a request

`speed` and `errors` cover the requests that are still in memory individually: the newest two thousand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

from addon.api.analytics import ANTHROPIC, summary, total
from addon.core.frozen import frozen
from addon.core.types import JsonObject
from addon.usage.budget import Budget
from addon.usage.conversations import RecentConversation
from addon.usage.ledger import Period, TotalsByKey, UsageLedger, parse_period
from addon.usage.record import COUNTED, PAID, SAVED, RequestRecord, record_json, usd
from addon.usage.subscription import SubscriptionWindow, milliseconds

VERSION = 1
REQUESTS_SHOWN = 50
CONVERSATIONS_SHOWN = 20
ERRORS_SHOWN = 20
TURNS_SHOWN = 40
BARS_MS = (250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 60_000)


@frozen
class DashboardState:
    """What the page shows in addition to the ledger and the budget."""

    windows: Sequence[SubscriptionWindow] = ()
    conversations: Sequence[RecentConversation] = ()
    notices: Sequence[str] = ()
    ready: bool = True
    """Something can serve a request."""
    titles: Mapping[str, str] = field(default_factory=dict)
    """Of conversations, by id; their first words are shown on this machine only."""


def dashboard_data(
    ledger: UsageLedger, budget: Budget, period: str | None, state: DashboardState
) -> JsonObject:
    """The object described above. A `period` of None means the last day. Raises `BadRequest` for an unknown period."""
    chosen = parse_period(period)
    now = (
        ledger.now()
    )  # one for all parts: they would contradict each other at the edge of a second
    since = now - chosen.seconds if chosen.seconds else float("-inf")
    records = [record for record in ledger.recent() if record.time >= since]
    return {
        "version": VERSION,
        "now": milliseconds(now),
        "period": chosen.name,
        "summary": summary(ledger, chosen, state.windows, now),
        "series": _series(ledger, chosen, now),
        "speed": {
            "firstToken": _speed(each.ttft_ms for each in records),
            "latency": _speed(each.latency_ms for each in records),
        },
        "errors": _errors(records),
        "requests": [record_json(record) for record in ledger.recent(REQUESTS_SHOWN)],
        "windows": [window.to_json() for window in state.windows],
        "budget": budget_json(budget, now),
        "conversations": [
            {**each, "title": state.titles.get(each["id"], "")}
            for each in conversations_json(ledger, state.conversations)
        ],
        "notices": [*state.notices],
        "ready": state.ready,
    }


def _series(ledger: UsageLedger, period: Period, now: float) -> JsonObject:
    step, points = ledger.series(period, now)
    return {"step": step, "points": [_point(start, sums) for start, sums in points]}


def _point(start: int, sums: TotalsByKey) -> JsonObject:
    counted = total(sums, COUNTED)
    tokens = total(sums, ANTHROPIC).tokens
    return {
        "start": start * 1000,
        "spend": usd(total(sums, PAID).cost),
        "savings": usd(total(sums, SAVED).cost),
        "input": tokens.input,
        "output": tokens.output,
        "cacheRead": tokens.cache_read,
        "cacheWrite": tokens.cache_write_5m + tokens.cache_write_1h,
        "requests": counted.requests,
        "failed": counted.failed,
    }


def _speed(values: Iterable[int | None]) -> JsonObject:
    ordered = sorted(value for value in values if value is not None)
    edges = (0, *BARS_MS)
    bars = [
        {"upTo": high, "count": sum(low <= value < high for value in ordered)}
        for low, high in zip(edges, BARS_MS, strict=False)
    ]
    slowest = {"upTo": None, "count": sum(value >= BARS_MS[-1] for value in ordered)}
    return {
        "count": len(ordered),
        "p50": percentile(ordered, 0.5),
        "p95": percentile(ordered, 0.95),
        "bars": [*bars, slowest],
    }


def percentile(ordered: Sequence[int], share: float) -> int | None:
    """The smallest value that at least `share` of the `ordered` values do not exceed."""
    return ordered[max(1, math.ceil(share * len(ordered))) - 1] if ordered else None


def _errors(records: Iterable[RequestRecord]) -> list[JsonObject]:
    """`records` are newest first, so the first of each kind is its most recent one."""
    found: dict[tuple[str, str, int], JsonObject] = {}
    for record in records:
        if record.error is None:
            continue
        row = found.setdefault(
            (record.error, record.source, record.status),
            {
                "error": record.error,
                "source": record.source,
                "status": record.status,
                "count": 0,
                "last": milliseconds(record.time),
                "reason": record.reason,
            },
        )
        row["count"] += 1
    return sorted(found.values(), key=lambda row: -row["count"])[:ERRORS_SHOWN]


def budget_json(budget: Budget, now: float | None = None) -> JsonObject:
    """`budget` of the contract, and the data of the `budget` event."""
    settings, spent = budget.settings.to_json(), budget.spent(now)
    return {"settings": settings, "spent": spent, "known": budget.known}


def conversations_json(
    ledger: UsageLedger, conversations: Iterable[RecentConversation]
) -> list[JsonObject]:
    """`conversations` of the contract; the data of the `conversations` event is {conversations: this}."""
    newest = sorted(conversations, key=lambda each: -each.last_seen)[:CONVERSATIONS_SHOWN]
    used: dict[str, list[RequestRecord]] = {each.id: [] for each in newest}
    for record in ledger.recent():
        if record.conversation in used:
            used[record.conversation].append(record)
    return [
        {
            "id": each.id,
            "model": each.model,
            "tokens": each.tokens,
            "limit": each.limit,
            "lastSeen": milliseconds(each.last_seen),
            "requests": len(used[each.id]),
            "cost": usd(sum(record.cost for record in used[each.id])),
            "summarized": each.summarized,
            "client": next((r.client for r in used[each.id] if r.client), ""),
            "turns": [_turn(record) for record in reversed(used[each.id][:TURNS_SHOWN])],
        }
        for each in newest
    ]


def _turn(record: RequestRecord) -> JsonObject:
    return {
        "id": record.id,
        "time": milliseconds(record.time),
        "prompt": record.tokens.prompt,
        "cached": record.tokens.cache_read,
        "miss": record.miss or None,
        "missCost": usd(record.miss_cost),
    }
