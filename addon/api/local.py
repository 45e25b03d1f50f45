"""The endpoints `/`, `/health` and the model lists, and CORS preflights."""

from __future__ import annotations

import time
from collections.abc import Callable

from mitmproxy import http

from addon.api.endpoints import LocalEndpoints, json_response
from addon.claude.catalogue import Catalogue
from addon.core.settings import Settings
from addon.core.types import JsonObject
from addon.exchange.state import Exchange, Exchanges

type Health = Callable[[bool], JsonObject]
"""The body of /health; the argument tells whether it may contain details."""

CREATED = 1_700_000_000
"""`created` of every model in the list: OpenAI's SDKs require a number."""
MAIN_PATHS = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/models",
    "/health",
    "/analytics",
    "/budget",
    "/dashboard",
)
CORS_METHODS = "POST, GET, DELETE, OPTIONS"
CORS_HEADERS = "Content-Type, Authorization, x-api-key, anthropic-version, anthropic-beta"


class LocalApi(LocalEndpoints):
    def __init__(
        self,
        settings: Settings,
        exchanges: Exchanges,
        catalogue: Callable[[], Catalogue],
        health: Health,
    ) -> None:
        super().__init__(exchanges)
        self.aliases = [name for name, _ in settings.model_aliases]
        self.catalogue = catalogue
        self.health = health
        self.endpoints = {
            "root": self.root,
            "hello": self.hello,
            "health": self.show_health,
            "models": self.models,
            "preflight": self.preflight,
        }

    def preflight(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        headers = {}
        if exchange.client.cors:
            headers = {
                "access-control-allow-methods": CORS_METHODS,
                "access-control-allow-headers": CORS_HEADERS,
                "access-control-max-age": "600",
            }
        return http.Response.make(204, b"", headers)

    def root(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        return json_response({"name": "ccproxy", "status": "ok", "endpoints": list(MAIN_PATHS)})

    def hello(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        """Claude Code asks at its start whether anybody is there."""
        return json_response({"message": "hello"})

    def show_health(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        return json_response(self.health(not exchange.tunnel))

    def models(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        """OpenAI's form of the list, or Anthropic's if the client sends `anthropic-version`."""
        names = [*self.aliases, *self.catalogue().ids]
        if "anthropic-version" in flow.request.headers:
            return json_response(anthropic_models(names))
        return json_response(openai_models(names))


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
