"""Defines the record of one request: its model, who served it, the tokens it used and what they cost."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from addon.claude.pricing import Tokens
from addon.core.frozen import frozen
from addon.core.types import Dialect, JsonObject
from addon.usage.subscription import milliseconds

type RecordSource = Literal[
    "claude_code",
    "extra_usage",
    "api_key",
    "error",
    "openai",
    "local",
    "refused",
    "summary",
    "claude_code_summary",
]
"""Who served a request. `claude_code`: the subscription; `extra_usage`: the same, but billed beyond the plan's limits;
`api_key`: the paid key; all also if the response was cut off or was an error from upstream, since what was used is
billed all the same. `error`: it went to nobody, and nothing was used: malformed, no credential, no room in the budget.
`openai`: passed through to another provider. `local`: answered by the proxy itself. `refused`: rejected by access
control; only files of earlier versions have such records. `summary`, `claude_code_summary`: the proxy's own requests
for summaries, by key or subscription."""

COUNTED: frozenset[str] = frozenset({"claude_code", "extra_usage", "api_key", "error"})
"""The sources that count in `totalRequests`."""
PAID: frozenset[str] = frozenset({"api_key", "summary", "openai"})
"""The sources that cost money: they count in the budget and in `estimatedApiKeyCost`. `openai`: as far as its prices
are known."""
SAVED: frozenset[str] = frozenset({"claude_code", "claude_code_summary"})
"""The sources that would have cost money by API key: they count in `estimatedSavings`."""

PICO = 10**12
"""Money is counted in whole pico-dollars, so that sums are exact in any order."""


def encodable(name: str) -> str:
    """JSON allows lone surrogates in a name, UTF-8 does not."""
    return name.encode(errors="replace").decode()


def usd(picodollars: int) -> float:
    """Pico-dollars as dollars, correctly rounded."""
    return picodollars / PICO


def picodollars(usd: float) -> int:
    """Dollars as the nearest whole number of pico-dollars."""
    return round(usd * PICO)


@frozen(kw_only=True)
class RequestRecord:
    """One request that has ended, successfully or not."""

    time: float
    """Unix seconds when it ended, which is when its cost is known."""
    model: str
    source: RecordSource
    dialect: Dialect | None = None
    stream: bool = False
    status: int = 200
    """The status that the client got; after an early 200, the status that the error event stands for."""
    reason: str | None = None
    """Why it was not the first choice that served it: `rate_limited`, `no_login`."""
    tokens: Tokens = field(default_factory=Tokens)
    cost: int = 0
    """Pico-dollars at API prices, whoever paid; from `addon.claude.pricing`."""
    latency_ms: int | None = None
    """From the last byte of the request to the last byte of the response."""
    ttft_ms: int | None = None
    """From the last byte of the request to the first byte of content."""
    error: str | None = None
    """None if the response was complete, otherwise its kind: `rate_limit_error`, `client_closed`, `upstream_idle`."""
    conversation: str | None = None
    request_id: str | None = None
    """Anthropic's `request-id`, for support."""
    client: str = ""
    """The program that asked, as `addon.exchange.who` calls it; "" if it did not say."""
    name: str = ""
    """What the user calls this use of the proxy: `/@work/v1/…`."""
    session: str = ""
    """As the client names it; "" if it does not."""
    agent: str = ""
    """The subagent of Claude Code's that asked."""
    parent_agent: str = ""
    exchange: str = ""
    """By which `/explain/<id>` has its bodies, for as long as they are kept."""
    miss: str = ""
    """Why the prompt was not read from the cache as the one before it: `tools changed`, `expired after 7 min idle`; ""
    if it was."""
    miss_cost: int = 0
    """Pico-dollars that a hit would have saved."""
    id: int = 0
    """Set by the ledger, from 1."""

    @property
    def who(self) -> str:
        """`cursor@work`; "" if neither is known."""
        return f"{self.client}@{self.name}" if self.name else self.client


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
        "client": record.client or None,
        "name": record.name or None,
        "explain": record.exchange or None,
        "session": record.session or None,
        "agent": record.agent or None,
        "parentAgent": record.parent_agent or None,
        "cacheMiss": record.miss or None,
        "cacheMissCost": usd(record.miss_cost),
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
