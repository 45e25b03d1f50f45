"""One request as it is remembered: what was asked, who served it, what it used and what that is worth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from addon.claude.pricing import Tokens
from addon.core.types import Dialect, JsonObject
from addon.usage.subscription import milliseconds

type RecordSource = Literal[
    "claude_code",
    "api_key",
    "error",
    "openai",
    "local",
    "refused",
    "summary",
    "claude_code_summary",
]
"""Who served a request. `claude_code`: the subscription; `api_key`: the paid key; both also when the answer was cut
or was an upstream error, because what was used is billed all the same. `error`: nobody answered, nothing was used.
`openai`: passed through to another provider. `local`: answered by the proxy itself. `refused`: turned away by access
control. `summary`, `claude_code_summary`: the proxy's own calls that shorten a conversation, by key or subscription."""

COUNTED: frozenset[str] = frozenset({"claude_code", "api_key", "error"})
"""The sources that make up `totalRequests`."""
PAID: frozenset[str] = frozenset({"api_key", "summary"})
"""The sources that cost real money: they fill the budget and `estimatedApiKeyCost`."""
SAVED: frozenset[str] = frozenset({"claude_code", "claude_code_summary"})
"""The sources that would have cost money: they fill `estimatedSavings`."""

PICO = 10**12
"""Money is counted in whole pico-dollars, so that sums are exact in any order."""


def usd(picodollars: int) -> float:
    """Pico-dollars as dollars, correctly rounded."""
    return picodollars / PICO


def picodollars(usd: float) -> int:
    """Dollars as the nearest whole number of pico-dollars."""
    return round(usd * PICO)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request that has ended, well or not."""

    time: float
    """Unix seconds when it ended: that is when its cost is known."""
    model: str
    source: RecordSource
    dialect: Dialect | None = None
    stream: bool = False
    status: int = 200
    """The status the client saw (after an early 200, what the error event stands for)."""
    reason: str | None = None
    """Why this source served it, for people: `subscription limit reached`, `no credentials`."""
    tokens: Tokens = field(default_factory=Tokens)
    cost: int = 0
    """Pico-dollars at API prices, whoever paid: `picodollars` of what `addon.claude.pricing` says."""
    latency_ms: int | None = None
    """From the request's last byte to the answer's last byte."""
    ttft_ms: int | None = None
    """From the request's last byte to the first byte of content."""
    error: str | None = None
    """None when the answer was whole; else its class: `rate_limit_error`, `client_closed`, `upstream_idle`."""
    conversation: str | None = None
    request_id: str | None = None
    """Anthropic's `request-id`, for support."""
    id: int = 0
    """Counted from 1 by the ledger that the record is added to."""


def record_json(record: RequestRecord) -> JsonObject:
    """One request as `/analytics/requests` and the dashboard show it."""
    tokens = tokens_json(record.tokens)
    return {
        "id": record.id,
        "timestamp": milliseconds(record.time),
        "model": record.model,
        "source": record.source,
        "inputTokens": tokens.pop("inputTokens"),
        "outputTokens": tokens.pop("outputTokens"),
        "estimatedCost": usd(record.cost),
        "stream": record.stream,
        "latencyMs": record.latency_ms,
        "error": record.error,
        "status": record.status,
        "reason": record.reason,
        "dialect": record.dialect,
        **tokens,
        "ttftMs": record.ttft_ms,
        "conversation": record.conversation,
        "requestId": record.request_id,
    }


def tokens_json(tokens: Tokens) -> JsonObject:
    return {
        "inputTokens": tokens.input,
        "outputTokens": tokens.output,
        "cacheWrite5mTokens": tokens.cache_write_5m,
        "cacheWrite1hTokens": tokens.cache_write_1h,
        "cacheReadTokens": tokens.cache_read,
        "thinkingTokens": tokens.thinking,
    }
