"""The replay layer without sockets and without time.

What the layer asks for (hooks, connections, wake-ups, closes) waits in lists until a test lets it happen, in any order;
what it sends is kept. `Script` stands for the addons.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import h11
from mitmproxy import http, options
from mitmproxy.connection import Client, Connection, ConnectionState, Server
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._hooks import (
    HttpErrorHook,
    HttpRequestHook,
    HttpResponseHeadersHook,
    HttpResponseHook,
)
from mitmproxy.proxy.mode_specs import ProxyMode

from addon.core.errors import CCProxyError
from addon.core.json_codec import dumps
from addon.core.types import Dialect
from addon.exchange.answer import BufferedAnswer, StreamedAnswer
from addon.exchange.attempt import Attempt
from addon.exchange.state import Exchange, Exchanges
from addon.replay_layer import ReplayLayer, Timing, UpstreamFailedHook
from addon.replay_layer.events import UnfinishedHook, UpstreamPausedHook
from addon.translation.from_anthropic.by_dialect import renderer_for, whole_response
from addon.translation.types import Reply

UPSTREAM = ("up.example", 80)
SECRET = "Bearer sk-ant-oat01-canary"
QUICK = Timing(first_byte=10, keepalive=15, connect=10, idle=60)
PATHS: dict[Dialect, str] = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
}


def client_request(dialect: Dialect, body: bytes = b"{}", *headers: bytes) -> bytes:
    lines = [b"POST %b HTTP/1.1" % PATHS[dialect].encode(), b"Host: localhost", *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def http_answer(body: bytes, status: bytes = b"200 OK", *headers: bytes) -> bytes:
    """A whole answer of upstream's, with its length."""
    lines = [b"HTTP/1.1 " + status, *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body])


