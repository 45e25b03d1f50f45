"""The client's side of a WebSocket at `/v1/responses`: each message is a request with a stream of its own, and each
event of its response is a text frame.

What is sent and when is OpenAI's (https://developers.openai.com/api/docs/guides/websocket-mode, and the types
`openai.types.responses.ResponsesClientEvent` and `ResponsesServerEvent`): messages with the same `stream_id` are served
one after the other, those with another one at the same time. Extensions are declined: a compressed frame may inflate a
thousandfold, and a connection's two zlib windows take more memory than the rest of it.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    HttpEvent,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from addon.core.content_encoding import MAX_BODY
from addon.core.errors import BadRequest, CCProxyError, RateLimited, TooLarge
from addon.core.json_codec import JsonError, dumps, loads
from addon.core.types import JsonObject
from addon.exchange.http_messages import copy_head
from addon.replay_layer.events import Steps
from addon.translation.errors import error_body
from addon.translation.from_anthropic.renderer import Renderer
from addon.translation.sse import ServerSentEvent, SSEDecoder

IDLE_SECONDS = 300.0
"""Without a message or a response."""
CLOSE_SECONDS = 5.0
"""For the client to answer a close frame."""
MOST_RUNNING, MOST_STREAM_IDS = 16, 32
"""OpenAI's limits for a connection."""
MOST_WAITING = 64
"""Messages that wait for their turn; together they have the size limit of one."""
MOST_REJECTED = 100
"""Messages that are no requests, on one connection: each costs more to answer than to send."""

_STREAM_ID = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_OF_THE_UPGRADE = re.compile(
    rb"connection|upgrade|sec-websocket-.*|content-.*|transfer-encoding|expect|accept-encoding",
    re.IGNORECASE,
)
"""Headers that say nothing about a message."""
_IGNORED = ("response.processed",)
"""Events of Codex's that need no answer."""
_STATUS = {"previous_response_not_found": 400}
"""By code: where OpenAI's guide has another status than HTTP has here."""


@dataclass(eq=False, repr=False, slots=True)
class _Request:
    """A message and what has come of its response."""

    stream_id: str
    """The client's name for the queue that it is in; "" for the unnamed one."""
    body: bytes
    decoder: SSEDecoder = field(default_factory=SSEDecoder)
    head: http.Response | None = None
    error: list[bytes] = field(default_factory=list)
    """The body of a response that is no stream."""
    frames: int = 0


