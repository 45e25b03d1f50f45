"""The base class of addons that serve local endpoints, and helpers for their requests and responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from mitmproxy import http

from addon.core.errors import BadRequest, CCProxyError
from addon.core.json_codec import dumps, read_body
from addon.core.types import JsonObject
from addon.exchange.state import Exchange, Exchanges

type Endpoint = Callable[[http.HTTPFlow, Exchange], http.Response | Awaitable[http.Response]]


@dataclass(eq=False, repr=False)
class LocalEndpoints:
    """Serves the routes whose names are in `endpoints`. `AccessControl` has already checked the caller."""

    exchanges: Exchanges
    endpoints: Mapping[str, Endpoint] = field(init=False)

    async def request(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.open(flow)
        endpoint = self.endpoints.get(exchange.route.name) if exchange and exchange.route else None
        if exchange is None or endpoint is None:
            return
        self.exchanges.ended.catch_up()
        try:
            response = endpoint(flow, exchange)
            flow.response = await response if isinstance(response, Awaitable) else response
        except CCProxyError as error:
            exchange.refuse(flow, error)
            return
        headers = {"x-ccproxy-source": "local", **(exchange.client.cors or {})}
        for name, value in headers.items():
            flow.response.headers[name] = value


def json_response(body: JsonObject) -> http.Response:
    headers = {"content-type": "application/json; charset=utf-8", "cache-control": "no-store"}
    return http.Response.make(200, dumps(body), headers)


def posted(flow: http.HTTPFlow, exchange: Exchange) -> JsonObject:
    """The JSON object in the request's body. Raises BadRequest or TooLarge."""
    encoding = flow.request.headers.get("content-encoding", "")
    return read_body(flow.request.raw_content or b"", encoding, exchange.most_body)


def query(flow: http.HTTPFlow, name: str) -> str | None:
    values = parse_qs(urlsplit(flow.request.path).query, keep_blank_values=True).get(name)
    return values[-1] if values else None


def page_limit(given: str | None, usual: int, largest: int) -> int:
    """The `limit` of a list's page. Raises BadRequest."""
    if given is None:
        return usual
    # Python refuses to read thousands of digits
    if not given.isdecimal() or len(given) > 9 or not 1 <= int(given) <= largest:
        raise BadRequest(f"limit: must be a number from 1 to {largest}", param="limit")
    return int(given)
