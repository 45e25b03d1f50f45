"""How hard Claude thinks: what the request, the model's name and the settings ask for, as the model accepts it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from operator import is_
from typing import NamedTuple

from mitmproxy import http

from addon.claude.model import Model
from addon.claude.thinking import Prepared, ThinkingOptions, apply_thinking
from addon.claude.thinking_native import fields_changed, only_the_name_asks
from addon.claude.thinking_records import Scope
from addon.claude.thinking_request import Budgets
from addon.claude.thinking_store import ThinkingStore, ThinkingTicket
from addon.claude.turns import strip_thinking, with_server_pairs, without_server_tools
from addon.core.clock import Batch
from addon.core.errors import CCProxyError
from addon.core.settings import Settings
from addon.core.types import JsonObject, Tried
from addon.exchange.answer import StreamedAnswer
from addon.exchange.claude_request import ClaudeRequest
from addon.exchange.state import Exchanges


class Continued(NamedTuple):
    """A request as it is sent, with what it takes to remember its answer."""

    request: JsonObject
    ticket: ThinkingTicket
    thinking_change: str
    """As in `Attempt`."""
    restored: bool = False
    """Thinking of earlier turns was put back."""


class Continuity:
    def __init__(self, store: ThinkingStore) -> None:
        self.store = store
        self.responses = Batch()
        """To be recorded before the next turn of any conversation is looked through."""
        self.responses.waits = True

    def prepare(
        self,
        claude: ClaudeRequest,
        request: JsonObject,
        principal: str,
        account: str,
        *,
        tried: Tried,
    ) -> Continued:
        """`request`, otherwise ready for `account`, with the thinking and the server tools' blocks that may be put
        back; without any, for the one retry after Anthropic refused them."""
        if tried.server_tools_dropped:
            request = {**request, "messages": without_server_tools(request["messages"])}
        scope = Scope(principal, account, claude.model.id)
        if tried.stripped:
            stripped = strip_thinking(request)
            is_off = "thinking" in request and "thinking" not in stripped
            change = "off (refused)" if is_off else claude.thinking_change or "stripped (refused)"
            return Continued(stripped, ThinkingTicket(scope, stripped), change)
        if not has_response(request):
            return Continued(request, ThinkingTicket(scope, request), claude.thinking_change)
        self.responses.catch_up()
        restored = self.store.restore(scope, request, claude.model, claude.digests)
        if restored.thinking_off and claude.native is not None:
            # Whether Anthropic demands the lost blocks is for it to say; if it does, `strip` comes next.
            ticket = ThinkingTicket(scope, request, restored.position)
            return Continued(request, ticket, claude.thinking_change)
        change = "off (lost_blocks)" if restored.thinking_off else claude.thinking_change
        sent = _with_shared_messages(restored.request, request)
        if sent["messages"] is not request["messages"]:
            pair = without_server_tools if tried.server_tools_dropped else with_server_pairs
            sent = {**sent, "messages": pair(sent["messages"])}
        ticket = ThinkingTicket(scope, sent, restored.position)
        return Continued(sent, ticket, change, sent["messages"] is not request["messages"])

    def preview(
        self, scope: Scope, request: JsonObject, model: Model, known: Mapping[int, bytes]
    ) -> JsonObject | None:
        """`request` with what `prepare` will put back; None if that is nothing."""
        self.responses.catch_up()
        if not len(self.store):
            return None
        restored = self.store.restore(scope, request, model, known).request
        sent = _with_shared_messages(restored, request)
        return None if sent["messages"] is request["messages"] else sent

    def record(self, ticket: ThinkingTicket, size: int, message: JsonObject) -> None:
        """`size`: of the request, in bytes."""
        scope, position = ticket.scope, ticket.position
        work = partial(self.store.record, scope, ticket.request, message, position)
        self.responses.add(work, holds=size)


def has_response(request: JsonObject) -> bool:
    """Whether there is a turn of Claude's in it."""
    return any(message.get("role") == "assistant" for message in request["messages"])


def _with_shared_messages(request: JsonObject, before: JsonObject) -> JsonObject:
    """`request` with the messages of `before` where they are equal."""
    old = before["messages"]
    if request["messages"] is old:
        return request
    messages = [b if b == a else a for a, b in zip(request["messages"], old, strict=True)]
    return {**request, "messages": old if all(map(is_, messages, old)) else messages}


def thinking_options(settings: Settings) -> ThinkingOptions:
    return ThinkingOptions(
        budgets=Budgets(
            high=settings.thinking_budget_high,
            medium=settings.thinking_budget_medium,
            low=settings.thinking_budget_low,
        ),
        default_effort=settings.default_effort,
        allow_fast=settings.fast_mode,
    )


class Thinking:
    def __init__(self, settings: Settings, exchanges: Exchanges, continuity: Continuity) -> None:
        self.exchanges = exchanges
        self.continuity = continuity
        self.options = thinking_options(settings)

    def request(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.open(flow)
        claude = exchange.claude if exchange else None
        if exchange is None or claude is None or claude.counts_tokens or claude.opaque:
            return
        if claude.native is not None and not only_the_name_asks(claude.request, claude.choice):
            return  # the client wrote for Anthropic itself
        try:
            prepared = self.prepare(claude)
        except CCProxyError as error:
            exchange.refuse(flow, error)
            return
        for name in fields_changed(claude.request, prepared.request):
            claude.note_change(name)
        claude.request = prepared.request
        claude.betas |= prepared.betas
        claude.thinking_change = prepared.thinking_change
        exchange.notes += prepared.notes

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        if exchange is None or exchange.attempt is None:
            return
        attempt, answer = exchange.attempt, exchange.answer
        if attempt.ticket is None or not isinstance(answer, StreamedAnswer):
            return
        answer.keep = partial(self.continuity.record, attempt.ticket, len(attempt.body))

    def prepare(self, claude: ClaudeRequest) -> Prepared:
        return apply_thinking(
            claude.request,
            claude.thinking_request,
            claude.model,
            self.options,
            max_tokens_given=claude.max_tokens_given,
            choice=claude.choice,
        )