def stream_head(*headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Type: text/event-stream", *headers]
    return b"\r\n".join([*lines, b"", b""])


def chunked(body: bytes, size: int = 64) -> bytes:
    """`body` as a chunked stream, head included."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return stream_head(b"Transfer-Encoding: chunked") + sent + b"0\r\n\r\n"


def make_attempt() -> Attempt:
    return Attempt(
        source="claude_code",
        credential="subscription",
        scheme="http",
        host=UPSTREAM[0],
        port=UPSTREAM[1],
        path="/v1/messages",
        headers=[("host", UPSTREAM[0])],
        body=b"{}",
        auth=("authorization", SECRET),
    )


@dataclass
class Script:
    """What the addons do in each hook; a test changes it as it goes."""

    exchanges: Exchanges
    dialect: Dialect = "chat"
    streaming: bool = True
    approve: bool = True
    again: int = 2
    """So many more attempts are approved for a request that failed."""
    approvals: int = 0
    refuse: CCProxyError | None = None
    bodies: list[bytes] = field(default_factory=list)
    """Of the requests that are served upstream."""
    endings: list[tuple[http.HTTPFlow, str]] = field(default_factory=list)

    def run(self, hook: commands.StartHook) -> None:
        (flow,) = hook.args()
        exchange = self.exchanges.get(flow)
        assert exchange
        match hook:
            case HttpRequestHook():
                self.on_request(flow, exchange)
            case UpstreamFailedHook():
                self.on_failure(exchange)
            case UpstreamPausedHook() if self.approve:
                self.give_approval(exchange)
            case HttpResponseHeadersHook():
                self.on_head(flow, exchange)
            case HttpResponseHook():
                self.endings.append((flow, "response"))
                exchange.finished = True
            case HttpErrorHook():
                self.endings.append((flow, "error"))
                exchange.finished = True

    def on_request(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        exchange.client.streaming = self.streaming
        if flow.request.method == "GET":
            flow.response = http.Response.make(101)
            return
        self.bodies.append(flow.request.raw_content or b"")
        if self.refuse:
            exchange.refuse(flow, self.refuse)
        elif self.approve:
            self.give_approval(exchange)

    def give_approval(self, exchange: Exchange) -> None:
        self.approvals += 1
        exchange.approve(make_attempt())

    def on_failure(self, exchange: Exchange) -> None:
        assert exchange.failure
        if len(exchange.attempts) <= self.again:
            self.give_approval(exchange)
        else:
            exchange.error = exchange.failure.error

    def on_head(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        assert flow.response
        if flow.response.status_code != 200 or not exchange.attempts:
            return
        reply, dialect = Reply(model="m", stream=self.streaming), self.dialect
        paused = exchange.paused if isinstance(exchange.paused, StreamedAnswer) else None
        renderer = paused.renderer if paused else renderer_for(dialect, reply, 0)
        resumes = dialect != "messages"
        exchange.answer = (
            StreamedAnswer(renderer, resumes=resumes, paused=paused)
            if self.streaming
            else BufferedAnswer(
                renderer,
                lambda m: dumps(whole_response(dialect, m, reply, 0)),
                resumes=resumes,
                paused=paused,
            )
        )
        flow.response.headers = http.Headers(content_type="text/event-stream")
        flow.response.stream = True


class Play:
    """One client connection."""

    def __init__(self, timing: Timing = QUICK, *, at_once: bool = False, **script: Any) -> None:
        self.now = 1000.0
        self.at_once = at_once
        """Whether hooks are complete when they have begun; else each waits for the test to complete it."""
        self.exchanges = Exchanges()
        self.script = Script(self.exchanges, **script)
        self.client = Client(
            peername=("127.0.0.1", 5),
            sockname=("127.0.0.1", 8082),
            timestamp_start=0,
            state=ConnectionState.OPEN,
            proxy_mode=ProxyMode.parse("reverse:http://up.example:80"),
        )
        context = Context(self.client, _options())
        context.server = Server(address=UPSTREAM)
        self.layer = ReplayLayer(context, self.exchanges, timing, self.run_hook, lambda: self.now)
        self.sent = b""
        self.sent_after_close = b""
        self.upstream: dict[Connection, bytes] = {}
        """What each upstream connection was sent."""
        self.hooks: list[commands.StartHook] = []
        self.waiting: dict[commands.StartHook, commands.StartHook] = {}
        self.opening: list[commands.OpenConnection] = []
        self.closing: list[Connection] = []
        self.closed: list[Connection] = []
        self.timers: list[tuple[float, commands.RequestWakeup]] = []
        self.flows: list[http.HTTPFlow] = []
        self.failures: list[str] = []
        with self.watching():
            self.do(events.Start())

    # -- what the layer asks for --------------------------------------------------------------------------------

    def do(self, event: events.Event) -> None:
        with self.watching():
            for command in self.layer.handle_event(event):
                self.take(command)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep what the layer logs as its own failure."""
        keep = _Keep(self.failures)
        logger = logging.getLogger("addon.replay_layer")
        logger.addHandler(keep)
        try:
            yield
        finally:
            logger.removeHandler(keep)

    def take(self, command: commands.Command) -> None:
        match command:
            case commands.SendData(connection=c, data=data) if c is self.client:
                if self.client.state is ConnectionState.OPEN:
                    self.sent += data
                else:
                    self.sent_after_close += data
            case commands.SendData(connection=c, data=data):
                self.upstream[c] = self.upstream.get(c, b"") + data
            case commands.OpenConnection():
                self.opening.append(command)
            case commands.CloseConnection(connection=c) if c not in self.closing + self.closed:
                c.state = ConnectionState.CLOSED
                self.closing.append(c)
            case UnfinishedHook(unfinished=unfinished):
                assert command.blocking is not True  # the layers around it would wait, too
                self.waiting[unfinished.hook] = command
            case commands.StartHook():
                self.notice(command)
            case commands.RequestWakeup():
                self.timers.append((self.now + command.delay, command))

    def run_hook(self, hook: commands.StartHook) -> Any:
        self.notice(hook)
        if not self.at_once:
            return self  # for the task that would go on with it
        self.script.run(hook)
        return self.hooks.remove(hook)

    def notice(self, hook: commands.StartHook) -> None:
        (flow,) = hook.args()
        if all(flow is not known for known in self.flows):
            self.flows.append(flow)
        self.hooks.append(hook)

    # -- what a test lets happen --------------------------------------------------------------------------------

    def client_sends(self, data: bytes) -> None:
        self.do(events.DataReceived(self.client, data))

    def client_leaves(self) -> None:
        self.client.state = ConnectionState.CAN_WRITE
        self.do(events.ConnectionClosed(self.client))

    def complete_hook(self, index: int = 0, after: float = 0.0) -> None:
        """The addons do their part, and take so many seconds for it."""
        hook = self.hooks[index]
        self.script.run(hook)
        self.wait(after)
        self.hooks.remove(hook)
        if hook.blocking:
            self.do(events.HookCompleted(self.waiting.pop(hook, hook)))

    def complete_hooks(self) -> None:
        while self.hooks:
            self.complete_hook()

    def connect(self, error: str | None = None, index: int = 0) -> Connection:
        command = self.opening.pop(index)
        server = command.connection
        if server in self.closing:  # as the proxy server cancels it
            self.closing.remove(server)
            self.closed.append(server)
            error = "connection cancelled"
        if error is None:
            server.state = ConnectionState.OPEN
            server.timestamp_tcp_setup = self.now
            self.upstream.setdefault(server, b"")
        else:
            server.error = error
        self.do(events.OpenConnectionCompleted(command, error))
        return server

    def upstream_sends(self, server: Connection, data: bytes) -> None:
        if server.state is not ConnectionState.CLOSED:
            sent, left = self.layer.receive(server, data)
            self.take(commands.SendData(self.client, sent))
            if left is not None:
                self.do(left)

    def upstream_closes(self, server: Connection) -> None:
        if server.state is not ConnectionState.CLOSED:
            server.state = ConnectionState.CAN_WRITE
            self.do(events.ConnectionClosed(server))

    def deliver_closes(self) -> None:
        """What our own closes lead to: a connection that was being made fails, others are closed."""
        while self.closing:
            connection = self.closing[0]
            attempt = next((c for c in self.opening if c.connection is connection), None)
            if attempt:
                self.connect(index=self.opening.index(attempt))
            else:
                self.closed.append(self.closing.pop(0))
                self.do(events.ConnectionClosed(connection))

    def wait(self, seconds: float) -> None:
        """Let time go by, with all wake-ups that fall due."""
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer[0] <= end]:
            first = min(due, key=lambda timer: timer[0])
            self.timers.remove(first)
            self.now = max(self.now, first[0])
            self.do(events.Wakeup(first[1]))
        self.now = end

    def begin(self, request: bytes | None = None) -> Connection:
        """Bring a request to the point where upstream has it."""
        self.client_sends(request or client_request(self.script.dialect))
        self.complete_hooks()
        server = self.connect()
        self.complete_hooks()
        return server

    # -- what came of it ----------------------------------------------------------------------------------------

    @property
    def upstream_requests(self) -> int:
        return sum(sent.count(b"POST /v1/messages") for sent in self.upstream.values())

    def answers(self, requests: int = 1) -> list[tuple[int, bytes, bool]]:
        """Status, body and completeness of each answer, as a strict client reads them."""
        reader = h11.Connection(h11.CLIENT)
        found: list[tuple[int, bytes, bool]] = []
        reader.receive_data(self.sent)
        if self.client.state is ConnectionState.CLOSED:
            reader.receive_data(b"")
        for _ in range(requests):
            _ask(reader)
            read = _read(reader)
            if read:
                found.append(read)
            if not read or not read[2] or reader.their_state is not h11.DONE:
                break
            reader.start_next_cycle()
        rest, _ = reader.trailing_data
        assert not rest or len(found) < requests, f"after the last answer: {rest!r}"
        return found


