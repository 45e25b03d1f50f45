"""How many clients may be connected at once, and how long one may leave its response unread."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import socket
import struct
import sys
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, SupportsIndex

from mitmproxy import connection, ctx
from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.proxy import events, layer, server_hooks
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HttpLayer
from mitmproxy.proxy.server import ConnectionHandler, ConnectionIO

from addon.core.clock import OnceAMinute, Ticker
from addon.core.malloc import HeapTrimmer
from addon.exchange.refusals import LineAMinute
from addon.exchange.state import Exchanges
from addon.replay_layer.layer import ReplayLayer

if sys.platform != "win32":
    import resource

logger = logging.getLogger(__name__)

MOST = 1000
"""Connections, if there are enough descriptors. An idle one costs about 20 KiB, one with a stream 35."""
FEWEST = 16
MANY = 100
BACKLOG = 4096
ACCEPTED_AT_ONCE = 4
"""See `accept_evenly`."""
UNKNOWN_SECONDS = 2.0
"""After which a caller could have shown who he is."""
RESERVED = 64
"""Descriptors for everything else: files, listeners, the proxy's own requests."""
UNREAD_SECONDS = 60.0
"""A client that reads nothing for so long is treated as gone: keepalives would keep its connection open for ever."""
AT_ONCE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""SO_LINGER of zero seconds: closing discards what was not sent and resets the connection."""
CLOSE_SECONDS = 1.0
"""For clients to be closed at the end of the proxy."""
LOOK_EVERY = 5.0


class RateLimitedLog(logging.Filter):
    """Logs once a minute that there are no file descriptors left. asyncio logs it, with a traceback, each time that it
    can't accept a connection, which is a hundred times a second."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = OnceAMinute()

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            return True
        record.msg, record.args = "No file descriptors are left; new connections wait.", ()
        record.exc_info = None
        return self.lines.may_say()


def descriptors(wanted: int) -> int:
    """How many descriptors this process may have, after asking for `wanted`: on macOS the default is 256."""
    if sys.platform == "win32":  # has no such limit
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):  # the kernel's own limit is lower than the one it names
        return soft
    return most


