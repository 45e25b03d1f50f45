"""Selects the upstream response headers that a client receives, and renames them for its dialect."""

from __future__ import annotations

from collections.abc import Mapping

from addon.core.retry_after import http_date, read_reset
from addon.core.types import Dialect

# All others are dropped: organization ids, cookies, the CDN's headers, and the length and encoding of a body that is
# rewritten. `anthropic-ratelimit-unified-*` reveals how much of the subscription is used, which a tunnel's clients
# should not learn.
PASSED = ("retry-after", "retry-after-ms", "x-should-retry")
PASSED_NATIVE = ("anthropic-ratelimit-", "anthropic-priority-", "anthropic-fast-")
HIDDEN = "anthropic-ratelimit-unified-"

EVENT_STREAM_HEADERS = (
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache, no-transform"),
    ("x-accel-buffering", "no"),  # nginx would buffer events
)


def client_headers(
    upstream: Mapping[str, str], dialect: Dialect, *, unified: bool = False
) -> list[tuple[str, str]]:
    """The headers of upstream's answer (lower-case names) that go to a client of `dialect`. `unified`: how much of the
    subscription is used up may be told (Claude Code shows it)."""
    headers = [(name, upstream[name]) for name in PASSED if name in upstream]
    if request_id := upstream.get("request-id"):
        # The OpenAI SDKs read x-request-id, the Anthropic ones request-id.
        headers += [("request-id", request_id), ("x-request-id", request_id)]
    if dialect == "messages":
        return headers + _native(upstream, unified)
    return headers + _ratelimits(upstream)


def _native(upstream: Mapping[str, str], unified: bool) -> list[tuple[str, str]]:
    return [
        (name, value)
        for name, value in upstream.items()
        if name.startswith(PASSED_NATIVE) and (unified or not name.startswith(HIDDEN))
    ]


def _ratelimits(upstream: Mapping[str, str]) -> list[tuple[str, str]]:
    headers = []
    for unit in ("requests", "tokens"):
        for field in ("limit", "remaining", "reset"):
            value = upstream.get(f"anthropic-ratelimit-{unit}-{field}")
            if value and field == "reset":
                value = _time_left(value, upstream.get("date"))
            if value:
                headers.append((f"x-ratelimit-{field}-{unit}", value))
    return headers


def _time_left(reset: str, date: str | None) -> str | None:
    """Anthropic sends a time (RFC 3339), OpenAI a duration ("6m0s"). It is relative to the response's own Date, so that
    a wrong clock on this machine does not matter."""
    now = http_date(date)
    moment = None if now is None else read_reset(reset, now)
    return None if now is None or moment is None else duration(moment - now)


def duration(seconds: float) -> str:
    """`seconds` as OpenAI writes a duration: 1s, 6m0s, 1h0m0s."""
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
