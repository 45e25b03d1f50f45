"""Records the last requests and their outcome (EXPLAIN=true), and serves them at `/explain` on this machine."""

from __future__ import annotations

from mitmproxy import http

from addon.api.endpoints import LocalEndpoints, json_response
from addon.api.request_history import RequestHistory
from addon.core.errors import Forbidden, NotFound
from addon.core.redaction import decoded, hider, redacted
from addon.core.settings import Settings
from addon.core.types import JsonObject
from addon.exchange.access import is_this_machine
from addon.exchange.attempt import Attempt
from addon.exchange.http_messages import without_unknown_values
from addon.exchange.routes import id_in
from addon.exchange.state import Exchange, Exchanges


class Explain(LocalEndpoints):
    def __init__(self, settings: Settings, exchanges: Exchanges, history: RequestHistory) -> None:
        super().__init__(exchanges)
        self.on = settings.explain
        self.hide = hider(settings.secret)
        self.history = history
        self.endpoints = {"explain": self.list_all, "explained": self.show}

    async def request(self, flow: http.HTTPFlow) -> None:
        await super().request(flow)
        exchange = self.exchanges.open(flow)
        if self.on and exchange and exchange.route and exchange.route.kind == "model":
            # before any addon changes it; credentials are already removed from the headers
            self.history.put(self.entry(flow, exchange))

    def response(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        entry = self.history.get(exchange.id) if exchange else None
        if exchange is None or entry is None:
            return
        status = flow.response.status_code if flow.response else None
        answer = exchange.answer.message if exchange.answer else {}
        self.history.put(
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
        body = decoded(flow.request.raw_content or b"")
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
        """An attempt's headers have no credential: it is added to the copy that is sent."""
        return {
            "source": attempt.source,
            "credential": attempt.credential,
            "url": f"{attempt.scheme}://{attempt.host}:{attempt.port}{without_unknown_values(attempt.path)}",
            "headers": [list(header) for header in attempt.headers],
            "body": redacted(attempt.request or decoded(attempt.body), self.hide),
            "outcome": attempt.outcome or str(status or "broken off"),
            "reason": attempt.reason,
        }

    # ---- endpoints

    def list_all(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        self.check(flow, exchange)
        return json_response({"requests": self.history.newest()})

    def show(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        self.check(flow, exchange)
        entry = self.history.get(id_in(flow.request.path))
        if entry is None:
            raise NotFound(
                "This request does not exist, or no longer exists.", code="unknown_request"
            )
        return json_response(entry)

    def check(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        if exchange.tunnel or not is_this_machine(str(flow.client_conn.peername[0])):
            raise Forbidden("Conversations are shown only on the machine that ccproxy runs on.")
        if not self.on:
            raise NotFound("Requests are only kept with EXPLAIN=true.", code="explain_off")
