"""The endpoints that are answered on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable

from mitmproxy import http

from addon.claude.catalogue import Catalogue
from addon.errors import CCProxyError
from addon.exchange import Exchange, Exchanges
from addon.json_codec import dumps
from addon.settings import Settings
from addon.wire.types import JsonObject

type Health = Callable[[bool], JsonObject]
"""What /health says; the argument tells whether details may be shown."""

CREATED = 1_700_000_000
"""`created` of every model in the list: OpenAI's clients want a number, and nobody reads it."""
CORS_METHODS = "POST, GET, OPTIONS"
CORS_HEADERS = "Content-Type, Authorization, x-api-key, anthropic-version, anthropic-beta"


class LocalApi:
    def __init__(
        self, settings: Settings, exchanges: Exchanges, catalogue: Catalogue, health: Health
    ) -> None:
        self.settings = settings
        self.exchanges = exchanges
        self.catalogue = catalogue
        self.health = health
        self.endpoints: dict[str, Callable[[http.HTTPFlow, Exchange], JsonObject]] = {
            "root": self.root,
            "health": self.show_health,
            "models": self.models,
        }

    def request(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.open(flow)
        if exchange is None:
            return
        if flow.request.method == "OPTIONS":
            flow.response = self.preflight(exchange)
            return
        endpoint = self.endpoints.get(exchange.route.name if exchange.route else "")
        if endpoint is None:
            return
        try:
            body = endpoint(flow, exchange)
        except CCProxyError as error:
            exchange.refuse(flow, error)
        else:
            flow.response = self.reply(exchange, body)

    def preflight(self, exchange: Exchange) -> http.Response:
        headers = {"x-ccproxy-source": "local"}
        if exchange.client.cors:
            headers |= exchange.client.cors | {
                "access-control-allow-methods": CORS_METHODS,
                "access-control-allow-headers": CORS_HEADERS,
                "access-control-max-age": "600",
            }
        return http.Response.make(204, b"", headers)

    def reply(self, exchange: Exchange, body: JsonObject) -> http.Response:
        headers = {"content-type": "application/json; charset=utf-8", "x-ccproxy-source": "local"}
        return http.Response.make(200, dumps(body), headers | (exchange.client.cors or {}))

    def root(self, flow: http.HTTPFlow, exchange: Exchange) -> JsonObject:
        return {
            "name": "ccproxy",
            "status": "ok",
            "endpoints": ["/v1/chat/completions", "/v1/messages", "/v1/models", "/health"],
        }

    def show_health(self, flow: http.HTTPFlow, exchange: Exchange) -> JsonObject:
        return self.health(not exchange.tunnel)

    def models(self, flow: http.HTTPFlow, exchange: Exchange) -> JsonObject:
        """OpenAI's list, or Anthropic's for a client that names its version of that API."""
        names = [*(name for name, _ in self.settings.model_aliases), *self.catalogue.ids]
        if "anthropic-version" in flow.request.headers:
            return anthropic_models(names)
        return openai_models(names)


def openai_models(names: list[str]) -> JsonObject:
    data = [
        {"id": n, "object": "model", "created": CREATED, "owned_by": "anthropic"} for n in names
    ]
    return {"object": "list", "data": data}


def anthropic_models(names: list[str]) -> JsonObject:
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(CREATED))
    data = [{"type": "model", "id": n, "display_name": n, "created_at": created} for n in names]
    return {
        "data": data,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
        "has_more": False,
    }
