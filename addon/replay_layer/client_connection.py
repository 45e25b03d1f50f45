"""The client's side of a connection: mitmproxy's HTTP/1 server with JSON errors, a limit for heads, and deadlines."""

from __future__ import annotations

from collections.abc import Callable

from mitmproxy import http
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    HttpEvent,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http1 import Http1Server

from addon.core.errors import CCProxyError
from addon.exchange.client import plain_error
from addon.exchange.http_messages import copy_head, quicken
from addon.replay_layer.events import Steps
from addon.replay_layer.websocket import ResponsesSocket

MAX_HEAD = 32 * 1024
"""Bytes of request line and headers; mitmproxy itself has no limit, and keeps them twice while they come in."""
MAX_CHUNK_LINE = 4096
"""Bytes that wait for the end of a line between two chunks; data does not wait."""
HEAD_SECONDS = 15.0
"""From the first byte of a head to its last."""
BODY_SECONDS, BODY_BYTES = 15.0, 8 * 1024
"""A body has to come in at this rate at least: so many bytes in so many seconds."""
KINDS = {413: "request_too_large"}
MESSAGES = {
    400: "ccproxy doesn't serve this request: it is malformed, or meant for a forward proxy.",
    413: "The request's body is too large.",
}
"""In place of mitmproxy's own messages, which speak of its options."""


