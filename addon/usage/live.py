"""What has just happened, to every open dashboard, as server-sent events.

A page that reads too slowly loses events instead of holding memory; it is told so by one `resync` event and then
fetches everything anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Literal

from addon.core.errors import RateLimited
from addon.core.types import STDLIB, Codec, JsonObject

type EventName = Literal["request", "totals", "windows", "budget", "conversations", "resync"]
"""`request`: one row as in `/analytics/requests`. `windows`, `budget`, `conversations`: those parts of
`/dashboard/data`, under its names. `totals`, `resync`: nothing in them; fetch `/dashboard/data` again."""

QUEUE_SIZE = 64
MAX_SUBSCRIBERS = 32
KEEPALIVE_SECONDS = 15.0
COMMENT = b": still here\n\n"
"""Tunnels cut a connection on which nothing moves for about a minute."""


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
            frame = event_frame("resync", {}, STDLIB)
        self._frames.append(frame)
        self._changed.set()

    def pending(self) -> bytes:
        """All frames since the last call, or b""; for a caller that is driven by its own timer."""
        frames = b"".join(self._frames)
        self._frames.clear()
        self._changed.clear()
        return frames

    async def frames(self, keepalive: float = KEEPALIVE_SECONDS) -> AsyncIterator[bytes]:
        """Frames as they come, and a comment after `keepalive` seconds of silence, until closed."""
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
    """`publish` from anywhere on the event loop; costs nothing while no page is open."""

    def __init__(self, codec: Codec = STDLIB) -> None:
        self._subscriptions: set[Subscription] = set()
        self._codec = codec

    def subscribe(self) -> Subscription:
        """Raises `RateLimited` when too many pages are open."""
        if len(self._subscriptions) >= MAX_SUBSCRIBERS:
            raise RateLimited(f"{MAX_SUBSCRIBERS} dashboards are open already: close one of them")
        subscription = Subscription(self)
        self._subscriptions.add(subscription)
        return subscription

    def discard(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    @property
    def watched(self) -> bool:
        """Whether any page is open: a caller can save the work of making an event."""
        return bool(self._subscriptions)

    def publish(self, event: EventName, data: JsonObject) -> None:
        if not self._subscriptions:
            return
        frame = event_frame(event, data, self._codec)
        for subscription in self._subscriptions:
            subscription.put(frame)

    def close(self) -> None:
        """End every page's stream; the pages come back by themselves when the proxy does."""
        for subscription in [*self._subscriptions]:
            subscription.close()


def event_frame(event: EventName, data: JsonObject, codec: Codec) -> bytes:
    # JSON has no raw line break, so the data is always one line.
    return b"event: %s\ndata: %s\n\n" % (event.encode(), codec.dumps(data))