def _ask(reader: h11.Connection) -> None:
    reader.send(
        h11.Request(method="POST", target="/", headers=[("host", "x"), ("content-length", "0")])
    )
    reader.send(h11.EndOfMessage())


def _read(reader: h11.Connection) -> tuple[int, bytes, bool] | None:
    status, body = 0, b""
    while True:
        try:
            event = reader.next_event()
        except h11.RemoteProtocolError:
            return (status, body, False) if status else None
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return status, body, True
        else:
            return (status, body, False) if status else None


class _Keep(logging.Handler):
    def __init__(self, kept: list[str]) -> None:
        super().__init__(logging.ERROR)
        self.kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(self.format(record))


@functools.cache
def _options() -> options.Options:
    """mitmproxy's options as its proxy server declares them; nobody changes them."""
    made = options.Options()
    for name, kind, value in (
        ("body_size_limit", str | None, None),
        ("connection_strategy", str, "lazy"),
        ("keep_host_header", bool, True),
        ("proxy_debug", bool, False),
        ("rawtcp", bool, False),
        ("store_streamed_bodies", bool, False),
        ("stream_large_bodies", str | None, None),
        ("validate_inbound_headers", bool, True),
        ("websocket", bool, False),
    ):
        made.add_option(name, kind, value, "")  # type: ignore[arg-type]
    return made
