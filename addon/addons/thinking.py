"""How hard Claude thinks: what the request, the model's name and the settings ask for, as the model accepts it."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from mitmproxy import http

from addon.claude.thinking import Prepared, ThinkingOptions, apply_thinking
from addon.claude.thinking_native import fix_native
from addon.claude.thinking_records import Scope
from addon.claude.thinking_request import Budgets
from addon.claude.thinking_store import ThinkingStore, ThinkingTicket
from addon.claude.turns import strip_thinking
from addon.core.errors import CCProxyError
from addon.core.settings import Settings
from addon.core.types import JsonObject
from addon.exchange.answer import StreamedAnswer
from addon.exchange.claude_request import ClaudeRequest
from addon.exchange.state import Exchanges


class Continued(NamedTuple):
    """A request as it is sent, with what it takes to remember its answer."""

    request: JsonObject
    ticket: ThinkingTicket
    thinking_change: str
    """As in `Attempt`."""


class Continuity:
    def __init__(self, store: ThinkingStore) -> None:
        self.store = store

    def prepare(
        self,
        claude: ClaudeRequest,
        request: JsonObject,
        principal: str,
        account: str,
        *,
        strip: bool,
    ) -> Continued:
        """`request`, otherwise ready for `account`, with the thinking that may be put back; with `strip`, without
        any, for the one retry after Anthropic refused it."""
        scope = Scope(principal, account, claude.model.id)
        if strip:
            stripped = strip_thinking(request)
            is_off = "thinking" in request and "thinking" not in stripped
            change = "off (refused)" if is_off else claude.thinking_change or "stripped (refused)"
            return Continued(stripped, ThinkingTicket(scope, None), change)
        restored = self.store.restore(scope, request, claude.model, claude.digests)
        change = "off (lost_blocks)" if restored.thinking_off else claude.thinking_change
        return Continued(restored.request, ThinkingTicket(scope, restored.position), change)

    def record(self, ticket: ThinkingTicket, request: JsonObject, message: JsonObject) -> None:
        self.store.record(ticket.scope, request, message, ticket.position)


class Thinking:
    def __init__(self, settings: Settings, exchanges: Exchanges, continuity: Continuity) -> None:
        self.exchanges = exchanges
        self.continuity = continuity
        self.options = ThinkingOptions(
            budgets=Budgets(
                high=settings.thinking_budget_high,
                medium=settings.thinking_budget_medium,
                low=settings.thinking_budget_low,
            ),
            default_effort=settings.default_effort,
            allow_fast=settings.fast_mode,
        )

    def request(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.open(flow)
        if exchange is None or exchange.claude is None or exchange.claude.counts_tokens:
            return
        try:
            prepared = self.prepare(exchange.claude, native=exchange.dialect == "messages")
        except CCProxyError as error:
            exchange.refuse(flow, error)
            return
        exchange.claude.request = prepared.request
        exchange.claude.betas |= prepared.betas
        exchange.claude.thinking_change = prepared.thinking_change
        exchange.notes += prepared.notes

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        if exchange is None or exchange.attempt is None:
            return
        attempt, answer = exchange.attempt, exchange.answer
        if attempt.ticket is not None and isinstance(answer, StreamedAnswer):
            answer.keep = partial(self.continuity.record, attempt.ticket, attempt.request)

    def prepare(self, claude: ClaudeRequest, *, native: bool) -> Prepared:
        if native:
            return fix_native(
                claude.request,
                claude.model,
                self.options,
                choice=claude.choice,
                betas=frozenset(claude.betas),
            )
        return apply_thinking(
            claude.request,
            claude.thinking_request,
            claude.model,
            self.options,
            max_tokens_given=claude.max_tokens_given,
            choice=claude.choice,
        )
