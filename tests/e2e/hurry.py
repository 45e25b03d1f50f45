"""A mitmproxy script, loaded before the addon: the deadlines for clients are short, so that tests can wait for them,
and so are the times between two looks and two saves, and the one for what runs when the proxy is stopped.

And every client's end takes a moment, as it does with a script that does something then: what is done now and again
meets connections that are half gone.
"""

from __future__ import annotations

import asyncio
import functools

from mitmproxy import connection
from mitmproxy.addonmanager import Loader

import addon.addons.notifications
import addon.addons.shutdown
import addon.replay_layer
from addon.replay_layer import client_connection, connections
from addon.usage.store import UsageStore

HEAD_SECONDS, BODY_SECONDS, UNREAD_SECONDS = 2.0, 2.0, 4.0
GRACE_SECONDS = 5.0
LOOK_SECONDS = 0.2
HURRY = ["-s", __file__]
"""For a `Proxy`'s `first`."""


def load(loader: Loader) -> None:
    """Here, since tests import this for its figures, and must not be changed by it themselves."""
    client_connection.HEAD_SECONDS, client_connection.BODY_SECONDS = HEAD_SECONDS, BODY_SECONDS
    connections.LOOK_EVERY = 0.2
    addon.addons.shutdown.GRACE_SECONDS = GRACE_SECONDS
    addon.addons.notifications.LOOK_EVERY = LOOK_SECONDS
    UsageStore.__init__.__kwdefaults__["interval"] = LOOK_SECONDS
    addon.replay_layer.Connections = functools.partial(  # type: ignore[misc, assignment]
        connections.Connections, unread_seconds=UNREAD_SECONDS
    )


async def client_disconnected(client: connection.Client) -> None:
    await asyncio.sleep(2 * connections.LOOK_EVERY)
