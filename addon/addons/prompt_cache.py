"""Marks prompts for Anthropic's cache where the client did not, and says what broke a hit and what that cost."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple

from mitmproxy import http

from addon.claude.cache_lifetime import (
    LONG,
    SHORT,
    CacheLifetimes,
    HourMark,
    Lifetime,
)
from addon.claude.digest import message_digest
from addon.claude.model import Model
from addon.claude.pricing import Tokens, cost
from addon.claude.prompt_cache import (
    PartDigests,
    explain_miss,
    last_user,
    part_digests,
    place_breakpoints,
)
from addon.core.lru import Lru
from addon.core.settings import Settings
from addon.core.terminal import cents
from addon.core.types import JsonObject
from addon.exchange.claude_request import ClaudeRequest
from addon.exchange.state import Exchange, Exchanges
from addon.usage.record import picodollars

REMEMBERED = 256
"""Conversations whose last prompt is known by its digests."""
HIT = 0.5
"""A turn that reads less than this share of what the last one had in the cache has missed it."""


class Sent(NamedTuple):
    digests: PartDigests
    cached: int
    """Tokens that were read from the cache or written to it."""
    at: float
    """Unix seconds."""
    source: str
    """Whose cache it is: each credential has its own."""


class CacheMemory:
    """What is known of conversations, whatever becomes of the settings."""

    def __init__(self) -> None:
        self.last: Lru[str, Sent] = Lru(REMEMBERED)
        self.lifetimes = CacheLifetimes()


class PromptCache:
    def __init__(self, settings: Settings, exchanges: Exchanges, memory: CacheMemory) -> None:
        self.on = settings.prompt_cache == "auto"
        self.ttl = settings.cache_ttl
        self.exchanges = exchanges
        self.last, self.lifetimes = memory.last, memory.lifetimes

    def request(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.open(flow)
        if (
            not self.on
            or exchange is None
            or exchange.claude is None
            or exchange.claude.counts_tokens
            or exchange.claude.opaque
            or exchange.claude.explicit_cache
        ):
            return
        claude = exchange.claude
        if claude.prompt_tokens < claude.model.min_cacheable:
            return  # nothing of it is cached, so it need not be known when it came
        lifetime = self.lifetime(claude, exchange.arrived)
        marked = place_breakpoints(
            claude.request,
            claude.model,
            claude.prompt_tokens,
            "1h" if lifetime.hour else "5m",
            lifetime.keep.message if lifetime.keep else None,
        )
        if marked is claude.request:
            return
        claude.note_change("cache_control")
        end = last_user(claude.request["messages"])
        here = HourMark(end, _digest(claude, end), claude.prompt_tokens)
        claude.request, claude.marked = marked, (lifetime, here)

    def lifetime(self, claude: ClaudeRequest, now: float) -> Lifetime:
        fixed = claude.cache_ttl or self.ttl
        if fixed != "auto" or claude.conversation is None:
            return Lifetime(fixed == "1h")
        digest = partial(_digest, claude)
        return self.lifetimes.choose(
            claude.conversation, claude.model, claude.prompt_tokens, now, digest
        )

    def response(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        claude = exchange.claude if exchange else None
        if (
            exchange is None
            or claude is None
            or claude.conversation is None
            or claude.opaque
            or exchange.answer is None
            or not exchange.answer.complete
        ):
            return
        used = Tokens.from_usage(exchange.answer.usage)
        cached = used.cache_read + used.cache_write_5m + used.cache_write_1h
        before, changed = self.last.get(claude.conversation), None
        if cached or before:  # else nothing is compared, now or later
            digests = part_digests(exchange.attempts[-1].request, claude.digests)
            changed = explain_miss(before.digests, digests) if before else None
            if cached:
                now = Sent(digests, cached, exchange.arrived, exchange.source)
                self.last.put(claude.conversation, now)
        if claude.marked is not None:
            lifetime, here = claude.marked
            went_on = before is not None and not changed and before.source == exchange.source
            self.lifetimes.learn(claude.conversation, lifetime, here, used, went_on=went_on)
        if before is not None and used.cache_read < HIT * before.cached:
            reason = f"{changed} changed" if changed else _ended(before, exchange)
            self.tell(exchange, reason, before.cached - used.cache_read, claude.model)

    def tell(self, exchange: Exchange, reason: str, missed: int, model: Model) -> None:
        usage: JsonObject = exchange.answer.usage if exchange.answer else {}
        price = costs_more(model, Tokens.from_usage(usage), missed)
        exchange.cache_miss = reason, picodollars(price)
        exchange.note(f"cache missed: {reason}, {cents(price)} more than a hit")


def _digest(claude: ClaudeRequest, index: int) -> bytes:
    messages = claude.request["messages"]
    if not 0 <= index < len(messages):
        return b""
    return claude.digests.get(id(messages[index])) or message_digest(messages[index])


def _ended(before: Sent, exchange: Exchange) -> str:
    """Why an entry of the same prompt was not found."""
    if before.source != exchange.source:
        return f"now by {exchange.source}, whose cache is another one"
    idle = exchange.arrived - before.at
    if idle > SHORT:
        shown = f"{idle / 60:.0f} min" if idle < LONG else f"{idle / 3600:.1f} h"
        return f"expired after {shown} idle"
    return "the entry is gone"


def costs_more(model: Model, used: Tokens, missed: int) -> float:
    """USD that a response cost more than if `missed` tokens had been read from the cache."""
    left, hit = missed, used
    for name in ("cache_write_5m", "cache_write_1h", "input"):
        part = min(left, getattr(hit, name))
        left -= part
        hit = replace(hit, **{name: getattr(hit, name) - part}, cache_read=hit.cache_read + part)
    return cost(model, used) - cost(model, hit)
