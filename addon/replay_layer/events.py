"""The replay layer's own events and hooks, and what a stream may ask of the layer that owns it.

They are apart from the stream and the layer, so that neither imports the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self
from weakref import WeakSet

from mitmproxy import http
from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events, layer

from addon.core.errors import CCProxyError
from addon.exchange.state import Exchanges
from addon.replay_layer.deadlines import Timing

type Steps[T] = layer.CommandGenerator[T]
"""What a handler yields: commands for mitmproxy, which sends back the result of a blocking one."""


@dataclass(eq=False, repr=False)
class UpstreamFailedHook(commands.StartHook):
    """The last attempt failed and nothing of its response was delivered: an addon may approve another one."""

    flow: http.HTTPFlow


@dataclass(eq=False, repr=False)
class UpstreamPausedHook(commands.StartHook):
    """The last attempt's response is the exchange's `paused`: an addon may approve an attempt that goes on with it."""

    flow: http.HTTPFlow


@dataclass(eq=False, repr=False)
class LiveDataHook(commands.StartHook):
    """A local response goes on: an addon puts its next bytes into the exchange's outbox, or none to end it."""

    flow: http.HTTPFlow


@dataclass(eq=False, repr=False)
class Unfinished:
    """A hook that was run at once up to its first wait, and the task that goes on with it."""

    hook: commands.StartHook
    task: asyncio.Task[None]


@dataclass(eq=False, repr=False)
class UnfinishedHook(commands.StartHook):
    """Asks mitmproxy to wait for a hook: it completes when the task has ended."""

    unfinished: Unfinished

    @classmethod
    def of(cls, hook: commands.StartHook, task: asyncio.Task[None]) -> Self:
        made = cls(Unfinished(hook, task))
        made.blocking = hook.blocking  # the stream, which waits; the layers around it don't
        return made


@dataclass(eq=False, repr=False)
class Tick(events.Event):
    """The time has come at which the stream wanted to look at the clock."""


@dataclass(eq=False, repr=False)
class Failed(events.Event):
    """The layer has failed outside of `handle_event`."""


@dataclass(eq=False, repr=False)
class GiveUp(events.Event):
    """The stream can't continue by itself: it tells its client, and ignores everything that still comes."""

    error: CCProxyError


class StreamOwner(Protocol):
    """What a stream uses of the layer that owns it."""

    exchanges: Exchanges
    timing: Timing
    clock: Callable[[], float]
    served: WeakSet[Connection]
    """Upstream connections that have served a request: a failure on one may only mean that it was stale."""

    def wake_by(self, due: float) -> Steps[None]:
        """Send the stream a `Tick` by then."""

    def abandon(self, connection: Connection) -> Steps[None]:
        """Close an upstream connection and ignore what still comes from it."""

    def abort_connecting(self, stream: layer.Layer) -> Steps[None]:
        """Give up the connection that `stream` waits for; it gets an error."""

    def close_client(self) -> Steps[None]:
        """Close the client's connection, after all that was written."""

    @property
    def by_websocket(self) -> bool:
        """Whether the client's connection is a WebSocket."""
