"""One attempt's answer on its way through: held back until there is content, then handed on as it comes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mitmproxy.proxy import events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._events import ResponseData, ResponseEndOfMessage

from addon.core.errors import BadGateway, CCProxyError
from addon.exchange.attempt import Phase
from addon.replay_layer.voice import Steps, Voice

if TYPE_CHECKING:
    from addon.replay_layer.layer import ReplayLayer

MAX_ANSWER = 64 << 20
"""Bytes of one answer: Claude's longest is some MB, and it is kept whole until its end."""
LINGER_SECONDS = 2.0
"""For upstream to end an answer whose last event has come."""


class Reading(Voice):
    def __init__(self, context: Context, stream_id: int, parent: ReplayLayer) -> None:
        super().__init__(context, stream_id, parent)
        self.held: list[bytes] = []
        """Bytes for the client that wait for the first content."""
        self.received = 0
        """Bytes of this attempt's answer."""

    @abstractmethod
    def attempt_failed(
        self, phase: Phase, error: CCProxyError, headers: Mapping[str, str] | None = None
    ) -> Steps[None]:
        """Try again where that is possible; else tell the client."""

    def start_response_stream(self) -> Steps[None]:
        # The base class would send the head now. An error event may still come before the first content, and
        # counts as a status as long as nothing was sent.
        self.server_state = self.state_hold
        yield from ()

    def state_hold(self, event: events.Event) -> Steps[None]:
        answer = self.exchange.answer
        assert answer
        data, at_end = self.read(event)
        self.held.append(data)
        if answer.error and not (answer.began and self.streaming):
            yield from self.attempt_failed(
                "after_content" if answer.began else "before_content", answer.error
            )
        elif at_end or (answer.began and self.streaming):
            yield from self.deliver(at_end)

    def deliver(self, at_end: bool) -> Steps[None]:
        self.timers.delivered = True
        self.exchange.first_content = self.clock()
        body = b"".join(self.held)
        self.held.clear()
        assert self.flow.response
        if not self.streaming:
            self.flow.response.raw_content = body
            self.flow.response.headers["content-length"] = str(len(body))
            yield from self.finish()
            return
        if self.early_head:
            attempt = self.exchange.attempts[-1]
            body = self.exchange.client.source_comment(attempt.source, attempt.reason) + body
        else:
            yield from self.commit(self.flow.response)
        self.server_state = self.state_stream_response_body
        yield from self.write(body)
        yield from self.after_data(at_end)

    def state_stream_response_body(self, event: events.Event) -> Steps[None]:
        data, at_end = self.read(event)
        yield from self.write(data)
        yield from self.after_data(at_end)

    def after_data(self, at_end: bool) -> Steps[None]:
        answer = self.exchange.answer
        assert answer
        if answer.error:
            yield from self.attempt_failed("after_content", answer.error)
        elif at_end:
            yield from self.finish(already_streamed=True)

    def read(self, event: events.Event) -> tuple[bytes, bool]:
        """The client's bytes for an upstream event, and whether it was the last one."""
        self.timers.last_received = self.clock()
        if isinstance(event, ResponseData):
            self.received += len(event.data)
            if self.received > MAX_ANSWER:
                return self.too_long(), False
            return self.translate(event.data), False
        at_end = isinstance(event, ResponseEndOfMessage)
        return (self.translate(None) if at_end else b""), at_end

    def translate(self, data: bytes | None) -> bytes:
        answer = self.exchange.answer
        assert answer
        return answer.close() if data is None else answer.feed(data)

    def too_long(self) -> bytes:
        answer = self.exchange.answer
        assert answer
        answer.break_off(
            BadGateway(f"The answer is longer than {MAX_ANSWER} bytes.", code="upstream_invalid")
        )
        return b""

    def lingers(self, now: float) -> bool:
        """Whether all of the answer is here, but upstream does not end it."""
        answer = self.exchange.answer
        waits = self.timers.awaiting_upstream and answer is not None and answer.complete
        return waits and now >= self.timers.last_received + LINGER_SECONDS
