"""The upstream's side of a connection: mitmproxy's HTTP/1 client, and TLS, for responses of many small chunks."""

from __future__ import annotations

import re

from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from mitmproxy.connection import Connection
from mitmproxy.proxy import events, layer, tunnel
from mitmproxy.proxy.layers.http import HttpClient
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import ResponseData
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.layers.tls import ServerTLSLayer
from OpenSSL import SSL

from addon.replay_layer.events import Steps

_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
MOST_READ = 65535


class UpstreamTls(ServerTLSLayer):
    """What came can be decrypted before it is known whether this layer handles it."""

    put_back = b""
    """Decrypted, and left to this layer."""

    def decrypt(self, data: bytes) -> bytes | None:
        """None: this layer goes on, also where there is no content. OpenSSL may then have something to send, as if the
        server asks for new keys."""
        self.tls.bio_write(data)
        plain = b""
        try:
            while True:
                plain += self.tls.recv(MOST_READ)
        except SSL.WantReadError:
            return plain or None
        except SSL.Error:  # which the layer meets, too
            self.put_back = plain
            return None

    def receive_data(self, data: bytes) -> Steps[None]:
        plain, self.put_back = self.put_back, b""
        if plain:
            yield from self.event_to_child(events.DataReceived(self.conn, plain))
        yield from super().receive_data(data)


class UpstreamConnection(Http1Client):
    """mitmproxy's HTTP/1 client, but the chunks of one packet are one piece: it would take each through all layers by
    itself, and even a tiny response of Anthropic's is eight events, each in a chunk of its own."""

    ahead = False
    """Whether nothing but `tls` is between it and the socket."""
    tls: UpstreamTls | None = None

    def read_body(self, event: events.Event) -> Steps[None]:
        if isinstance(event, events.DataReceived) and between_chunks(self.body_reader):
            if data := take_chunks(self.buf):
                assert self.stream_id is not None
                yield ReceiveHttp(ResponseData(self.stream_id, data))
            if not self.buf:
                return
        yield from super().read_body(event)

    @property
    def between_chunks(self) -> bool:
        """Whether the socket's next byte is the first of a chunk."""
        at_rest = self.ahead and self.state == self.read_body and not self.buf
        return at_rest and between_chunks(self.body_reader)

    def read_ahead(
        self, connection: Connection, data: bytes
    ) -> tuple[bytes, events.DataReceived | None]:
        """The content of `data`, if it is whole chunks, or else an event with what is to be read."""
        plain = self.tls.decrypt(data) if self.tls else data
        if plain is not None:
            content, end = whole_chunks(plain)
            if end == len(plain):
                return content, None
        if self.tls and plain:
            self.tls.put_back = plain
        return b"", events.DataReceived(connection, b"" if self.tls else data)


def between_chunks(reader: object) -> bool:
    return isinstance(reader, ChunkedReader) and not (
        reader._bytes_in_chunk or reader._bytes_to_discard or reader._reading_trailer
    )


def take_chunks(received: ReceiveBuffer) -> bytes:
    content, end = whole_chunks(bytes(received))
    if end:
        received.maybe_extract_at_most(end)
    return content


def whole_chunks(raw: bytes) -> tuple[bytes, int]:
    """The data of all complete chunks but the last one, which is empty, and where they end. Others than plain ones are
    left to h11."""
    end, pieces = 0, []
    while head := _CHUNK.match(raw, end):
        start = head.end()
        after = start + int(head[1], 16)
        if after == start or raw[after : after + 2] != b"\r\n":
            break
        pieces.append(raw[start:after])
        end = after + 2
    return pieces[0] if len(pieces) == 1 else b"".join(pieces), end


def read_chunks_together(connected: layer.Layer) -> None:
    """`connected`: the layers of a new connection to upstream, outermost first."""
    tunnels = []
    while isinstance(connected, tunnel.TunnelLayer):
        tunnels.append(connected)
        connected = connected.child_layer
    if not isinstance(connected, HttpClient) or type(connected.child_layer) is not Http1Client:
        return
    client = connected.child_layer
    client.__class__ = UpstreamConnection
    assert isinstance(client, UpstreamConnection)
    match tunnels:
        case []:
            client.ahead = not client.conn.tls  # that would be a layer around ours
        case [ServerTLSLayer() as tls] if type(tls) is ServerTLSLayer:
            tls.__class__ = UpstreamTls
            assert isinstance(tls, UpstreamTls)
            client.ahead, client.tls = True, tls
