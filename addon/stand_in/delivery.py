"""How an answer travels: when it starts, stalls, is cut."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import field
from typing import Literal

from addon.core.frozen import frozen


class Gate:
    """Something to wait for that a test opens from its own thread.

    `reached` is set as soon as an answer waits at it: `gate.reached.wait(5)`.
    """

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._opened: Future[None] = Future()

    def open(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    async def wait(self) -> None:
        self.reached.set()
        # Shielded: a client that leaves must not shut the gate for the others.
        await asyncio.shield(asyncio.wrap_future(self._opened))


type Wait = float | Gate
"""Seconds, or until the gate opens."""


async def wait(how_long: Wait) -> None:
    if isinstance(how_long, Gate):
        await how_long.wait()
    elif how_long > 0:
        await asyncio.sleep(how_long)


@frozen(kw_only=True)
class Delivery:
    """An "event" is one SSE event of a stream; a JSON body counts as a single one."""

    hold: Wait = 0.0
    """Stall before the head."""
    every: float = 0.0
    """Seconds between two events."""
    pause_after: int | None = None
    """Stall once this many events were sent (0: between head and first event)."""
    pause: Wait = 0.0
    cut: Literal["fin", "rst", "end"] | None = None
    """Break off: close, reset, or end the HTTP body properly although the content is not complete."""
    after_events: int | None = None
    after_bytes: int | None = None
    """Where to cut (body bytes, so mostly inside a chunk); neither given: before the head."""
    piece: int | None = None
    """Send each event in HTTP chunks of this many bytes."""
    framing: Literal["chunked", "length", "close"] | None = None
    """Default: streams chunked, JSON with a content-length. `close`: the end of the connection is the end."""
    close: bool = False
    """Close the connection after this answer, without saying so before: a stale keep-alive connection."""


@frozen(kw_only=True)
class Response:
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    parts: tuple[bytes, ...] = ()
    how: Delivery = field(default_factory=Delivery)
    stream: bool = False
