"""The layer under each client connection, the addon that puts it there, and the one that keeps other flows out."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from math import inf
from weakref import WeakSet

from mitmproxy import ctx, http
from mitmproxy.connection import Client, Connection, ConnectionState, Server
from mitmproxy.proxy import commands, events, layer, layers, tunnel
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpClient,
    HttpLayer,
    HTTPMode,
    HttpStream,
    RegisterHttpConnection,
)
from mitmproxy.proxy.layers.http._events import ResponseData, ResponseEndOfMessage
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.mode_specs import ReverseMode

from addon.core.errors import CCProxyError
from addon.exchange.state import Exchanges
from addon.replay_layer.client_connection import ClientConnection
from addon.replay_layer.deadlines import Timing
from addon.replay_layer.events import Failed, GiveUp, Steps, Tick, Unfinished, UnfinishedHook
from addon.replay_layer.hooks import Begin, FlowHooks
from addon.replay_layer.stream import ReplayStream, Stage
from addon.replay_layer.upstream_connection import UpstreamConnection, read_chunks_together

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 32
"""Hooks that are run for one event. A client may send hundreds of requests in one packet; others wait meanwhile."""


FAILED = "ccproxy's replay layer failed"


class LayerWakeup(commands.RequestWakeup):
    """A wake-up for the layer itself, not for one of its streams or connections."""


class ReplayLayer(HttpLayer):
    """mitmproxy's HTTP layer with our streams and client connection, and upstream connections that can be abandoned."""

    streams: dict[int, ReplayStream]  # type: ignore[assignment]

    def __init__(
        self,
        context: Context,
        exchanges: Exchanges,
        timing: Timing,
        begin: Begin,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(context, HTTPMode.transparent)
        self.begin = begin
        self.exchanges = exchanges
        self.timing = timing
        self.clock = clock
        self.client_connection = ClientConnection(context.fork(), clock)
        self.served: WeakSet[Connection] = WeakSet()
        """Upstream connections that have served a request: a failure on one may only mean that it was stale."""
        self.wakeup: LayerWakeup | None = None
        self.wakes_at = inf

    def handle_event(self, event: events.Event) -> Steps[None]:
        writes = WriteCoalescer()
        # Not through Layer.handle_event, which makes a layer wait for its own blocking commands: this one has none.
        if not (yield from self.attempt(writes.coalesce(self.with_hooks(event)), FAILED)):
            yield from writes.flush()
            yield from self.collapse()

    def attempt(self, steps: Steps[None], failed: str) -> Steps[bool]:
        """Whether it ended well. mitmproxy would log a failure, forget the event, and leave the client waiting."""
        try:
            yield from steps
        except Exception:
            logger.exception(failed)
            return False
        return True

    def with_hooks(self, event: events.Event) -> Steps[None]:
        """Handles an event, and runs the hooks of streams that it led to. Not before all of it is handled: what comes
        of a hook may be meant for the connection that is still being read."""
        following, left = deque([event]), MOST_AT_ONCE
        while following:
            hooks = []
            for command in self._handle_event(following.popleft()):
                if isinstance(command, commands.StartHook) and self.waited_for(command):
                    hooks.append(command)
                else:
                    yield command
            for hook in hooks:
                left -= 1
                if left < 0:
                    yield hook  # mitmproxy runs it, and comes back when it was others' turn
                elif task := self.begin(hook):
                    yield UnfinishedHook.of(hook, task)
                else:
                    following.append(events.HookCompleted(hook))

    def waited_for(self, hook: commands.StartHook) -> bool:
        """Whether a stream waits for its end. Those of TLS wait too; the one of a stream given up does not."""
        return isinstance(self.command_sources.get(hook), ReplayStream)

    def collapse(self) -> Steps[None]:
        """End every stream with an error, as far as possible, and close the client's connection, and so all others."""
        error = CCProxyError("ccproxy failed while serving this request. See ccproxy's log.")
        yield from self.attempt(self.give_up(error), f"{FAILED}, and could not end its streams")
        yield from self.client_connection.bail_out(error)

    def give_up(self, error: CCProxyError) -> Steps[None]:
        for stream in list(self.streams.values()):
            yield from self.event_to_child(stream, GiveUp(error))

    def _handle_event(self, event: events.Event) -> Steps[None]:
        if isinstance(event, events.ConnectionEvent) and event.connection in self.connections:
            yield from self.event_to_child(self.connections[event.connection], event)
        elif isinstance(event, events.Wakeup) and isinstance(event.command, LayerWakeup):
            yield from self.wake(event.command)
        elif isinstance(event, events.ConnectionEvent) and self.left_behind(event.connection):
            return
        elif isinstance(event, events.HookCompleted) and isinstance(event.command, UnfinishedHook):
            yield from super()._handle_event(events.HookCompleted(event.command.unfinished.hook))
        elif isinstance(event, ResponseData):
            yield from self.event_to_child(self.streams[event.stream_id], event)
        elif isinstance(event, Failed):
            yield from self.collapse()
        elif isinstance(event, events.Start):
            # The base class would make a connection of its own first, which is a cycle.
            self.connections[self.context.client] = self.client_connection
            yield from self.event_to_child(self.client_connection, event)
        else:
            yield from super()._handle_event(event)

    def receive(self, connection: Connection, data: bytes) -> tuple[bytes, events.Event | None]:
        """What `handle_event` does with nearly all data of upstream's, without a generator, an object or a task for it:
        the whole chunks of a response that streams. Returns the client's bytes, and the event to be handled after them;
        for other data, their own."""
        upstream = self.connections.get(connection)
        reader = upstream.context.layers[-1] if upstream else None
        if not isinstance(reader, UpstreamConnection) or not reader.between_chunks:
            return b"", events.DataReceived(connection, data)
        stream = self.streams.get(reader.stream_id or 0)
        if stream is None or not self.passes_content(stream):
            return b"", events.DataReceived(connection, data)
        try:
            content, left = reader.read_ahead(connection, data)
            return self.pass_on(stream, content), left or self.look(stream)
        except Exception:
            logger.exception(FAILED)
            return b"", Failed()

    def passes_content(self, stream: ReplayStream) -> bool:
        """Whether neither stream nor client has anything to do about content but to pass it on."""
        return (
            stream.stage is Stage.STREAMING
            and self.client_connection.chunked
            and stream.exchange.answer is not None
        )

    def pass_on(self, stream: ReplayStream, content: bytes) -> bytes:
        translated = stream.pass_on(content)
        return self.client_connection.framed(translated) if translated else b""

    def look(self, stream: ReplayStream) -> ResponseData | None:
        """An event that makes it look at its answer's error, if there is one."""
        answer = stream.exchange.answer
        return ResponseData(stream.stream_id, b"") if answer and answer.error else None

    def event_to_child(self, child: layer.Layer | HttpStream, event: events.Event) -> Steps[None]:
        if (
            isinstance(event, ResponseData)
            and isinstance(child, ReplayStream)
            and self.passes_content(child)
        ):
            if data := self.pass_on(child, event.data):
                yield commands.SendData(self.context.client, data)
            if (left := self.look(child)) is None:
                return
            event = left
        try:
            yield from super().event_to_child(child, event)
        except NotImplementedError:
            if not isinstance(child, HttpClient) or not isinstance(event, events.DataReceived):
                raise
            yield from self.end_before_trailers(child.child_layer, event.connection)
        if isinstance(child, ReplayStream) and self.streams.get(child.stream_id) is not child:
            child.cut_cycles()

    def end_before_trailers(self, client: layer.Layer, connection: Connection) -> Steps[None]:
        """mitmproxy raises NotImplementedError for trailers, when it has passed on all of the response's body."""
        assert isinstance(client, Http1Client)
        yield from self.abandon(connection)
        if client.stream_id in self.streams:
            stream = self.streams[client.stream_id]
            yield from self.event_to_child(stream, ResponseEndOfMessage(client.stream_id))

    def wake_by(self, due: float) -> Steps[None]:
        """One wake-up for all streams of a connection: each is an asyncio task, which outlives the stream it is for."""
        if due < self.wakes_at:
            self.wakes_at = due
            self.wakeup = LayerWakeup(max(due - self.clock(), 0.0))
            yield self.wakeup
            self.command_sources.pop(
                self.wakeup, None
            )  # it would hold the stream that asked for it

    def wake(self, wakeup: LayerWakeup) -> Steps[None]:
        if wakeup is not self.wakeup:  # an earlier one has replaced it
            return
        self.wakeup, self.wakes_at = None, inf
        now = self.clock()
        for stream in list(self.streams.values()):
            if stream.due <= now:
                yield from self.event_to_child(stream, Tick())
            else:
                yield from self.wake_by(stream.due)

    def left_behind(self, connection: Connection) -> bool:
        """Whether it was abandoned. Its close must not end the next attempt, which has the same stream id."""
        return connection not in self.connections and connection is not self.context.server

    def make_stream(self, stream_id: int) -> Steps[None]:
        # `Context.fork` would make a server connection first, to replace it.
        context = object.__new__(Context)
        vars(context).update(vars(self.context), layers=self.context.layers.copy())
        self.streams[stream_id] = ReplayStream(context, stream_id, self)
        yield from self.event_to_child(self.streams[stream_id], events.Start())

    def get_connection(self, event: GetHttpConnection, *, reuse: bool = True) -> Steps[None]:
        # The base class remembers a failed server and refuses it for ever on this client connection.
        connecting = [self.connections[c] for c in self.waiting_for_establishment]
        for connection in list(self.connections):
            dead = isinstance(connection, Server) and (connection.error or not connection.connected)
            if dead and self.connections[connection] not in connecting:
                del self.connections[connection]
        stream = self.command_sources[event]
        for connection in self.free_connections(stream):
            if event.connection_spec_matches(connection):
                del self.command_sources[event]
                completed = GetHttpConnectionCompleted(event, (connection, None))
                yield from self.event_to_child(stream, completed)
                return
        yield from super().get_connection(event, reuse=False)

    def free_connections(self, stream: layer.Layer) -> list[Connection]:
        """Connections that can serve a request now. The base class would give one to two streams at once: it knows
        clients with several requests at a time by HTTP/2 only."""
        busy = {other.context.server for other in self.streams.values() if other is not stream}
        unready = busy | self.waiting_for_establishment.keys()
        return [c for c in self.connections if c.connected and c not in unready]

    def close_client(self) -> Steps[None]:
        yield from self.client_connection.close()

    @property
    def by_websocket(self) -> bool:
        return self.client_connection.socket is not None

    def abandon(self, connection: Connection) -> Steps[None]:
        if isinstance(connection, Server) and connection in self.connections:
            handler = self.connections[connection]
            # through a proxy there are two: the one to it, and the one in it
            for each in [c for c, other in self.connections.items() if other is handler]:
                del self.connections[each]
                yield commands.CloseConnection(each)

    def abort_connecting(self, stream: layer.Layer) -> Steps[None]:
        """Give up the connection that `stream` waits for. The waiting stream gets its error now: mitmproxy can lose
        the event that says how connecting went (`ConnectionHandler.server_event`, cancelled while it waits)."""
        for connection, waiting in list(self.waiting_for_establishment.items()):
            if all(self.command_sources.get(command) is not stream for command in waiting):
                continue
            yield from self.abandon(connection)
            yield from self.register_connection(RegisterHttpConnection(connection, "too slow"))

    def register_connection(self, command: RegisterHttpConnection) -> Steps[None]:
        if command.connection in self.waiting_for_establishment:  # else it was given up
            if not command.err:
                read_chunks_together(self.connections[command.connection])
            yield from super().register_connection(command)


class WriteCoalescer:
    """Joins consecutive writes to one connection: mitmproxy would make a system call (and a TLS record) for a head, for
    a body, and for each event of a stream that came in one packet."""

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.pieces: list[bytes] = []

    def coalesce(self, steps: Steps[None]) -> Steps[None]:
        for command in steps:
            if not isinstance(command, commands.SendData):
                if self.pieces:
                    yield from self.flush()
                yield command
                continue
            if command.connection.state is ConnectionState.CLOSED:
                continue  # mitmproxy closes the socket itself a little later, and would still write to it
            if command.connection is not self.connection:
                if self.pieces:
                    yield from self.flush()
                self.connection = command.connection
            self.pieces.append(command.data)
        yield from self.flush()

    def flush(self) -> Steps[None]:
        """Send what was held back."""
        connection, pieces = self.connection, self.pieces
        self.connection, self.pieces = None, []
        if connection is not None:
            yield commands.SendData(connection, pieces[0] if len(pieces) == 1 else b"".join(pieces))


class RefuseTls(layer.Layer):
    """Closes the connection of a client that speaks TLS to the plain port."""

    def _handle_event(self, event: events.Event) -> Steps[None]:
        if isinstance(event, events.Start | events.DataReceived):
            yield commands.CloseConnection(self.context.client)


class ReverseLayer:
    """Puts `ReplayLayer` under every reverse-proxy connection, before mitmproxy chooses a layer itself."""

    def __init__(self, exchanges: Exchanges, timing: Timing) -> None:
        self.exchanges = exchanges
        self.timing = timing
        self.hooks = FlowHooks()

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        context = nextlayer.context
        if len(context.layers) != 1 or not isinstance(context.layers[0], modes.ReverseProxy):
            return
        if nextlayer.data_client().startswith(b"\x16\x03"):  # a TLS hello
            nextlayer.layer = RefuseTls(context)
            return
        stack = tunnel.LayerStack()
        mode = context.client.proxy_mode
        if isinstance(mode, ReverseMode) and mode.scheme == "https":
            stack /= layers.ServerTLSLayer(context)
        stack /= ReplayLayer(context, self.exchanges, self.timing, self.hooks.begin)
        nextlayer.layer = stack[0]


class Gate:
    """Lets no client in before every addon runs, and refuses every flow that did not come through `ReplayLayer`.

    It stays when the script is unloaded: after a failed reload, and for mitmweb's replay, mitmproxy's own layer would
    forward requests as they came, past every check.
    """

    name = "ccproxy_gate"

    def __init__(self, exchanges: Exchanges) -> None:
        """To be added after all other addons: `running` is called in their order, and opens it."""
        self.exchanges = exchanges
        self.opened = asyncio.Event()

    def running(self) -> None:
        # mitmproxy ends the process if an error was logged during startup, and checks that one turn of the event loop
        # after the last `running` (`ErrorCheck.shutdown_if_errored`). This is called in that turn, before the check;
        # waiting clients go on in the next one, so that no request's error is mistaken for one of the startup.
        asyncio.get_running_loop().call_soon(self.opened.set)

    async def unfinished(self, unfinished: Unfinished) -> None:
        """mitmproxy waits for this, and then tells the layer that the hook is complete."""
        await unfinished.task

    async def client_connected(self, client: Client) -> None:
        """mitmproxy reads nothing from a client before this returns. Its ports are open before its addons run: until
        then `TlsConfig`, for example, has no certificates and fails for each request."""
        if self.opened.is_set():
            return
        await self.opened.wait()
        handler = ctx.master.addons.get("proxyserver").connections[client.id]
        # The task that reads from a client is started eagerly, and mitmproxy fails when it ends before its first wait.
        if handler.transports[client].reader.at_eof():
            client.error = "left while ccproxy started"  # mitmproxy closes it at once

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if flow.response is not None:  # read from a file: it has its response, and is not sent
            return
        exchange = self.exchanges.get(flow)
        if exchange is None or exchange.finished:
            message = "ccproxy is not handling this request, so it was not sent. Restart ccproxy."
            body = {"type": "error", "error": {"type": "api_error", "message": message}}
            flow.response = http.Response.make(
                503, json.dumps(body), {"content-type": "application/json"}
            )
