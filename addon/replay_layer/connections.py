"""How many clients may be connected at once, and how long one may leave its answer unread."""

from __future__ import annotations

import asyncio
import errno
import logging
import sys
import time

from mitmproxy import connection, ctx

if sys.platform != "win32":
    import resource

logger = logging.getLogger(__name__)

MOST = 1000
"""Connections, where there are descriptors for so many. An idle one costs about 20 KiB, one with a stream 35."""
FEWEST = 16
RESERVED = 64
"""Descriptors for all else: files, listeners, the proxy's own requests."""
UNREAD_SECONDS = 60.0
"""A client that reads nothing for so long is taken for gone. Keepalives would keep its connection open for ever."""
LOOK_EVERY = 5.0
LOG_EVERY = 60.0


class Seldom(logging.Filter):
    """Lets the log say once a minute that there are no file descriptors left. asyncio tries to accept a hundred
    connections each second, and says so, with a traceback, for each."""

    def __init__(self) -> None:
        super().__init__()
        self.said = -LOG_EVERY

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            return True
        record.msg, record.args = "No file descriptors are left; new connections wait.", ()
        record.exc_info = None
        now = time.monotonic()
        if now - self.said < LOG_EVERY:
            return False
        self.said = now
        return True


def descriptors(wanted: int) -> int:
    """How many this process may have, raised to `wanted` if that is allowed: macOS gives 256 unless asked."""
    if sys.platform == "win32":  # it has no such limit
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
    """Each has two descriptors: the client's, and the one to Anthropic."""
    return max(FEWEST, (descriptors(2 * MOST + RESERVED) - RESERVED) // 2)


class Connections:
    def __init__(self, most: int | None = None, unread_seconds: float = UNREAD_SECONDS) -> None:
        """`most`: connections at once; None: as many as there are descriptors for, MOST at most."""
        self.most = room_for_connections() if most is None else most
        self.unread_seconds = unread_seconds
        self.open: set[str] = set()
        self.stuck_since: dict[str, tuple[float, int]] = {}
        self.watching: asyncio.Task[None] | None = None
        self.logged = 0.0

    def running(self) -> None:
        logging.getLogger("mitmproxy.master").addFilter(Seldom())
        self.watching = asyncio.create_task(self.watch())

    def done(self) -> None:
        if self.watching is not None:
            self.watching.cancel()

    def client_connected(self, client: connection.Client) -> None:
        if len(self.open) < self.most:
            self.open.add(client.id)
            return
        client.error = "too many connections"  # mitmproxy closes it at once
        now = time.monotonic()
        if now - self.logged > LOG_EVERY:
            self.logged = now
            logger.warning("%d connections are open; further ones are refused.", self.most)

    def client_disconnected(self, client: connection.Client) -> None:
        self.open.discard(client.id)
        self.stuck_since.pop(client.id, None)
        # mitmproxy leaves the socket open when it closes a connection on which data is just coming in: its reader
        # is cancelled while it waits for its turn, and never reaches the line that closes.
        server = ctx.master.addons.get("proxyserver")
        handler = server.connections.get(client.id) if server else None
        left_open = handler.transports.get(client) if handler else None
        if left_open is not None and left_open.writer is not None:
            left_open.writer.close()

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        """Close connections whose client has read nothing of what waits for it."""
        server = ctx.master.addons.get("proxyserver")
        for handler in list(server.connections.values()) if server else ():
            writer = handler.transports[handler.client].writer if handler.transports else None
            unread = writer.transport.get_write_buffer_size() if writer else 0
            if self.is_stuck(handler.client.id, unread, now):
                logger.warning("A client has read nothing for %d s; closed.", self.unread_seconds)
                handler.close_connection(handler.client)

    def is_stuck(self, client: str, unread: int, now: float) -> bool:
        """Whether this client's unread bytes have not become fewer for too long."""
        since, before = self.stuck_since.get(client, (now, 0))
        if not unread:
            self.stuck_since.pop(client, None)
            return False
        if unread < before or client not in self.stuck_since:
            since = now
        self.stuck_since[client] = (since, unread)
        return now - since >= self.unread_seconds
