"""The client's side of the connection: mitmproxy's HTTP/1 server with JSON errors and a bounded head."""

from __future__ import annotations

from mitmproxy import http
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http._events import HttpEvent, ResponseProtocolError
from mitmproxy.proxy.layers.http._http1 import Http1Server

from addon.client_side import plain_error
from addon.errors import CCProxyError
from addon.replay_layer.stream import Steps

MAX_HEAD = 64 * 1024
"""Bytes of request line and headers; mitmproxy itself has no limit."""


KINDS = {413: "request_too_large"}


class ClientConnection(Http1Server):
    """mitmproxy answers errors of its own in HTML, with its version; ours are JSON in the client's dialect."""

    def send(self, event: HttpEvent) -> Steps[None]:
        if isinstance(event, ResponseProtocolError) and not self.response:
            status = event.code.http_status_code()
            if status is not None:
                yield commands.SendData(self.conn, self.error(status, event.message))
                yield commands.CloseConnection(self.conn)
                return
        yield from super().send(event)

    def read_headers(self, event: events.ConnectionEvent) -> Steps[None]:
        for command in super().read_headers(event):
            if isinstance(command, commands.SendData):
                yield commands.SendData(
                    self.conn, self.error(400, "The request's head is malformed.")
                )
            elif not isinstance(
                command, commands.Log
            ):  # it would log the raw head, credentials and all
                yield command
        if self.state == self.read_headers and len(self.buf) > MAX_HEAD:
            yield commands.SendData(
                self.conn, self.error(431, f"The request's head is over {MAX_HEAD} bytes.")
            )
            yield commands.CloseConnection(self.conn)
            self.state = self.done

    def error(self, status: int, message: str) -> bytes:
        kind = KINDS.get(status, "invalid_request_error" if status < 500 else "api_error")
        error = CCProxyError(message, status=status, type=kind)
        path = self.request.path if self.request else ""
        response: http.Response = plain_error(path, error)
        response.headers["connection"] = "close"
        assembled: bytes = http1.assemble_response(response)
        return assembled
