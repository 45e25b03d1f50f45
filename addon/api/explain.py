"""Keeps the last requests and their outcome, unless EXPLAIN=false, and serves them at `/explain` on this machine."""

from __future__ import annotations

import asyncio
import sys
from functools import partial

from mitmproxy import http

from addon.api.endpoints import LocalEndpoints, json_response
from addon.api.request_history import Body, Entry, RequestHistory, Sent
from addon.claude.blocks import blocks_of
from addon.claude.pricing import FindModel
from addon.core.errors import Forbidden, NotFound
from addon.core.json_codec import dumps_to_keep
from addon.core.redaction import hider, redacted
from addon.core.settings import Settings
from addon.core.types import JsonObject
from addon.exchange.access import is_this_machine
from addon.exchange.attempt import Attempt
from addon.exchange.http_messages import Received, without_unknown_values
from addon.exchange.routes import id_in
from addon.exchange.state import Exchange, Exchanges

LONGEST_TITLE = 80
"""Characters."""


class Explain(LocalEndpoints):
    def __init__(
        self, settings: Settings, exchanges: Exchanges, history: RequestHistory, find: FindModel
    ) -> None:
        super().__init__(exchanges)
        self.find = find
        self.on = settings.explain
        self.history = history
        history.hide = hider(settings.secret)
        self.endpoints = {"explain": self.list_all, "explained": self.show}

    async def request(self, flow: http.HTTPFlow) -> None:
        await super().request(flow)
        exchange = self.exchanges.open(flow)
        if self.on and exchange and exchange.route and exchange.route.kind == "model":
            # before any addon changes it; credentials are already removed from the headers
            asked = flow.request
            exchange.received = Received(
                asked.method, asked.path, asked.headers.fields, asked.raw_content or b""
            )

    def response(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        if exchange is not None and exchange.received is not None:
            status = flow.response.status_code if flow.response else None
            keep = partial(self.keep, flow.id, exchange, exchange.received, status)
            self.exchanges.ended.add(keep, holds=len(exchange.received.body))
            exchange.received = None

    def keep(self, flow: str, exchange: Exchange, received: Received, status: int | None) -> None:
        self.history.put(_entry(flow, exchange, received, status))

    def error(self, flow: http.HTTPFlow) -> None:
        self.response(flow)

    def done(self) -> None:
        self.history.close()

    # ---- endpoints

    def list_all(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        self.check(flow, exchange)
        return json_response({"requests": self.history.newest()})

    async def show(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        self.check(flow, exchange)
        entry = self.history.get(id_in(flow.request.path))
        if entry is None:
            raise NotFound(
                "This request does not exist, or no longer exists.", code="unknown_request"
            )
        return json_response(await asyncio.to_thread(self.everything, entry))

    def everything(self, entry: Entry) -> JsonObject:
        changes = entry.changes(self.history.before(entry))
        details = {**changes, "anatomy": entry.anatomy(self.find)}
        return {**entry.shown(self.history.hide), **redacted(details, self.history.hide)}

    def check(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        if exchange.tunnel or not is_this_machine(str(flow.client_conn.peername[0])):
            raise Forbidden("Conversations are shown only on the machine that ccproxy runs on.")
        if not self.on:
            raise NotFound("EXPLAIN=false: requests are not kept.", code="explain_off")


def _entry(flow: str, exchange: Exchange, received: Received, status: int | None) -> Entry:
    claude, client = exchange.claude, Body(received.body)
    head = {
        "id": exchange.id,
        "flow": flow,
        "time": round(exchange.arrived * 1000),
        "dialect": exchange.dialect,
        "model": claude.model.id if claude else None,
        "status": exchange.error.status if exchange.error else status,
        "error": exchange.error.message if exchange.error else None,
        "notes": list(exchange.notes),
        "ignored": list(exchange.ignored),
        "conversation": claude.conversation if claude else None,
        "title": _title(claude.request) if claude else "",
        "name": exchange.who.name,
        "client": {
            "method": received.method,
            "path": received.path,
            "headers": [(_text(name), _text(value)) for name, value in received.headers],
        },
    }
    upstream = [
        # what is passed on as it came is kept once
        Sent(
            head=_attempt(attempt, status),
            body=client if attempt.body == received.body else Body(attempt.body),
        )
        for attempt in exchange.attempts
    ]
    answer = dumps_to_keep(exchange.answer.message) if exchange.answer else b""
    return Entry(head=head, client=client, upstream=upstream, answer=Body(answer))


def _title(request: JsonObject) -> str:
    """The first words of the person's first message; what clients put around them begins with a tag."""
    messages = request.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else None
    for block in blocks_of(first.get("content")) if isinstance(first, dict) else ():
        text = block.get("text") if isinstance(block, dict) else None
        if isinstance(text, str) and (words := text[:LONGEST_TITLE].split()) and words[0][0] != "<":
            return " ".join(words)
    return ""


def _attempt(attempt: Attempt, status: int | None) -> JsonObject:
    """Its headers have no credential: that is added to the copy that is sent."""
    return {
        "source": attempt.source,
        "credential": attempt.credential,
        "url": f"{attempt.scheme}://{attempt.host}:{attempt.port}{without_unknown_values(attempt.path)}",
        "headers": attempt.headers,
        "outcome": attempt.outcome or str(status or "broken off"),
        "reason": attempt.reason,
        "changed": list(attempt.changed),
    }


def _text(header: bytes) -> str:
    """Kept once: most of a client's headers are the same in all its requests."""
    return sys.intern(header.decode("utf-8", "replace"))
