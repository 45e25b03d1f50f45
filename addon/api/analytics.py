"""The bodies of `/analytics`, `/analytics/requests` and `/analytics/reset`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from operator import attrgetter

from addon.core.errors import BadRequest
from addon.core.types import JsonObject
from addon.usage.ledger import (
    Key,
    Period,
    Totals,
    TotalsByKey,
    UsageLedger,
    add,
    add_up,
    grouped,
    merge_totals,
    parse_period,
)
from addon.usage.record import (
    COUNTED,
    PAID,
    PICO,
    SAVED,
    record_json,
    tokens_json,
    usd,
)
from addon.usage.subscription import SubscriptionWindow, milliseconds

NOTE = "Costs are estimates. Actual costs may vary due to prompt caching."
DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000
DATES = {"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}
BY: dict[str, Callable[[Key], str]] = {
    name: attrgetter(name) for name in ("client", "name", "model")
}

ANTHROPIC = (COUNTED | PAID | SAVED) - {"openai"}
"""The sources whose tokens are in the totals: the requests whose cost is in them, too."""


def analytics(
    ledger: UsageLedger, period: str | None, windows: Iterable[SubscriptionWindow] = ()
) -> JsonObject:
    """The body of `GET /analytics?period=`; None means the last day. Raises `BadRequest` for an unknown period."""
    return summary(ledger, parse_period(period), windows)


def summary(
    ledger: UsageLedger,
    period: Period,
    windows: Iterable[SubscriptionWindow] = (),
    now: float | None = None,
) -> JsonObject:
    now = ledger.now() if now is None else now
    sums = ledger.sums(period, now)
    counted = total(sums, COUNTED)
    paid, saved = total(sums, PAID).cost, total(sums, SAVED).cost
    tokens = total(sums, ANTHROPIC).tokens
    return {
        "period": period.name,
        "totalRequests": counted.requests,
        "claudeCodeRequests": total(sums, {"claude_code"}).requests,
        "apiKeyRequests": total(sums, {"api_key"}).requests,
        "errorRequests": total(sums, {"error"}).requests,
        "totalInputTokens": tokens.input,
        "totalOutputTokens": tokens.output,
        "estimatedApiKeyCost": usd(paid),
        "estimatedSavings": usd(saved),
        "periodStart": 0 if period.seconds is None else milliseconds(now - period.seconds),
        "periodEnd": milliseconds(now),
        "estimatedApiKeyCostFormatted": format_cost(paid),
        "estimatedSavingsFormatted": format_cost(saved),
        "note": NOTE,
        "extraUsageRequests": total(sums, {"extra_usage"}).requests,
        "estimatedExtraUsageCost": usd(total(sums, {"extra_usage"}).cost),
        "totalCacheWrite5mTokens": tokens.cache_write_5m,
        "totalCacheWrite1hTokens": tokens.cache_write_1h,
        "totalCacheReadTokens": tokens.cache_read,
        "totalThinkingTokens": tokens.thinking,
        "cacheHitRate": tokens.cache_hit_rate,
        "failedRequests": counted.failed,
        "cacheMisses": counted.misses,
        "cacheMissCost": usd(counted.miss_cost),
        "bySource": _by(sums, attrgetter("source")),
        "byModel": _by(sums, attrgetter("model")),
        "subscriptionWindows": [window.to_json() for window in windows],
    }


def total(sums: Mapping[Key, Totals], sources: frozenset[str] | set[str]) -> Totals:
    """The sum over `sources`."""
    return add_up(totals for key, totals in sums.items() if key.source in sources)


def _by(sums: TotalsByKey, group: Callable[[Key], str]) -> JsonObject:
    return {name: _totals_json(totals) for name, totals in sorted(grouped(sums, group).items())}


def breakdown(ledger: UsageLedger, period: str | None, by: str) -> JsonObject:
    """The body of `GET /analytics?by=`: a row for each client, name, model or session, the costliest first; or for each
    day, week or month (UTC), in order. Sessions are those of the newest requests, which are kept one by one. Raises
    `BadRequest`."""
    chosen = parse_period(period)
    if by in DATES:
        dates: dict[str, list[TotalsByKey]] = {}
        for day, sums in ledger.days(chosen).items():
            dates.setdefault(datetime.fromtimestamp(day, UTC).strftime(DATES[by]), []).append(sums)
        rows = [{by: date, **_money(merge_totals(sums))} for date, sums in dates.items()]
        return {"period": chosen.name, "by": by, "rows": rows}
    if by == "session":
        found = _sessions(ledger, chosen)
    elif by in BY:
        found = [({by: name}, sums) for name, sums in _split(ledger.sums(chosen), BY[by])]
    else:
        names = ", ".join([*BY, "session", *DATES])
        raise BadRequest(f"by: must be one of {names}", param="by")
    rows = [{**named, **_money(sums)} for named, sums in found]
    return {"period": chosen.name, "by": by, "rows": sorted(rows, key=_worth, reverse=True)}


def as_csv(rows: Iterable[JsonObject]) -> str:
    """With a head, for a spreadsheet. A client's word that would be a formula there gets an apostrophe."""
    listed = [{name: _cell(value) for name, value in row.items()} for row in rows]
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(dict.fromkeys(n for row in listed for n in row)))
    writer.writeheader()
    writer.writerows(listed)
    return out.getvalue()


