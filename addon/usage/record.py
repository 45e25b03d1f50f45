"""One request as it is remembered: what was asked, who served it, what it used and what that is worth."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal, Self

from addon.claude.prices import TokenCounts
from addon.wire.types import Dialect, JsonObject

type Source = Literal[
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


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token counts as they are billed: `input` excludes the three cache kinds, `output` includes `thinking`."""

    input: int = 0
    output: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0
    thinking: int = 0

    @classmethod
    def from_usage(cls, usage: JsonObject) -> Self:
        """From the `usage` of an Anthropic message or of an accumulated stream; absent and null counts are 0."""
        counts = TokenCounts.from_usage(usage)
        details = usage.get("output_tokens_details") or {}
        return cls(
            input=counts.input,
            output=counts.output,
            cache_write_5m=counts.cache_write_5m,
            cache_write_1h=counts.cache_write_1h,
            cache_read=counts.cache_read,
            thinking=details.get("thinking_tokens") or 0,
        )

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.input + other.input,
            self.output + other.output,
            self.cache_write_5m + other.cache_write_5m,
            self.cache_write_1h + other.cache_write_1h,
            self.cache_read + other.cache_read,
            self.thinking + other.thinking,
        )

    @property
    def prompt(self) -> int:
        """Everything that was read: fresh, written to the cache and read from it."""
        return self.input + self.cache_write_5m + self.cache_write_1h + self.cache_read

    @property
    def cache_hit_rate(self) -> float:
        """The share of the prompt that came from the cache, 0 to 1."""
        return self.cache_read / self.prompt if self.prompt else 0.0


def usd(picos: int) -> float:
    """Pico-dollars as dollars, correctly rounded."""
    return picos / PICO


def picos(usd: float) -> int:
    """Dollars as the nearest whole number of pico-dollars."""
    return round(usd * PICO)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request that has ended, well or not."""

    time: float
    """Unix seconds when it ended: that is when its cost is known."""
    model: str
    source: Source
    dialect: Dialect | None = None
    stream: bool = False
    status: int = 200
    """The status the client saw (after an early 200, what the error event stands for)."""
    reason: str | None = None
    """Why this source served it, for people: `subscription limit reached`, `no credentials`."""
    tokens: Tokens = field(default_factory=Tokens)
    cost: int = 0
    """Pico-dollars at API prices, whoever paid: `picos` of what `addon.claude.prices.cost` says."""
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


RECORD_FIELDS = tuple(f.name for f in fields(RequestRecord))
