"""Keeps the last requests with what became of them (EXPLAIN=true), and answers `/explain` on this machine."""

from __future__ import annotations

from mitmproxy import http

from addon.api.endpoints import LocalEndpoints, json_response
from addon.api.request_history import Explained
from addon.core.errors import Forbidden, NotFound
from addon.core.json_codec import FAST
from addon.core.redaction import hider, redact, redacted
from addon.core.settings import Settings
from addon.core.types import JsonObject
from addon.exchange.access import is_this_machine
from addon.exchange.attempt import Attempt
from addon.exchange.routes import id_in
from addon.exchange.state import Exchange, Exchanges


class Explain(LocalEndpoints):
    def __init__(self, settings: Settings, exchanges: Exchanges, explained: Explained) -> None:
        super().__init__(exchanges)
        self.on = settings.explain
        self.hide = hider(settings.secret)
        self.explained = explained
        self.endpoints = {"explain": self.list_all, "explained": self.show}

    async def request(self, flow: http.HTTPFlow) -> None:
        await super().request(flow)
        exchange = self.exchanges.open(flow)
        if self.on and exchange and exchange.route and exchange.route.kind == "model":
            # before anything changes it; credentials are off the headers already
            self.explained.put(self.entry(flow, exchange))

    def response(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        entry = self.explained.get(exchange.id) if exchange else None
        if exchange is None or entry is None:
            return
        status = flow.response.status_code if flow.response else None
        answer = exchange.answer.message if exchange.answer else {}
        self.explained.put(
            {
                **entry,
                "model": exchange.claude.model.id if exchange.claude else entry["model"],
                "status": exchange.error.status if exchange.error else status,
                "error": self.hide(exchange.error.message) if exchange.error else None,
                "notes": list(exchange.notes),
                "ignored": list(exchange.ignored),
                "upstream": [self.attempt(attempt, status) for attempt in exchange.attempts],
                "answer": redacted(answer, self.hide),
            }
        )

    def error(self, flow: http.HTTPFlow) -> None:
        self.response(flow)

    def entry(self, flow: http.HTTPFlow, exchange: Exchange) -> JsonObject:
        body = _decoded(flow.request.raw_content or b"")
        return {
            "id": exchange.id,
            "flow": flow.id,
            "time": round(exchange.arrived * 1000),
            "model": body.get("model") if isinstance(body, dict) else None,
            "status": None,
            "error": None,
            "notes": [],
            "ignored": [],
            "client": {
                "method": flow.request.method,
                "path": self.hide(flow.request.path),
                "headers": [[k, self.hide(v)] for k, v in flow.request.headers.items()],
                "body": redacted(body, self.hide),
            },
            "upstream": [],
            "answer": {},
        }

    def attempt(self, attempt: Attempt, status: int | None) -> JsonObject:
        """The credential is no header of an attempt: it is put on the copy that is sent."""
        return {
            "source": attempt.source,
            "credential": attempt.credential,
            "url": f"{attempt.scheme}://{attempt.host}:{attempt.port}{attempt.path}",
            "headers": [list(header) for header in attempt.headers],
            "body": redacted(attempt.request or _decoded(attempt.body), self.hide),
            "outcome": attempt.outcome or str(status or "broken off"),
            "reason": attempt.reason,
        }

    # ---- endpoints

    def list_all(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        self.check(flow, exchange)
        return json_response({"requests": self.explained.newest()})

    def show(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        self.check(flow, exchange)
        entry = self.explained.get(id_in(flow.request.path))
        if entry is None:
            raise NotFound("There is no such request any more.", code="unknown_request")
        return json_response(entry)

    def check(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        if exchange.tunnel or not is_this_machine(str(flow.client_conn.peername[0])):
            raise Forbidden("Conversations are shown on the machine that ccproxy runs on.")
        if not self.on:
            raise NotFound("Requests are kept with EXPLAIN=true only.", code="explain_off")


def _decoded(body: bytes) -> object:
    try:
        return FAST.loads(body)
    except ValueError:
        return redact(body[:2000].decode("utf-8", "replace"))