class ResponsesSocket:
    """One WebSocket, from the end of its handshake."""

    def __init__(
        self,
        client: Client,
        upgrade: http.Request,
        first_stream: int,
        clock: Callable[[], float],
    ) -> None:
        """`upgrade`: the request that opened it, with its credentials. `first_stream`: mitmproxy's number for the first
        message's stream."""
        self.client = client
        self.upgrade = upgrade
        self.next_stream = first_stream
        self.clock = clock
        self.frames = Connection(ConnectionType.SERVER)
        self.broken = False
        """What the client sends can't be read any more; wsproto would keep it."""
        self.message = bytearray()
        self.running: dict[int, _Request] = {}
        self.waiting: deque[_Request] = deque()
        self.stream_ids: set[str] = set()
        self.rejected = 0
        self.idle_since = clock()
        self.timer: commands.RequestWakeup | None = None

    def open(self, received: bytes) -> Steps[None]:
        """`received`: what has come behind the handshake."""
        yield from self.wake_in(IDLE_SECONDS)
        if received:
            yield from self.receive(received)

    def handle_event(self, event: events.Event) -> Steps[None]:
        match event:
            case HttpEvent():
                yield from self.respond(event)
            case events.DataReceived(data=data):
                yield from self.receive(data)
            case events.ConnectionClosed():
                yield commands.CloseConnection(self.client)  # until now only its half is
                yield from self.leave()
            case events.Wakeup(command=command) if command is self.timer:
                yield from self.look()

    # -- from the client ----------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> Steps[None]:
        if self.broken or self.frames.state is ConnectionState.CLOSED:
            return
        ping: Ping | None = None
        self.frames.receive_data(data)
        for event in self.frames.events():
            if isinstance(event, Ping):
                ping = event
            elif isinstance(event, CloseConnection):
                # the client's, or wsproto's own for what it can't read, without a change of its state
                unread = (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING)
                self.broken = self.frames.state in unread
                yield from self.close(event.code)
                yield from self.leave()
            elif isinstance(event, TextMessage | BytesMessage) and self.is_open:
                yield from self.take(event)
        if ping is not None and self.is_open:  # the last one is enough (RFC 6455 5.5.3)
            yield self.send(ping.response())

    @property
    def is_open(self) -> bool:
        return self.frames.state is ConnectionState.OPEN

    def take(self, part: TextMessage | BytesMessage) -> Steps[None]:
        """A message, or a part of one."""
        if not isinstance(part, TextMessage):
            yield from self.reject(BadRequest("Send text frames."))
            yield from self.close(CloseReason.UNSUPPORTED_DATA)
            return
        self.message += part.data.encode()
        if len(self.message) > MAX_BODY:
            self.message.clear()
            yield from self.reject(TooLarge(f"The message is over {MAX_BODY // 2**20} MB."))
            yield from self.close(CloseReason.MESSAGE_TOO_BIG)
        elif part.message_finished:
            message = bytes(self.message)
            self.message.clear()
            self.idle_since = self.clock()
            yield from self.read(message)

    def read(self, message: bytes) -> Steps[None]:
        try:
            event = loads(message)
        except JsonError as fault:
            yield from self.reject(BadRequest(f"The message is not JSON: {fault}"))
            return
        kind = event.get("type") if isinstance(event, dict) else None
        if kind == "response.create":
            yield from self.create(event)
        elif kind == "response.steer":
            yield from self.refuse_steering(event)
        elif kind not in _IGNORED:
            error = BadRequest("Send events of the type response.create.", param="type")
            yield from self.reject(error)

    def create(self, event: JsonObject) -> Steps[None]:
        stream_id = event.get("stream_id")
        if stream_id is not None and not (
            isinstance(stream_id, str) and _STREAM_ID.fullmatch(stream_id)
        ):
            message = "expected 1 to 256 letters, digits, underscores, hyphens and periods"
            error = BadRequest(message, param="stream_id", code="invalid_stream_id")
            yield from self.reject(error)
            return
        named = stream_id or ""
        body = {name: value for name, value in event.items() if name not in ("type", "stream_id")}
        request = _Request(named, dumps({**body, "stream": True}))
        if named and named not in self.stream_ids and len(self.stream_ids) >= MOST_STREAM_IDS:
            message = f"This connection has {MOST_STREAM_IDS} stream ids already; use one of them."
            error = BadRequest(message, param="stream_id", code="websocket_stream_limit_reached")
            yield from self.reject(error, named)
        elif not self.has_room(request):
            message = "Too many requests wait on this connection."
            yield from self.reject(RateLimited(message, code="websocket_queue_full"), named)
        else:
            self.stream_ids |= {named} - {""}
            self.waiting.append(request)
            yield from self.start_waiting()

    def has_room(self, request: _Request) -> bool:
        held = sum(len(waiting.body) for waiting in self.waiting)
        return not self.waiting or (
            len(self.waiting) < MOST_WAITING and held + len(request.body) <= MAX_BODY
        )

    def start_waiting(self) -> Steps[None]:
        while request := self.next_request():
            self.waiting.remove(request)
            yield from self.begin(request)

    def next_request(self) -> _Request | None:
        if len(self.running) >= MOST_RUNNING:
            return None
        busy = {request.stream_id for request in self.running.values()}
        return next((r for r in self.waiting if r.stream_id not in busy), None)

    def begin(self, request: _Request) -> Steps[None]:
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.running[stream] = request
        body, request.body = request.body, b""
        yield ReceiveHttp(RequestHeaders(stream, self.posted(body), end_stream=False))
        yield ReceiveHttp(RequestData(stream, body))
        yield ReceiveHttp(RequestEndOfMessage(stream))

    def posted(self, body: bytes) -> http.Request:
        """The POST that a message stands for, with all that the upgrade has told of the client."""
        request = copy_head(self.upgrade)
        request.method = "POST"
        fields = self.upgrade.headers.fields
        request.headers = http.Headers([f for f in fields if not _OF_THE_UPGRADE.fullmatch(f[0])])
        request.headers["content-type"] = "application/json"
        request.headers["content-length"] = str(len(body))
        request.timestamp_start, request.timestamp_end = time.time(), None
        return request

    def refuse_steering(self, event: JsonObject) -> Steps[None]:
        """`openai.types.responses.ResponseSteerFailedEvent`, which gives the input back."""
        error = {
            "code": "steering_not_supported",
            "message": "A response of Claude's can't be steered; send the input with the next request.",
            "type": "invalid_request_error",
        }
        steer = {name: event.get(name) for name in ("input", "previous_response_id")}
        failed = {"type": "response.steer.failed", "error": error, "steer": steer}
        yield from self.count_rejected()
        yield self.send_text(dumps({**failed, "sequence_number": 0}))

    def reject(self, error: CCProxyError, stream_id: str = "") -> Steps[None]:
        """Answer a message that is no request."""
        status, body = error_body(error, "responses")
        yield self.send_text(_error_event(status, body["error"], {}, stream_id))
        yield from self.count_rejected()

    def count_rejected(self) -> Steps[None]:
        self.rejected += 1
        if self.rejected >= MOST_REJECTED:
            yield from self.close(CloseReason.POLICY_VIOLATION)

    # -- to the client ------------------------------------------------------------------------------------------

    def respond(self, event: HttpEvent) -> Steps[None]:
        request = self.running.get(event.stream_id)
        if request is None or not self.is_open:
            return
        match event:
            case ResponseHeaders(response=response):
                request.head = response
            case ResponseData(data=Renderer.keepalive):
                yield self.send(Ping())
            case ResponseData(data=data):
                yield from self.pass_on(request, data)
            case ResponseEndOfMessage():
                yield from self.finish(event.stream_id, request)
            case ResponseProtocolError(message=message, code=code):
                error = CCProxyError(message, status=code.http_status_code() or 500)
                request.head, request.error = None, [dumps(error_body(error, "responses")[1])]
                yield from self.finish(event.stream_id, request)

    def pass_on(self, request: _Request, data: bytes) -> Steps[None]:
        if request.head is None or request.head.status_code != 200:
            request.error.append(data)
            return
        for event in request.decoder.feed(data):
            request.frames += 1
            yield self.send_text(_named(_nested(event), request.stream_id))

    def finish(self, stream: int, request: _Request) -> Steps[None]:
        del self.running[stream]
        self.idle_since = self.clock()
        if not request.frames:
            yield self.send_text(self.told(request))
        yield from self.start_waiting()

    def told(self, request: _Request) -> bytes:
        """The event for a response that was no stream: an error with its status."""
        head = request.head or http.Response.make(500)
        try:
            error = loads(b"".join(request.error))["error"]
        except (JsonError, KeyError, TypeError):
            error = error_body(CCProxyError("The response can't be read."), "responses")[1]["error"]
        status = head.status_code if head.status_code >= 400 else 502
        headers = {
            name.lower(): value
            for name, value in head.headers.items()
            if name.lower().startswith(("x-", "retry-after"))
        }
        return _error_event(status, error, headers, request.stream_id)

    def send_text(self, data: bytes) -> commands.SendData:
        return self.send(TextMessage(data.decode("utf-8", "replace")))

    def send(self, event: Event) -> commands.SendData:
        return commands.SendData(self.client, self.frames.send(event))

    # -- the end ------------------------------------------------------------------------------------------------

    def close(self, code: int = CloseReason.INTERNAL_ERROR) -> Steps[None]:
        """Begin the closing handshake, or complete it. What still comes is not served."""
        if self.frames.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            yield self.send(CloseConnection(code))
            yield from self.wake_in(CLOSE_SECONDS)
        if self.frames.state is ConnectionState.CLOSED:
            yield commands.CloseConnection(self.client)

    def bail_out(self) -> Steps[None]:
        for stream, request in list(self.running.items()):
            if request.error and self.is_open:
                yield from self.finish(stream, request)
        yield from self.close()
        yield commands.CloseConnection(self.client)

    def leave(self) -> Steps[None]:
        """Nobody waits for the responses any more."""
        left, self.running = self.running, {}
        self.waiting.clear()
        for stream in left:
            code = ErrorCode.CLIENT_DISCONNECTED
            yield ReceiveHttp(RequestProtocolError(stream, "Client disconnected.", code))

    def wake_in(self, seconds: float) -> Steps[None]:
        self.timer = commands.RequestWakeup(seconds)
        yield self.timer

    def look(self) -> Steps[None]:
        left = self.idle_since + IDLE_SECONDS - self.clock()
        if not self.is_open:
            yield commands.CloseConnection(self.client)
            yield from self.leave()
        elif self.running:
            yield from self.wake_in(IDLE_SECONDS)
        elif left > 0:
            yield from self.wake_in(left)
        else:
            yield from self.close(CloseReason.GOING_AWAY)