def _cell(value: object) -> object:
    text = " ".join(map(str, value)) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and text[:1] in tuple("=+-@\t\r") else text


def _split(
    sums: TotalsByKey, group: Callable[[Key], str]
) -> Iterable[tuple[str | None, TotalsByKey]]:
    names = dict.fromkeys(map(group, sums))
    return (
        (name or None, {k: totals for k, totals in sums.items() if group(k) == name})
        for name in names
    )


def _sessions(ledger: UsageLedger, period: Period) -> list[tuple[JsonObject, TotalsByKey]]:
    """Requests without a session belong to their conversation."""
    start = 0.0 if period.seconds is None else ledger.now() - period.seconds
    found: dict[str, tuple[JsonObject, TotalsByKey]] = {}
    for record in ledger.recent():
        session = record.session or record.conversation
        if record.time < start or not session:
            continue
        row, sums = found.setdefault(session, ({"last": milliseconds(record.time)}, {}))
        row |= {
            "session": session,
            "client": record.client or None,
            "name": record.name or None,
            "first": milliseconds(record.time),
        }
        add(sums, Key(record.source, record.model), Totals.of(record))
    return list(found.values())


def _money(sums: TotalsByKey) -> JsonObject:
    """One row: what was asked of Anthropic, what of it was paid, and what the rest would have cost."""
    return {
        **_totals_json(total(sums, ANTHROPIC)),
        "models": sorted({key.model for key in sums}),
        "spend": usd(total(sums, PAID).cost),
        "savings": usd(total(sums, SAVED).cost),
    }


def _worth(row: JsonObject) -> tuple[float, int]:
    return row["spend"] + row["savings"], row["requests"]


def _totals_json(totals: Totals) -> JsonObject:
    return {
        "requests": totals.requests,
        "failedRequests": totals.failed,
        **tokens_json(totals.tokens),
        "cacheHitRate": totals.tokens.cache_hit_rate,
        "estimatedCost": usd(totals.cost),
        "cacheMisses": totals.misses,
        "cacheMissCost": usd(totals.miss_cost),
    }


def format_cost(picodollars: int) -> str:
    """Pico-dollars as text: `$1.2340`, and below one cent in cents, `$0.1194¢`."""
    if picodollars < PICO // 100:
        return f"${usd(picodollars * 100):.4f}¢"
    return f"${usd(picodollars):.4f}"


def recent_requests(ledger: UsageLedger, limit: str | None) -> JsonObject:
    """The body of `GET /analytics/requests?limit=`, newest first. `limit` is the query parameter: None means 100,
    and other numbers are limited to 1 to 1000. Raises `BadRequest` if it is not a whole number."""
    return {"requests": [record_json(record) for record in ledger.recent(parse_limit(limit))]}


def parse_limit(limit: str | None) -> int:
    if limit is None:
        return DEFAULT_LIMIT
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", limit):
        raise BadRequest(f"limit: must be a whole number from 1 to {MAX_LIMIT}", param="limit")
    return min(max(int(limit), 1), MAX_LIMIT)


def reset(ledger: UsageLedger) -> JsonObject:
    """Deletes every request and returns the body of `POST /analytics/reset`. Budget settings stay; the spend is 0."""
    return {"success": True, "deletedCount": ledger.reset()}
