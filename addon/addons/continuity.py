"""Thinking that the client threw away, put back into the attempt it belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from addon.claude.thinking_records import Scope
from addon.claude.thinking_store import Mark, ThinkingStore
from addon.claude.turns import strip_thinking
from addon.core.types import JsonObject
from addon.exchange.claude_request import Call


@dataclass(frozen=True, slots=True)
class Ticket:
    """What is needed to remember an attempt's answer."""

    scope: Scope
    mark: Mark | None


class Continuity:
    def __init__(self, store: ThinkingStore) -> None:
        self.store = store

    def prepare(
        self, call: Call, request: JsonObject, principal: str, account: str, *, strip: bool
    ) -> tuple[JsonObject, Ticket]:
        """`request`, otherwise ready for `account`, with the thinking that may be put back; with `strip`, without
        any, for the one retry after Anthropic refused it."""
        scope = Scope(principal, account, call.model.id)
        if strip:
            return strip_thinking(request), Ticket(scope, None)
        restored = self.store.restore(scope, request, call.model, call.digests)
        return restored.request, Ticket(scope, restored.mark)

    def record(self, ticket: Ticket, request: JsonObject, message: JsonObject) -> None:
        self.store.record(ticket.scope, request, message, ticket.mark)
