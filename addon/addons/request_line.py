"""One request in one line: for the terminal, as the flow's comment in mitmweb, and with a marker of mitmproxy's."""

from __future__ import annotations

from itertools import groupby

from addon.addons.mitmproxy_tuning import BOUGHT, ERROR, RETRIED
from addon.core.terminal import Tone, cents, short_count
from addon.exchange.attempt import Attempt
from addon.exchange.state import Exchange
from addon.usage.record import PAID, SAVED, RequestRecord, usd

CLIENT_CLOSED = 499
"""nginx's status for a client that closed the connection before its response."""
SOURCES = {
    "claude_code": "sub",
    "extra_usage": "extra",
    "api_key": "key",
    "openai": "openai",
    "local": "local",
}
"""Who served it, in a word."""
DOTS = {"claude_code": "●", "api_key": "○", "openai": "○"}
"""Filled: nothing was paid."""


def comment(exchange: Exchange, record: RequestRecord) -> str:
    """`opus-5-5 · sub · 12.3K→0.5K · 94% cached · $0.00 saved $0.21 · cursor`; what was unusual stands last."""
    tokens = record.tokens
    model = [short_model(record.model)] if record.model != "-" else []
    parts = [*model, SOURCES.get(record.source, record.source)]
    if tokens.prompt or tokens.output:
        parts.append(f"{short_count(tokens.prompt)}→{short_count(tokens.output)}")
    if tokens.cache_read:
        parts.append(f"{tokens.cache_hit_rate:.0%} cached")
    if record.cost:
        parts.append(_money(record, "{paid} saved {saved}"))
    if record.who:
        parts.append(record.who)
    return " · ".join([*parts, *unusual(exchange, record)])


def line(exchange: Exchange, record: RequestRecord, clock: str, tag: str) -> str:
    """The same in columns, for 80 characters: `16:35:02 opus-5-5    ● sub 📊 12.3K→0.5K  94%  $0.21 saved 1.2s/8.4s
    cursor`. `clock`: the time of day; `tag`: what links it to other lines of this request."""
    tokens = record.tokens
    dot = "✗" if failed(record) else DOTS.get(record.source, "✗")
    served = f"{dot} {SOURCES.get(record.source, '')}"
    counted = tokens.prompt or tokens.output
    size = f"{short_count(tokens.prompt)}→{short_count(tokens.output)}" if counted else ""
    share = f"{tokens.cache_hit_rate:.0%}" if tokens.cache_read else ""
    money = _money(record, "{saved} saved") if record.cost else ""
    columns = f"{short_model(record.model):<10} {served:<5} 📊{size:>11} {share:>4} {money:>12} {_times(record):<9}"
    told = " ".join(filter(None, [clock, columns, record.who, tag])).rstrip()
    extra = " · ".join(unusual(exchange, record))
    return f"{told} · {extra}" if extra else told


def unusual(exchange: Exchange, record: RequestRecord) -> list[str]:
    """What is worth a word: other attempts than one that worked, changes, a cache miss, an error."""
    told = []
    if len(exchange.attempts) > 1 or record.status >= 400:
        told.append(_steps(exchange, record))
    elif record.reason:
        told.append(record.reason)
    if exchange.skipped:
        told.append(f"skipped {', '.join(exchange.skipped)}")
    if exchange.attempt and exchange.attempt.thinking_change:
        told.append(f"thinking {exchange.attempt.thinking_change}")
    if record.miss:
        told.append(f"cache missed: {record.miss} ({cents(usd(record.miss_cost))})")
    if record.error and record.error != str(record.status):
        told.append(record.error)
    return [part for part in told if part]


def _steps(exchange: Exchange, record: RequestRecord) -> str:
    """`sub 429 → key 200 (rate_limited)`"""
    tries = (f"{_asked(a)} {a.outcome or record.status}" for a in exchange.attempts)
    steps = [
        step if times == 1 else f"{step} ({times} times)"
        for step, times in ((step, len(list(same))) for step, same in groupby(tries))
    ]
    return (" → ".join(steps) or str(record.status)) + (
        f" ({record.reason})" if record.reason else ""
    )


def _asked(attempt: Attempt) -> str:
    if attempt.step in ("", "wait"):
        return SOURCES.get(attempt.source, attempt.source) + " after waiting" * bool(attempt.step)
    return short_model(attempt.step)


def _money(record: RequestRecord, saved: str) -> str:
    """`saved`: how to say what the subscription was worth."""
    worth = cents(usd(record.cost))
    return worth if record.source not in SAVED else saved.format(paid=cents(0), saved=worth)


def _times(record: RequestRecord) -> str:
    """To the first token, and in all: `1.2s/8.4s`."""
    both = (record.ttft_ms, record.latency_ms)
    return "/".join(f"{ms / 1000:.1f}s" for ms in both if ms is not None)


def short_model(model: str) -> str:
    return model.removeprefix("claude-")


def failed(record: RequestRecord) -> bool:
    return record.status >= 400 and record.status != CLIENT_CLOSED


def tone(exchange: Exchange, record: RequestRecord) -> Tone:
    if failed(record):
        return "bad"
    changed = exchange.attempt is not None and exchange.attempt.thinking_change
    return "odd" if record.reason or len(exchange.attempts) > 1 or changed else "plain"


def marker(exchange: Exchange, record: RequestRecord) -> str:
    """One of mitmproxy's, or ""."""
    if failed(record):
        return ERROR
    if record.source in {*PAID, "extra_usage"} and record.cost:
        return BOUGHT
    return RETRIED if len(exchange.attempts) > 1 else ""
