"""The endpoints `/`, `/health` and the model lists, and CORS preflights."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qsl

from mitmproxy import http

from addon.api.endpoints import LocalEndpoints, json_response
from addon.api.models import Models, anthropic_list, anthropic_model, openai_list, openai_model
from addon.claude.names import parse
from addon.core.errors import NotFound
from addon.core.settings import Settings
from addon.core.types import JsonObject
from addon.exchange.routes import model_in
from addon.exchange.state import Exchange, Exchanges

type Health = Callable[[bool], JsonObject]
"""The body of /health; the argument tells whether it may contain details."""

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
CORS_HEADERS = ("content-type", "authorization", "x-api-key")
CORS_PREFIXES = ("anthropic-", "x-stainless-", "openai-")
"""Of headers that the SDKs of OpenAI and Anthropic send from a browser."""


_HEADER_NAME = re.compile(r"[a-z0-9-]{1,64}")


class LocalApi(LocalEndpoints):
    def __init__(
        self,
        settings: Settings,
        exchanges: Exchanges,
        models: Models,
        health: Health,
    ) -> None:
        super().__init__(exchanges)
        self.aliases = dict(settings.model_aliases)
        self.known = models
        self.health = health
        self.endpoints = {
            "root": self.root,
            "hello": self.hello,
            "health": self.show_health,
            "models": self.models,
            "model": self.model,
            "preflight": self.preflight,
        }

    def preflight(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        headers = {}
        if exchange.client.cors:
            headers = {
                "access-control-allow-methods": CORS_METHODS,
                "access-control-allow-headers": ", ".join(allowed_headers(flow.request)),
                "access-control-max-age": "600",
            }
        return http.Response.make(204, b"", headers)

    def root(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        if "text/html" in flow.request.headers.get("accept", ""):  # a person in a browser
            return http.Response.make(302, b"", {"location": "/dashboard"})
        return json_response({"name": "ccproxy", "status": "ok", "endpoints": list(MAIN_PATHS)})

    def hello(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        """Claude Code asks at its start whether anybody is there."""
        return json_response({"message": "hello"})

    def show_health(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        return json_response(self.health(not exchange.tunnel))

    def models(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        """OpenAI's form of the list, or Anthropic's if the client sends `anthropic-version`."""
        catalogue = self.known.catalogue
        if not is_anthropics(flow, exchange):
            return json_response(openai_list([*self.aliases, *catalogue.ids]))
        return json_response(
            anthropic_list(catalogue, self.aliases, dict(parse_qsl(exchange.query)))
        )

    async def model(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        """One model, under any name that a request may use."""
        name = model_in(flow.request.path)
        in_anthropics = is_anthropics(flow, exchange)
        choice = parse(self.aliases.get(name.lower(), name))
        if choice is not None:
            await self.known.look_up(choice.id)
        catalogue = self.known.catalogue
        if choice is None or not catalogue.knows(choice.id):
            raise NotFound(f"model: {name}", param="model", code="model_not_found")
        if not in_anthropics:
            return json_response(openai_model(name))
        shown = name if name.lower() in self.aliases else catalogue.resolve(choice.id)
        return json_response(anthropic_model(shown, catalogue.get(choice.id)))


def allowed_headers(request: http.Request) -> list[str]:
    """Those that a page may send: what every client needs, and of what it asks for what the SDKs send."""
    asked = request.headers.get("access-control-request-headers", "").lower().split(",")
    more = {name.strip() for name in asked if name.strip().startswith(CORS_PREFIXES)}
    return [*CORS_HEADERS, *sorted(name for name in more if _HEADER_NAME.fullmatch(name))]


def is_anthropics(flow: http.HTTPFlow, exchange: Exchange) -> bool:
    """Whether the client speaks Anthropic's API; an error is written in it, too."""
    told = "anthropic-version" in flow.request.headers
    if told:
        exchange.client.dialect = "messages"
    return told