def room_for_connections() -> int:
    """Each takes two descriptors: the client's, and the one to Anthropic."""
    return max(FEWEST, (descriptors(2 * MOST + RESERVED) - RESERVED) // 2)


class DirectReader(asyncio.StreamReader):
    """Hands over at once what comes in while mitmproxy's task waits for it (`ConnectionHandler.handle_connection`). To
    wake the task, asyncio would take another turn of the event loop for each packet, with a system call of its own."""

    handler: ConnectionHandler
    connection: Connection
    layer: ReplayLayer | None = None
    """The one that content can be given to directly; for upstream's connections."""
    waits = False
    handling: asyncio.Task[None] | None = None
    """The last event that was an event: others may have to be handled before it."""

    @classmethod
    def take_over(
        cls, handler: ConnectionHandler, of: Connection, layer: ReplayLayer | None = None
    ) -> None:
        """Before mitmproxy first reads from the connection."""
        reader = handler.transports[of].reader
        if type(reader) is asyncio.StreamReader:
            reader.__class__ = cls
            assert isinstance(reader, cls)
            reader.handler, reader.connection, reader.layer = handler, of, layer

    async def read(self, n: int = -1) -> bytes:
        self.waits = True
        try:
            return await super().read(n)
        finally:
            self.waits = False

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        if not self.waits or not self.undisturbed():
            self.waits = False
            super().feed_data(data)
            return
        if self.layer is None or not (self.handling is None or self.handling.done()):
            self.handle(events.DataReceived(self.connection, bytes(data)))
            return
        sent, left = self.layer.receive(self.connection, bytes(data))
        self.send(sent)
        if left is not None:
            self.handle(left)

    def handle(self, event: events.Event) -> None:
        loop = asyncio.get_running_loop()
        self.handling = asyncio.eager_task_factory(loop, self.handler.server_event(event))

    def send(self, data: bytes) -> None:
        """As mitmproxy does what a layer asks for (`ConnectionHandler.server_event`)."""
        self.handler.timeout_watchdog.register_activity()
        client = self.handler.client
        io = self.handler.transports.get(client)
        if not data or client.state is ConnectionState.CLOSED or io is None:
            return
        assert isinstance(io.writer, asyncio.StreamWriter)
        if not io.writer.is_closing():
            io.writer.write(data)

    def undisturbed(self) -> bool:
        """Whether the connection is open both ways, and mitmproxy has nothing to wait for before it reads on."""
        if self.connection.state is not ConnectionState.OPEN:
            return False
        for io in self.handler.transports.values():
            writer = io.writer
            if (
                isinstance(writer, asyncio.StreamWriter)
                and writer.transport.get_write_buffer_size()
            ):
                return False
        return True


@dataclass(eq=False, repr=False, slots=True)
class ClientSocket:
    """A client's connection. It can outlive mitmproxy's handling of it, until the client has read what was written."""

    handler: ConnectionHandler
    io: ConnectionIO
    writer: asyncio.StreamWriter
    task: asyncio.Task[None]
    """Serves it."""
    unread: int = 0
    since: float = 0.0
    """When `unread` last became less, or more than zero, by the monotonic clock."""
    opened: float = field(default_factory=time.monotonic)
    gone: bool = False
    """mitmproxy is done with it."""
    upstream: dict[connection.Server, asyncio.StreamWriter] = field(default_factory=dict)

    def is_drained(self) -> bool:
        return not self.writer.transport.get_write_buffer_size()

    def stuck_for(self, now: float) -> float:
        """Seconds for which the client has read nothing of what waits for it."""
        before, self.unread = self.unread, self.writer.transport.get_write_buffer_size()
        if not before or self.unread < before:
            self.since = now
        return now - self.since if self.unread else 0.0

    def abort(self) -> None:
        """Reset it: otherwise this process, or the kernel, would keep what was written until the client reads it."""
        if self.handler.client in self.handler.transports:
            self.handler.close_connection(self.handler.client)
        reset(self.writer)


class Connections:
    """Three of four connections are for those that have shown who they are: this machine's own, and whoever sent the
    secret. Of the others the oldest is closed for a new one, which may be the owner's."""

    def __init__(
        self,
        exchanges: Exchanges,
        lines: LineAMinute,
        most: int | None = None,
        unread_seconds: float = UNREAD_SECONDS,
    ) -> None:
        """`most`: connections at once; None: as many as there are descriptors for, up to MOST."""
        self.exchanges = exchanges
        self.lines = lines
        self.most = room_for_connections() if most is None else most
        self.most_unknown = self.most // 4
        self.unread_seconds = unread_seconds
        self.open: dict[str, ClientSocket] = {}
        self.closed: dict[str, ClientSocket] = {}
        """For new ones; mitmproxy has not noticed yet."""
        self.ticker = Ticker(LOOK_EVERY, self.look)
        self.peak = 0
        """Connections that were open at once, since garbage was last collected."""
        self.heap = HeapTrimmer()

    def running(self) -> None:
        logging.getLogger("mitmproxy.master").addFilter(RateLimitedLog())
        ctx.master.addons.get("proxyserver").servers.changed.connect(accept_evenly)
        accept_evenly()
        self.ticker.start()

    async def done(self) -> None:
        """Close what is still open, so that the tasks that serve it end by themselves. At the end of the loop they
        would be cancelled, which asyncio reports with a traceback, as if they had failed (Python 3.12.1)."""
        self.ticker.stop()
        for held in self.open.values():
            held.writer.close()
        if tasks := [held.task for held in self.open.values() if not held.task.done()]:
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)

    def client_connected(self, client: connection.Client) -> None:
        unknown = len(self.open) - len(self.exchanges.known_clients)
        if unknown >= self.most_unknown or len(self.open) >= self.most:
            self.close_oldest_unknown()
        if len(self.open) >= self.most:
            client.error = "too many connections"  # mitmproxy closes it at once
        handler, task = handler_of(client), asyncio.current_task()
        assert task
        task.add_done_callback(lambda _: forget_layers(handler))
        if client.error is None:
            DirectReader.take_over(handler, client)
            io = handler.transports[client]
            assert isinstance(io.writer, asyncio.StreamWriter)
            self.open[client.id] = ClientSocket(handler, io, io.writer, task)

    def close_oldest_unknown(self) -> None:
        known, full = self.exchanges.known_clients, len(self.open) >= self.most
        oldest = next((each for each in self.open if each not in known), None)
        # many at once may be the owner's own, which have had no time yet
        if oldest and (full or time.monotonic() - self.open[oldest].opened > UNKNOWN_SECONDS):
            self.closed[oldest] = self.open.pop(oldest)
            self.closed[oldest].abort()
        elif not full:
            return
        self.lines.say(
            "connections of unknown callers closed",
            f"{len(self.open)} connections are open; unknown callers are closed.",
        )

    def client_disconnected(self, client: connection.Client) -> None:
        held = self.closed.pop(client.id, None) or self.open.get(client.id)
        if held is None:
            return
        held.gone = True
        held.handler.transports.pop(client, None)  # its reader has what was not read
        forget_frames(held.io.handler)
        held.writer.close()  # mitmproxy may have left it open, as in `end`
        for writer in held.upstream.values():
            shut(writer)
        self.forget_drained(client.id, held)

    def server_connected(self, data: server_hooks.ServerConnectionHookData) -> None:
        if held := self.open.get(data.client.id):
            layers = held.handler.layer.context.layers if not data.client.tls else ()
            ours = next((each for each in layers if isinstance(each, ReplayLayer)), None)
            DirectReader.take_over(held.handler, data.server, ours)
            io = held.handler.transports[data.server]
            writer, reading = io.writer, io.handler
            assert isinstance(writer, asyncio.StreamWriter) and reading  # it is TCP
            reading.add_done_callback(forget_frames)
            held.upstream[data.server] = writer

    async def server_disconnected(self, data: server_hooks.ServerConnectionHookData) -> None:
        if held := self.open.get(data.client.id):
            shut(held.upstream.pop(data.server))
            if data.server in held.handler.transports:
                await end(held.handler, data.server)

    def look(self) -> None:
        """Close connections whose client has read nothing for too long, and return what closed ones have freed."""
        now = time.monotonic()
        for client_id, held in list(self.open.items()):
            if held.stuck_for(now) >= self.unread_seconds:
                self.lines.say(
                    "connections closed whose client read nothing",
                    f"A client has read nothing for {self.unread_seconds:.0f} s; closed.",
                )
                held.abort()
            self.forget_drained(client_id, held)
        self.peak = max(self.peak, len(self.open))
        if self.peak > MANY and len(self.open) < self.peak // 2:
            self.peak = len(self.open)
            gc.collect()
        self.heap.trim()

    def forget_drained(self, client_id: str, held: ClientSocket) -> None:
        if held.gone and held.is_drained():
            self.open.pop(client_id, None)
            self.exchanges.known_clients.discard(client_id)


