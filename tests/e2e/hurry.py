"""A mitmproxy script, loaded before the addon: the deadlines for clients are short, so that tests can wait for them.

And every client's end takes a moment, as it does with a script that does something then: what is done now and again
meets connections that are half gone.
"""

from __future__ import annotations

import asyncio
import functools

from mitmproxy import connection

import addon.replay_layer
from addon.replay_layer import client_connection, connections

HEAD_SECONDS, BODY_SECONDS, UNREAD_SECONDS = 2.0, 2.0, 4.0

client_connection.HEAD_SECONDS, client_connection.BODY_SECONDS = HEAD_SECONDS, BODY_SECONDS
connections.LOOK_EVERY = 0.2
addon.replay_layer.Connections = functools.partial(  # type: ignore[misc, assignment]
    connections.Connections, unread_seconds=UNREAD_SECONDS
)


async def client_disconnected(client: connection.Client) -> None:
    await asyncio.sleep(2 * connections.LOOK_EVERY)
