"""A tap between a client and a server: it passes bytes on untouched and keeps what the client sent."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Sent:
    """One request, as it left the client."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(slots=True)
class Tap:
    """`with Tap(port) as tap:` listens at `tap.url` for what goes to this port; `tap.requests` is what came."""

    port: int
    streams: list[bytearray] = field(default_factory=list)
    """What each connection carried towards the server."""
    _server: socketserver.ThreadingTCPServer = field(init=False)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Self:
        tap = self

        class Relay(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                kept = bytearray()
                tap.streams.append(kept)
                with socket.create_connection(("127.0.0.1", tap.port)) as upstream:
                    relay(self.request, upstream, kept)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def requests(self) -> list[Sent]:
        return [request for stream in self.streams for request in read(bytes(stream))]


def relay(client: socket.socket, server: socket.socket, kept: bytearray) -> None:
    """Copy both ways until one side ends."""
    other = {client: server, server: client}
    while True:
        ready, _, _ = select.select([client, server], [], [])
        for source in ready:
            data = source.recv(1 << 16)
            if not data:
                return
            if source is client:
                kept += data
            other[source].sendall(data)


def read(stream: bytes) -> Iterator[Sent]:
    """The requests of one connection, each with a content-length or without a body."""
    while stream:
        head, _, rest = stream.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = [
            (name, value.strip()) for name, _, value in (line.partition(":") for line in lines)
        ]
        by_name = {name.lower(): value for name, value in headers}
        assert "transfer-encoding" not in by_name, "a body whose length is not told"
        length = int(by_name.get("content-length", 0))
        method, target, _ = first.split(" ")
        yield Sent(method, target, headers, rest[:length])
        stream = rest[length:]
