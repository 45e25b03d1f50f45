"""What is read of upstream before mitmproxy's layers are asked, in clear and over TLS, and what is left to them."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress

import pytest
import trustme
from mitmproxy.connection import Connection, Server
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HttpClient
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.layers.tls import ServerTLSLayer
from mitmproxy.proxy.tunnel import LayerStack, TunnelState
from OpenSSL import SSL

from addon.core.types import Dialect
from addon.replay_layer.events import Steps
from addon.replay_layer.upstream_connection import (
    UpstreamConnection,
    UpstreamTls,
    read_chunks_together,
)
from tests.replay_layer.harness import Play, stream_head
from tests.replay_layer.test_play import DIALECTS, STREAM, body_of
from tests.translation.from_anthropic.test_by_dialect import ended_well, errors_in


class Below(layer.Layer):
    """Writes down what the layer above leaves to it."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.came: list[bytes] = []

    def _handle_event(self, event: events.Event) -> Steps[None]:
        if isinstance(event, events.DataReceived):
            self.came.append(event.data)
        elif isinstance(event, events.ConnectionClosed):
            self.came.append(b"closed")
        yield from ()


class Encrypted:
    """The layer of a connection whose handshake is done, and the server's end of it."""

    def __init__(self) -> None:
        ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("up.example").configure_cert(context)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        play = Play()
        self.layer = UpstreamTls(
            Context(play.client, play.layer.context.options), Server(address=None)
        )
        self.layer.tls = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
        self.layer.tls.set_connect_state()
        for step in (self.layer.tls.do_handshake, self.server.do_handshake) * 2:
            self.do(step)
        self.layer.tunnel_state = TunnelState.OPEN
        self.layer.child_layer = self.below = Below(self.layer.context)

    def do(self, step: Callable[[], None]) -> None:
        with suppress(SSL.WantReadError, ssl.SSLWantReadError):
            step()
        if to_client := self.outgoing.read():
            self.layer.tls.bio_write(to_client)
        with suppress(SSL.WantReadError):
            self.incoming.write(self.layer.tls.bio_read(65535))

    def sent(self, *pieces: bytes) -> bytes:
        for piece in pieces:
            self.server.write(piece)
        return self.outgoing.read()

    def reader(self) -> UpstreamConnection:
        reader = UpstreamConnection(self.layer.context)
        reader.tls = self.layer
        return reader

    def handle(self, event: events.Event | None) -> list[bytes]:
        assert event
        assert list(self.layer.handle_event(event)) == []
        return self.below.came


def test_whole_chunks_are_read_from_their_records() -> None:
    over = Encrypted()
    content, left = over.reader().read_ahead(
        over.layer.conn, over.sent(b"2\r\nab\r\n", b"1\r\nc\r\n")
    )
    assert (content, left, over.below.came) == (b"abc", None, [])


def test_what_is_no_whole_chunk_is_left_to_the_layer_as_it_is() -> None:
    over = Encrypted()
    content, left = over.reader().read_ahead(over.layer.conn, over.sent(b"2\r\nab\r\n", b"1\r\n"))
    assert content == b"" and over.handle(left) == [b"2\r\nab\r\n1\r\n"]
    assert over.handle(events.DataReceived(over.layer.conn, over.sent(b"c"))) == [
        b"2\r\nab\r\n1\r\n",
        b"c",
    ]


def test_half_a_record_waits_for_the_rest() -> None:
    over = Encrypted()
    sent, reader = over.sent(b"2\r\nab\r\n"), over.reader()
    content, left = reader.read_ahead(over.layer.conn, sent[:9])
    assert (content, over.handle(left)) == (b"", [])
    assert reader.read_ahead(over.layer.conn, sent[9:]) == (b"ab", None)


def test_an_end_behind_the_content_is_told_after_it() -> None:
    over = Encrypted()
    sent = over.sent(b"2\r\nab\r\n")
    with pytest.raises(ssl.SSLWantReadError):
        over.server.unwrap()
    content, left = over.reader().read_ahead(over.layer.conn, sent + over.outgoing.read())
    assert content == b"" and over.handle(left) == [b"2\r\nab\r\n", b"closed"]


BEGINNING, END = STREAM.split(b"event: content_block_stop", 1)


def in_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def streaming(dialect: Dialect) -> tuple[Play, Connection]:
    """A stream whose content the client reads."""
    play = Play(dialect=dialect)
    server = play.begin()
    play.upstream_sends(server, stream_head(b"Transfer-Encoding: chunked") + in_chunk(BEGINNING))
    play.complete_hooks()
    return play, server


@pytest.mark.parametrize("dialect", DIALECTS)
def test_content_of_a_stream_is_given_out_without_an_event(dialect: Dialect) -> None:
    play, server = streaming(dialect)
    sent, left = play.layer.receive(server, in_chunk(b"event: content_block_stop" + END))
    assert sent and left is None
    play.sent += sent
    play.upstream_sends(server, b"0\r\n\r\n")
    play.complete_hooks()
    assert ended_well(body_of(play)) and not play.failures


def test_an_error_among_the_content_is_left_to_be_looked_at() -> None:
    play, server = streaming("chat")
    sent, left = play.layer.receive(server, in_chunk(b"event: x\ndata: {}}\n\n"))
    assert left and not sent
    play.do(left)
    play.complete_hooks()
    assert errors_in(body_of(play)) == 1 and not play.failures


def test_a_failure_while_content_is_translated_is_told() -> None:
    play, server = streaming("chat")
    play.layer.streams[1].pass_on = None  # type: ignore[method-assign, assignment]
    with play.watching():
        play.upstream_sends(server, in_chunk(b"event: content_block_stop" + END))
    assert errors_in(body_of(play)) == 1 and play.failures


def test_only_what_is_surely_in_clear_or_decrypted_here_is_read_ahead() -> None:
    play = Play()

    def connected(*around: type[ServerTLSLayer], tls: bool = False) -> UpstreamConnection:
        context = play.layer.context.fork()
        context.server = Server(address=None)
        stack = LayerStack()
        for each in around:
            stack /= each(context)
        stack /= HttpClient(context)
        stack[-1].child_layer = reader = Http1Client(context)
        context.server.tls = context.server.tls or tls
        read_chunks_together(stack[0])
        assert isinstance(reader, UpstreamConnection)
        return reader

    assert connected().ahead
    assert not connected(tls=True).ahead  # by a layer around ours
    encrypted = connected(ServerTLSLayer)
    assert encrypted.ahead and type(encrypted.tls) is UpstreamTls
    assert not connected(ServerTLSLayer, ServerTLSLayer).ahead  # through a proxy
