"""What comes in is handled at once, and with the same backpressure as in mitmproxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mitmproxy.connection import Connection
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server import LiveConnectionHandler

from addon.replay_layer.connections import DirectReader
from addon.replay_layer.layer import ReplayLayer

MUCH = b"x" * (8 << 20)
"""More than a socket and asyncio take for a client that reads nothing."""


class Repeats(layer.Layer):
    """Writes down what comes, and answers it."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.came: list[bytes] = []
        self.closed = asyncio.Event()
        self.answer = b""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.DataReceived):
            self.came.append(event.data)
            yield commands.SendData(event.connection, self.answer)
        elif isinstance(event, events.ConnectionClosed):
            self.came.append(b"closed")
            self.closed.set()
            yield commands.CloseConnection(event.connection)


class Handler(LiveConnectionHandler):
    async def handle_hook(self, hook: commands.StartHook) -> None:
        if hook.name == "client_connected":
            DirectReader.take_over(self, self.client)


class Served:
    def __init__(
        self, handler: Handler, client: asyncio.StreamWriter, answers: asyncio.StreamReader
    ) -> None:
        self.client = client
        self.answers = answers
        assert isinstance(handler.layer, Repeats)
        self.layer = handler.layer
        self.lock = handler._server_event_lock
        reader = handler.transports[handler.client].reader
        assert isinstance(reader, DirectReader)
        self.reader = reader


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    """A client's connection in mitmproxy's hands, which waits for the first byte."""
    options = Options()
    options.add_option("tcp_timeout", int, 600, "")
    began: asyncio.Future[Handler] = asyncio.get_running_loop().create_future()
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = Handler(reader, writer, options, ProxyMode.parse("regular"))
        handler.layer = Repeats(Context(handler.client, options))
        began.set_result(handler)
        await handler.handle_client()
        ended.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        answers, client = await asyncio.open_connection(*server.sockets[0].getsockname())
        handler = await began
        await asyncio.sleep(0.05)
        try:
            yield Served(handler, client, answers)
        finally:
            client.transport.abort()
            await asyncio.wait_for(ended.wait(), 10)


async def test_what_mitmproxy_waits_for_is_handled_before_the_next_turn_of_the_loop() -> None:
    async with served() as at:
        at.reader.feed_data(b"one")
        at.reader.feed_data(b"two")
        assert at.layer.came == [b"one", b"two"]


async def test_while_the_client_reads_nothing_what_comes_waits_in_its_order() -> None:
    async with served() as at:
        at.layer.answer = MUCH
        at.reader.feed_data(b"one")
        at.reader.feed_data(b"two")
        at.reader.feed_data(b"three")
        assert at.layer.came == [b"one"]
        await asyncio.sleep(0.05)
        assert at.layer.came == [b"one", b"twothree"]  # mitmproxy's task, which now waits
        at.reader.feed_data(b"four")
        await asyncio.sleep(0.05)
        assert at.layer.came == [b"one", b"twothree"]


async def test_what_came_before_mitmproxy_is_told_of_the_end_keeps_its_order() -> None:
    async with served() as at:
        at.client.write(b"last")
        at.client.write_eof()
        await asyncio.wait_for(at.layer.closed.wait(), 10)
        assert at.layer.came == [b"last", b"closed"]


async def test_what_comes_while_the_layer_is_busy_waits_for_its_turn() -> None:
    async with served() as at:
        async with at.lock:
            at.reader.feed_data(b"one")
            at.reader.feed_data(b"two")
            assert at.layer.came == []
        await asyncio.sleep(0.05)
        assert at.layer.came == [b"one", b"two"]


class Passes(ReplayLayer):
    """Passes on what has a colon, as content, and leaves the rest to be handled."""

    def __init__(self) -> None:
        pass

    def receive(self, connection: Connection, data: bytes) -> tuple[bytes, events.Event | None]:
        return (data, None) if b":" in data else (b"", events.DataReceived(connection, data))


async def test_content_is_written_at_once_and_in_its_order() -> None:
    async with served() as at:
        at.reader.layer = Passes()
        at.reader.feed_data(b"a:")
        async with at.lock:
            at.reader.feed_data(b"one")
            at.reader.feed_data(b"b:")  # behind an event that waits
            assert at.layer.came == []
        await asyncio.sleep(0.05)
        at.reader.feed_data(b"c:")
        assert at.layer.came == [b"one", b"b:"]
        assert await asyncio.wait_for(at.answers.readexactly(4), 10) == b"a:c:"