class ClientConnection(Http1Server):
    """mitmproxy sends its own errors as HTML, with its version; here they are JSON in the client's dialect. And it
    waits for ever for a request that comes in drop by drop; here that has a deadline."""

    def __init__(self, context: Context, clock: Callable[[], float]) -> None:
        super().__init__(context)
        self.clock = clock
        self.socket: ResponsesSocket | None = None
        """What it has become, if the client has asked for a WebSocket."""
        self.received = 0
        self.mark = 0
        """`received` when the timer was set."""
        self.timed: object = None
        """What was read then: of which request, head or body."""
        self.timer: commands.RequestWakeup | None = None
        self.chunked = False
        """The response's body is sent in chunks: there is one, and the connection is no WebSocket."""

    def _handle_event(self, event: events.Event) -> Steps[None]:
        if self.socket is not None:
            yield from self.socket.handle_event(event)
            return
        if isinstance(event, ResponseData):
            if event.data and not self.head_only:  # an empty chunk would be the last one
                yield commands.SendData(self.conn, self.framed(event.data))
            return
        if isinstance(event, events.Wakeup):
            yield from self.look_for_progress(event)
            return
        if isinstance(event, events.DataReceived):
            self.received += len(event.data)
        yield from super()._handle_event(event)
        if self.state == self.done or isinstance(event, events.ConnectionClosed):
            self.forget_unread()
        if self.state == self.wait and len(self.buf) > MAX_HEAD:
            # Pipelined: mitmproxy would buffer it without limit while a response is going out, and serve it even if
            # the client is gone by then.
            self.forget_unread()
            yield commands.CloseConnection(self.conn)
        yield from self.expect_progress()

    def forget_unread(self) -> None:
        """mitmproxy's layers refer to themselves, and would hold it until a garbage collection."""
        self.buf.maybe_extract_at_most(len(self.buf))

    def expect_progress(self) -> Steps[None]:
        """Run a timer while a request is coming in, and none between requests."""
        if self.timer is None and self.reading:
            self.mark, self.timed = self.received, (self.stream_id, self.state)
            self.timer = commands.RequestWakeup(
                HEAD_SECONDS if self.state == self.read_headers else BODY_SECONDS
            )
            yield self.timer

    @property
    def head_only(self) -> bool:
        """A response to HEAD has no body, whatever its head says (RFC 9110 9.3.2): the client would take it for the
        next response."""
        return self.request is not None and self.request.method == "HEAD"

    @property
    def reading(self) -> bool:
        return self.state == self.read_body or (self.state == self.read_headers and bool(self.buf))

    def look_for_progress(self, event: events.Wakeup) -> Steps[None]:
        if event.command is not self.timer:
            return
        self.timer = None
        same = self.reading and self.timed == (self.stream_id, self.state)
        in_head = self.state == self.read_headers
        if same and (in_head or self.received - self.mark < BODY_BYTES):
            yield from self.too_slow()
        else:
            yield from self.expect_progress()

    def too_slow(self) -> Steps[None]:
        yield from self.give_up(408, "The request came in too slowly.")

    def give_up(self, status: int, message: str) -> Steps[None]:
        """Send an error for a request that is not read to its end, and close the connection."""
        in_body = self.state == self.read_body
        self.state = self.done
        yield commands.SendData(self.conn, self.error(status, message))
        yield commands.CloseConnection(self.conn)
        if in_body:
            error = RequestProtocolError(self.stream_id, message, ErrorCode.GENERIC_CLIENT_ERROR)
            yield ReceiveHttp(error)

    def bail_out(self, error: CCProxyError) -> Steps[None]:
        """Close the connection, with an error response if no response has begun."""
        if self.socket is not None:
            yield from self.socket.bail_out()
            return
        if self.state == self.done:
            return
        if self.request and not self.response:
            yield commands.SendData(self.conn, self.error(error.status, error.message))
        self.state = self.done
        yield commands.CloseConnection(self.conn)

    def close(self) -> Steps[None]:
        """After a response that ends the connection."""
        if self.socket is not None:
            yield from self.socket.bail_out()
        else:
            yield commands.CloseConnection(self.conn)

    def send(self, event: HttpEvent) -> Steps[None]:
        if isinstance(event, ResponseProtocolError) and not self.response:
            status = event.code.http_status_code()
            if status is not None:
                message = MESSAGES.get(status, event.message)
                yield commands.SendData(self.conn, self.error(status, message))
                yield commands.CloseConnection(self.conn)
                return
        if isinstance(event, ResponseHeaders):
            self.fit(event.response)
            encoding = event.response.headers.get("transfer-encoding", "")
            self.chunked = "chunked" in encoding.lower() and not self.head_only
        if isinstance(event, ResponseEndOfMessage) and self.switches_protocols:
            yield from self.become_socket()
            return
        yield from super().send(event)
        if self.response and self.response.status_code == 100:
            self.response = None  # the final response is still to come, and may be an error of ours

    @property
    def switches_protocols(self) -> bool:
        return self.response is not None and self.response.status_code == 101

    def become_socket(self) -> Steps[None]:
        assert self.request
        client = self.context.client
        self.socket = ResponsesSocket(client, self.request, self.stream_id + 2, self.clock)
        yield from self.socket.open(bytes(self.buf.maybe_extract_at_most(len(self.buf)) or b""))

    def framed(self, data: bytes) -> bytes:
        """A piece of the body, framed as the head says. mitmproxy would parse the head again for each piece."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data

    def fit(self, response: http.Response) -> None:
        """Set the framing that the client's request allows. The base class would read it from the flow's request, which
        is by now what was sent upstream."""
        request = self.request
        if request is None or response.status_code < 200:
            return
        chunked = "transfer-encoding" in response.headers
        if request.http_version == "HTTP/1.0" and chunked:
            del response.headers["transfer-encoding"]  # 1.0 ends such a body with the connection
            response.headers["connection"] = "close"
        elif http1.connection_close(request.http_version, request.headers):
            response.headers["connection"] = "close"

    def read_headers(self, event: events.ConnectionEvent) -> Steps[None]:
        for command in super().read_headers(event):
            if isinstance(command, commands.SendData):
                yield commands.SendData(
                    self.conn, self.error(400, "The request's head is malformed.")
                )
            elif not isinstance(command, commands.Log):  # it has the raw head, with credentials
                if isinstance(command, ReceiveHttp) and isinstance(command.event, RequestHeaders):
                    quicken(command.event.request)
                    self.request = copy_head(command.event.request)
                yield command
        if self.state == self.read_headers and len(self.buf) > MAX_HEAD:
            yield commands.SendData(
                self.conn, self.error(431, f"The request's head is over {MAX_HEAD} bytes.")
            )
            yield commands.CloseConnection(self.conn)
            self.state = self.done

    def read_body(self, event: events.Event) -> Steps[None]:
        try:
            yield from super().read_body(event)
        except NotImplementedError:  # from mitmproxy, for trailers; the client would wait for ever
            yield from self.give_up(400, "Trailers after a request's body are not supported.")
        if self.state == self.read_body and len(self.buf) > MAX_CHUNK_LINE:
            yield from self.give_up(400, "The line before a chunk of the body is too long.")

    def error(self, status: int, message: str) -> bytes:
        kind = KINDS.get(status, "invalid_request_error" if status < 500 else "api_error")
        error = CCProxyError(message, status=status, type=kind)
        path = self.request.path if self.request else ""
        response: http.Response = plain_error(path, error)
        response.headers["connection"] = "close"
        if self.head_only:
            return bytes(http1.assemble_response_head(response))
        assembled: bytes = http1.assemble_response(response)
        return assembled
