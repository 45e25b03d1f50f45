"""Marks prompts for Anthropic's cache where the client did not, and says what broke a hit."""

from __future__ import annotations

from typing import NamedTuple

from mitmproxy import http

from addon.claude.pricing import Tokens
from addon.claude.prompt_cache import PartDigests, explain_miss, part_digests, place_breakpoints
from addon.core.lru import Lru
from addon.core.settings import Settings
from addon.core.terminal import Terminal
from addon.exchange.state import Exchanges

REMEMBERED = 256
"""Conversations whose last prompt is known by its digests."""
HIT = 0.5
"""A turn that reads less than this share of what the last one had in the cache has missed it."""


class Sent(NamedTuple):
    digests: PartDigests
    cached: int
    """Tokens that were read from the cache or written to it."""


type LastSent = Lru[str, Sent]
"""By conversation."""


class PromptCache:
    def __init__(
        self, settings: Settings, exchanges: Exchanges, terminal: Terminal, last: LastSent
    ) -> None:
        self.on = settings.prompt_cache == "auto"
        self.ttl = settings.cache_ttl
        self.exchanges = exchanges
        self.terminal = terminal
        self.last = last

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
        marked = place_breakpoints(
            claude.request, claude.model, claude.prompt_tokens, claude.cache_ttl or self.ttl
        )
        if marked is not claude.request:
            claude.note_change("cache_control")
        claude.request = marked

    def response(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        claude = exchange.claude if exchange else None
        if (
            exchange is None
            or claude is None
            or claude.conversation is None
            or claude.opaque
            or exchange.answer is None
        ):
            return
        tokens = Tokens.from_usage(exchange.answer.usage)
        cached = tokens.cache_read + tokens.cache_write_5m + tokens.cache_write_1h
        if not cached or not exchange.answer.complete:
            return
        sent = Sent(part_digests(exchange.attempts[-1].request, claude.digests), cached)
        conversation = f"{exchange.source}:{claude.conversation}"
        before = self.last.get(conversation)
        self.last.put(conversation, sent)
        if before is not None and tokens.cache_read < HIT * before.cached:
            changed = explain_miss(before.digests, sent.digests) or "nothing; the entry has expired"
            self.terminal.line(f"   prompt cache missed; changed since the last turn: {changed}")
