"""Sends events to every open dashboard, as server-sent events.

If a page reads too slowly, its events are dropped rather than kept in memory. It then gets one `resync` event, and
fetches everything again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Literal

from addon.core.errors import RateLimited
from addon.core.json_codec import dumps
from addon.core.types import JsonObject

type EventName = Literal["request", "totals", "windows", "budget", "conversations", "resync"]
"""`request`: one row of `/analytics/requests`. `windows`, `budget`, `conversations`: the part of `/dashboard/data` with
that name. `totals`, `resync`: no content; fetch `/dashboard/data` again."""

QUEUE_SIZE = 64
MAX_SUBSCRIBERS = 32
KEEPALIVE_SECONDS = 15.0
COMMENT = b": still here\n\n"
"""Tunnels close a connection after about a minute without data."""


class Subscription:
    """The events for one page, from `LiveHub.subscribe` until `close`."""

    def __init__(self, hub: LiveHub) -> None:
        self._hub = hub
        self._frames: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, frame: bytes) -> None:
        if len(self._frames) >= QUEUE_SIZE:
            self._frames.clear()
            frame = event_frame("resync", {})
        self._frames.append(frame)
        self._changed.set()

    def pending(self) -> bytes:
        """All frames since the last call; b"" if there are none."""
        frames = b"".join(self._frames)
        self._frames.clear()
        self._changed.clear()
        return frames

    async def frames(self, keepalive: float = KEEPALIVE_SECONDS) -> AsyncIterator[bytes]:
        """Frames as they arrive, and a comment after `keepalive` seconds without any, until closed."""
        while True:
            try:
                await asyncio.wait_for(self._changed.wait(), keepalive)
            except TimeoutError:
                yield COMMENT
                continue
            closed = self._closed
            if frames := self.pending():
                yield frames
            if closed:
                return

    def close(self) -> None:
        """May be called twice."""
        self._closed = True
        self._changed.set()
        self._hub.discard(self)


class LiveHub:
    """Call `publish` from the event loop; it costs nothing while no page is open."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def subscribe(self) -> Subscription:
        """Raises `RateLimited` if too many pages are open."""
        if len(self._subscriptions) >= MAX_SUBSCRIBERS:
            raise RateLimited(f"{MAX_SUBSCRIBERS} dashboards are open already. Close one of them.")
        subscription = Subscription(self)
        self._subscriptions.add(subscription)
        return subscription

    def discard(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    @property
    def watched(self) -> bool:
        """Whether any page is open. If not, callers need not create events."""
        return bool(self._subscriptions)

    def publish(self, event: EventName, data: JsonObject) -> None:
        if not self._subscriptions:
            return
        frame = event_frame(event, data)
        for subscription in self._subscriptions:
            subscription.put(frame)

    def close(self) -> None:
        """End every stream. The pages reconnect by themselves when the proxy runs again."""
        for subscription in [*self._subscriptions]:
            subscription.close()


def event_frame(event: EventName, data: JsonObject) -> bytes:
    # JSON contains no raw line breaks, so the data is always one line.
    return b"event: %s\ndata: %s\n\n" % (event.encode(), dumps(data))