def _error_event(status: int, error: JsonObject, headers: JsonObject, stream_id: str) -> bytes:
    """`openai.types.responses.responses_server_event.ResponseWsError`. Codex looks for the headers one level above the
    place that this type has for them (codex-rs/codex-api/src/endpoint/responses_websocket.rs)."""
    status = _STATUS.get(str(error.get("code")), status)
    told = {"type": "error", "status": status, "error": error}
    if headers:
        told |= {"error": {**error, "headers": headers}, "headers": headers}
    return _named(dumps(told), stream_id)


def _nested(event: ServerSentEvent) -> bytes:
    """The event's data. An `error` event of OpenAI's has its fields at the top in a stream, one level below here."""
    if event.event != "error":
        return event.data
    try:
        told = loads(event.data)
    except JsonError:
        return event.data
    if not isinstance(told, dict) or "error" in told:
        return event.data
    fields = {name: told.get(name) for name in ("code", "message", "param")}
    return dumps({"type": "error", "status": 500, "error": {"type": "server_error", **fields}})


def _named(event: bytes, stream_id: str) -> bytes:
    """A named queue's events carry its name."""
    if not stream_id:
        return event
    return b'%b,"stream_id":"%b"}' % (event.rstrip().removesuffix(b"}"), stream_id.encode())