def handler_of(client: connection.Client) -> ConnectionHandler:
    handler: ConnectionHandler = ctx.master.addons.get("proxyserver").connections[client.id]
    return handler


def forget_layers(handler: ConnectionHandler) -> None:
    """Cut the cycles of a connection that is closed on both sides. A crowd's would fill memory until a garbage
    collection, and that one would keep everybody waiting."""
    del handler.timeout_watchdog.callback  # the handler's own method
    layers: list[layer.Layer] = [handler.layer]
    if any(isinstance(each, HttpLayer) and each.streams for each in handler.layer.context.layers):
        return  # a hook of one is still running
    while layers:
        state = vars(layers.pop())
        held = list(state.values())
        state.clear()
        for value in held:
            if isinstance(value, layer.Layer):
                layers.append(value)
            elif isinstance(value, Context):
                layers += value.layers
                value.layers.clear()
            elif isinstance(value, dict):
                layers += [each for each in value.values() if isinstance(each, layer.Layer)]


def accept_evenly() -> None:
    """Let the kernel hold many clients that wait, and take few of them at a time. asyncio lets a hundred wait, and the
    kernel drops others, which try again after 1, 3, 7 and 15 s; and it takes up to a hundred before it goes on with
    those that it has: of clients that come and go quickly, hundreds would be open at once."""
    if sys.platform == "win32":  # takes one at a time
        return
    for instance in ctx.master.addons.get("proxyserver").servers:
        for server in getattr(instance, "_servers", ()):
            for listener in getattr(server, "sockets", ()):
                with socket.socket(fileno=os.dup(listener.fileno())) as same:
                    same.listen(BACKLOG)
            if isinstance(server, asyncio.Server):
                take_few_at_once(server)


def take_few_at_once(server: Any) -> None:
    """As with the argument `backlog` of `loop.create_server`, which mitmproxy does not give: it called that before."""
    timeouts = server._ssl_handshake_timeout, server._ssl_shutdown_timeout
    for listener in server._sockets or ():
        server.get_loop()._start_serving(
            server._protocol_factory,
            listener,
            server._ssl_context,
            server,
            ACCEPTED_AT_ONCE,
            *timeouts,
        )


def forget_frames(task: asyncio.Task[None] | None) -> None:
    """Cut a cycle: mitmproxy's task that reads from a connection keeps the error that it was cancelled with
    (`ConnectionHandler.handle_connection`), and so what it read last and what waits to be read, up to 300 KB."""
    if task is not None and task.done():
        try:
            task.exception()
        except asyncio.CancelledError as cancelled:
            traceback.clear_frames(cancelled.__traceback__)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close now and discard what was not sent."""
    with contextlib.suppress(OSError):  # it is closed already
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    writer.transport.abort()


def shut(writer: asyncio.StreamWriter) -> None:
    """Close a connection to Anthropic. The rest of a request is not sent once the client has left: it is billed."""
    if writer.transport.get_write_buffer_size():
        reset(writer)
    else:
        writer.close()


async def end(handler: ConnectionHandler, left_open: connection.Server) -> None:
    """Tell the layer that a connection was closed, where mitmproxy does not: the task that reads from a connection,
    cancelled while it waits for its turn (`ConnectionHandler.server_event`), neither closes it nor tells the layer."""
    del handler.transports[left_open]
    left_open.state = connection.ConnectionState.CLOSED
    await handler.server_event(events.ConnectionClosed(left_open))
