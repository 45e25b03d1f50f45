"""A mitmproxy script, loaded before the addon: mitmproxy loses word of each upstream connection that closes.

So it is when the task that reads a connection is cancelled while it waits for its turn.
"""

from __future__ import annotations

import asyncio

from mitmproxy.connection import Server
from mitmproxy.proxy import events
from mitmproxy.proxy.server import ConnectionHandler

server_event = ConnectionHandler.server_event


async def lossy(self: ConnectionHandler, event: events.Event) -> None:
    task = asyncio.current_task()
    reading = task is not None and "server connection handler" in task.get_name()
    closes = isinstance(event, events.ConnectionClosed) and isinstance(event.connection, Server)
    if closes and reading and not getattr(task, "lost", False):
        setattr(task, "lost", True)  # noqa: B010 - a task declares no such attribute
        raise asyncio.CancelledError
    await server_event(self, event)


ConnectionHandler.server_event = lossy  # type: ignore[method-assign]
