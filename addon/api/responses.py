"""`/v1/responses/<id>`: the stored responses, read and deleted as at OpenAI; and the handshake of a WebSocket."""

from __future__ import annotations

import base64
import binascii
import hashlib

from mitmproxy import connection, http

from addon.api.endpoints import LocalEndpoints, json_response, page_limit, query
from addon.core.errors import BadRequest
from addon.core.types import JsonObject
from addon.exchange.routes import response_id_in
from addon.exchange.state import Exchange, Exchanges
from addon.exchange.stored_responses import StoredResponses

WEBSOCKET_VERSION, KEY_BYTES = "13", 16
KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 4.2."""
USUAL_PAGE, LARGEST_PAGE = 20, 100
"""Items of a page, as `openai.types.responses.InputItemListParams` has them."""


class ResponsesApi(LocalEndpoints):
    def __init__(self, exchanges: Exchanges, stored: StoredResponses) -> None:
        super().__init__(exchanges)
        self.stored = stored
        self.endpoints = {
            "responses_socket": self.open_socket,
            "stored_response": self.read,
            "stored_response_deletion": self.delete,
            "stored_input_items": self.input_items,
        }

    def error(self, flow: http.HTTPFlow) -> None:
        self.response(flow)

    def response(self, flow: http.HTTPFlow) -> None:
        """A WebSocket forgets a response when going on from it has failed, as at OpenAI ("How continuation works")."""
        exchange = self.exchanges.get(flow)
        if exchange and exchange.client.websocket and exchange.error and exchange.parent:
            self.stored.evict(flow.client_conn.id, exchange.parent)

    def client_disconnected(self, client: connection.Client) -> None:
        self.stored.forget(client.id)

    def open_socket(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        """The rest is the replay layer's."""
        headers = flow.request.headers
        if headers.get("sec-websocket-version") != WEBSOCKET_VERSION:
            raise BadRequest(f"Use version {WEBSOCKET_VERSION} of the WebSocket protocol.")
        key, asked = headers.get("sec-websocket-key", ""), headers.get("connection", "").lower()
        try:
            is_key = len(base64.b64decode(key, validate=True)) == KEY_BYTES
        except (binascii.Error, ValueError):
            is_key = False
        if not is_key or "upgrade" not in asked or flow.request.http_version == "HTTP/1.0":
            raise BadRequest("The WebSocket handshake is malformed.")
        accept = base64.b64encode(hashlib.sha1(key.encode() + KEY_SUFFIX).digest()).decode()  # noqa: S324 - RFC 6455
        response = http.Response.make(
            101,
            headers={
                "upgrade": "websocket",
                "connection": "upgrade",
                "sec-websocket-accept": accept,
            },
        )
        del response.headers["content-length"]
        return response

    def read(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        if query(flow, "stream") == "true":
            raise BadRequest("A stored response can't be streamed again.", param="stream")
        response_id = response_id_in(flow.request.path)
        return json_response(self.stored.response(exchange.principal, response_id))

    def delete(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        response_id = response_id_in(flow.request.path)
        self.stored.delete(exchange.principal, response_id)
        return json_response({"id": response_id, "object": "response.deleted", "deleted": True})

    def input_items(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        """All that the response answered, earlier turns included, newest first unless `order=asc`."""
        items = self.stored.input_items(exchange.principal, response_id_in(flow.request.path))
        if query(flow, "order") != "asc":
            items = items[::-1]
        if after := query(flow, "after"):
            items = _after(items, after)
        limit = page_limit(query(flow, "limit"), USUAL_PAGE, LARGEST_PAGE)
        page = items[:limit]
        return json_response(
            {
                "object": "list",
                "data": page,
                "first_id": page[0]["id"] if page else None,
                "last_id": page[-1]["id"] if page else None,
                "has_more": len(items) > limit,
            }
        )


def _after(items: list[JsonObject], item_id: str) -> list[JsonObject]:
    places = [index for index, item in enumerate(items) if item["id"] == item_id]
    if not places:
        raise BadRequest(f"no item {item_id[:100]}", param="after")
    return items[places[0] + 1 :]
