"""An HTTP/1.1 server on bare sockets that notes everything and can misbehave on purpose.

Sans-I/O parsing is h11's; connections are accepted by hand so that even one without a request, or one that never
finishes its TLS handshake, is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Literal

from addon.stand_in.connection import Connection, reset_on_close
from addon.stand_in.delivery import Response
from addon.stand_in.record import Log, Opened, Received

type Handler = Callable[[Received], Awaitable[Response]]

type Greeting = Literal["serve", "mute", "fin", "rst"]
"""What a new connection gets: service, silence (not even a TLS handshake), or a close."""


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Connecting to it is refused until `.listen()` is called."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.setblocking(False)
    return sock


class HttpServer:
    """Runs inside one event loop; `start`, `stop`, `refuse`, `accept` must be called there."""

    def __init__(self, handler: Handler, log: Log, tls: ssl.SSLContext | None = None) -> None:
        self.handler = handler
        self.log = log
        self.tls = tls
        self.greeting: Greeting = "serve"
        self.idle_timeout: float | None = None
        self.address = ("127.0.0.1", 0)
        self._socket: socket.socket | None = None
        self._acceptor: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[Connection] = set()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._bind(host, port)
        await self.accept()

    async def stop(self) -> None:
        await self._stop_accepting()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    async def accept(self) -> None:
        if self._acceptor is None and self._socket is not None:
            self._socket.listen(512)
            self._acceptor = asyncio.create_task(self._accept_all(self._socket))

    async def refuse(self) -> None:
        """Further connects get ECONNREFUSED. The port stays ours: bound, but not listening."""
        await self._stop_accepting()
        if self._socket is not None:
            self._socket.close()
        self._bind(*self.address)

    @property
    def idle(self) -> list[Connection]:
        """Kept-alive connections that have no request in work."""
        return [connection for connection in self._open if connection.idle]

    async def close_idle(self) -> int:
        """Close the idle connections; how many there were."""
        idle = self.idle
        for connection in idle:
            connection.close()
        return len(idle)

    def _bind(self, host: str, port: int) -> None:
        self._socket = listen(host, port)
        self.address = (host, self._socket.getsockname()[1])

    async def _stop_accepting(self) -> None:
        if self._acceptor is not None:
            self._acceptor.cancel()
            await asyncio.gather(self._acceptor, return_exceptions=True)
            self._acceptor = None

    async def _accept_all(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, peer = await loop.sock_accept(listener)
            opened = Opened(next(self.log.connection_numbers), peer[1], time.monotonic())
            self.log.connections.append(opened)
            self._spawn(self._greet(sock, opened))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log.errors.append(error)

    async def _greet(self, sock: socket.socket, opened: Opened) -> None:
        match self.greeting:
            case "serve":
                await self._serve(sock, opened)
            case "mute":
                with contextlib.closing(sock):
                    await asyncio.Event().wait()
            case "fin":
                sock.close()
            case "rst":
                reset_on_close(sock)
                sock.close()

    async def _serve(self, sock: socket.socket, opened: Opened) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, sock, ssl=self.tls, ssl_shutdown_timeout=1 if self.tls else None
            )
        except (OSError, ssl.SSLError):
            opened.tls_failed = True
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        connection = Connection(reader, writer, opened, self.log)
        self._open.add(connection)
        try:
            await connection.serve(self.handler, self.idle_timeout)
        finally:
            self._open.discard(connection)


class ServerThread:
    def __init__(self, server: HttpServer, host: str, port: int) -> None:
        self._server, self._host, self._port = server, host, port
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._started.result(10)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._started.result().call_soon_threadsafe(self._stopping.set)
            self._thread.join(10)

    def join(self) -> None:
        self._thread.join()

    def call[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the server's loop and give back its result."""
        return asyncio.run_coroutine_threadsafe(work, self._started.result()).result(10)

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        try:
            await self._server.start(self._host, self._port)
        except OSError as error:
            self._started.set_exception(error)
            return
        self._started.set_result(asyncio.get_running_loop())
        await self._stopping.wait()
        await self._server.stop()
