"""What a stream tells its client: the head, content, keepalives, and in the end one answer or one error."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from mitmproxy import http
from mitmproxy.flow import Error
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import DropStream, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
)
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook, HttpResponseHook

from addon.core.errors import CCProxyError
from addon.exchange.state import Exchange
from addon.replay_layer.deadlines import StreamTimers

if TYPE_CHECKING:
    from addon.replay_layer.layer import ReplayLayer

type Steps[T] = layer.CommandGenerator[T]


@dataclass
class LiveDataHook(commands.StartHook):
    """A local answer goes on: an addon puts its next bytes into the exchange's outbox, or none to end it."""

    flow: http.HTTPFlow


@dataclass
class Tick(events.Event):
    """The time has come at which the stream wanted to look at the clock."""


@dataclass
class GiveUp(events.Event):
    """The stream can't go on by itself: tell its client, and take nothing in any more."""

    error: CCProxyError


class Voice(HttpStream):
    exchange: Exchange

    def __init__(self, context: Context, stream_id: int, parent: ReplayLayer) -> None:
        super().__init__(context, stream_id)
        self.parent = parent
        self.clock = parent.clock
        now = self.clock()
        self.timers = StreamTimers(parent.timing, now, now, now)
        self.keeps_body = bool(context.options.store_streamed_bodies)
        """Asked once: mitmproxy makes a deep copy of an option's value each time."""
        self.due = inf
        """When it looks at the clock again."""
        self.early_head: http.Response | None = None
        self.ended = False
        """All has been written but the end itself, which waits for the last hook."""
        self.dropped = False
        """Given up: whatever still comes is none of its business."""

    @property
    def streaming(self) -> bool:
        return self.exchange.client.streaming

    @property
    def hook(self) -> commands.StartHook | None:
        """The hook whose end it waits for. A dashboard's may take as long as nothing happens."""
        waits_for = self._paused.command if self._paused else None
        if isinstance(waits_for, LiveDataHook) or not isinstance(waits_for, commands.StartHook):
            return None
        return waits_for

    # -- speaking -----------------------------------------------------------------------------------------------

    def schedule(self) -> Steps[None]:
        now = self.clock()
        self.due = now + self.timers.delay(now, audible=not self.ended and self.may_speak)
        yield from self.parent.wake_by(self.due)

    @property
    def may_speak(self) -> bool:
        return self.client_state == self.state_done and self.streaming

    def say_something(self) -> Steps[None]:
        client = self.exchange.client
        if not self.timers.committed:
            self.early_head = http.Response.make(200, b"", client.early_headers())
            yield from self.commit(self.early_head)
        yield from self.write(client.keepalive)

    def commit(self, head: http.Response) -> Steps[None]:
        self.timers.committed = True
        self.timers.last_sent = self.clock()
        head.headers.pop("content-length", None)
        head.headers["transfer-encoding"] = "chunked"
        yield SendHttp(ResponseHeaders(self.stream_id, head, end_stream=False), self.context.client)

    def write(self, data: bytes) -> Steps[None]:
        if data:
            self.timers.last_sent = self.clock()
            if self.keeps_body:
                self.response_body_buf += data
            yield SendHttp(ResponseData(self.stream_id, data), self.context.client)

    # -- ending -------------------------------------------------------------------------------------------------

    def finish(self, already_streamed: bool = False) -> Steps[None]:
        self.timers.awaiting_upstream = False
        self.ended = True
        self.parent.served.add(self.context.server)
        if already_streamed and self.keeps_body:
            assert self.flow.response
            self.flow.response.data.content = bytes(self.response_body_buf)
            self.response_body_buf.clear()
        yield from super().send_response(already_streamed)

    def fail(self, error: CCProxyError) -> Steps[None]:
        """Tell the client, once: with a status where nothing was sent yet, else with one event."""
        self.exchange.error = error
        if self.timers.committed:
            yield from self.fail_in_stream(error)
            return
        self.flow.response = self.error_response(error)
        yield from self.finish()

    def error_response(self, error: CCProxyError) -> http.Response:
        headers = self.exchange.error_headers(error)
        response = self.exchange.client.error_response(error, headers)
        response.timestamp_start = time.time()
        return response

    def fail_in_stream(self, error: CCProxyError) -> Steps[None]:
        yield from self.write_error(error)
        yield HttpErrorHook(self.flow)
        self.server_state = self.state_done
        self.flow.live = False
        yield DropStream(self.stream_id)
        # A protocol error here would close without the chunked terminator, and look like a cut.
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)

    def write_error(self, error: CCProxyError) -> Steps[None]:
        """The one event that ends a stream, and the flow as it then looks to people."""
        answer = self.exchange.answer
        yield from self.write(
            answer.fail(error) if answer else self.exchange.client.error_event(error)
        )
        self.ended = True
        self.flow.response = self.flow.response or self.early_head
        assert self.flow.response
        self.flow.response.data.content = bytes(self.response_body_buf)
        self.flow.response.timestamp_end = time.time()
        self.flow.error = Error(error.message)

    def give_up(self, error: CCProxyError) -> Steps[None]:
        """End it from outside, whatever it waits for: a hook that hangs, or this layer's own failure."""
        client, in_last_hook = self.context.client, _is_last(self.hook)
        self.dropped = True
        self._paused = None
        self._paused_event_queue.clear()
        if not self.timers.committed:
            self.exchange.error = error
            self.flow.response = self.error_response(error)
            self.flow.response.headers["connection"] = "close"
            content = self.flow.response.raw_content or b""
            head = ResponseHeaders(self.stream_id, self.flow.response, end_stream=False)
            yield SendHttp(head, client)
            yield SendHttp(ResponseData(self.stream_id, content), client)
        elif not self.ended:
            self.exchange.error = error
            yield from self.write_error(error)
        self.flow.live = False
        if in_last_hook:
            self.exchange.finished = True  # as far as it ever will be
        else:
            hook = HttpErrorHook(self.flow) if self.flow.error else HttpResponseHook(self.flow)
            hook.blocking = False  # nobody is left to wait for it
            yield hook
        yield SendHttp(ResponseEndOfMessage(self.stream_id), client)
        yield DropStream(self.stream_id)
        yield commands.CloseConnection(client)


def _is_last(hook: commands.StartHook | None) -> bool:
    return isinstance(hook, HttpErrorHook | HttpResponseHook)
