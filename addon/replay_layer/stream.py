"""One request and its answer, over as many attempts as it takes."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from math import inf
from typing import Any

from mitmproxy import http
from mitmproxy.flow import Error
from mitmproxy.net.http.validate import validate_headers
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import DropStream, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook, HttpResponseHook

from addon.core.errors import BadGateway, CCProxyError
from addon.exchange.attempt import Attempt, Failure, Phase
from addon.exchange.http_messages import copy_head, lowered
from addon.exchange.state import Exchange, LocalStream
from addon.replay_layer.deadlines import StreamTimers
from addon.replay_layer.errors import (
    CLOSING,
    IDLE,
    disconnected,
    hanging,
    killed,
    unapproved,
)
from addon.replay_layer.events import (
    GiveUp,
    LiveDataHook,
    Steps,
    StreamOwner,
    Tick,
    UpstreamFailedHook,
)

logger = logging.getLogger(__name__)

MAX_ANSWER = 64 << 20
"""Bytes of one answer: Claude's longest is some MB, and it is kept whole until its end."""
LINGER_SECONDS = 2.0
"""For upstream to end an answer whose last event has come."""
MAX_ERROR_BODY = 1 << 20
"""Bytes of an upstream error that are read; Anthropic's are a few hundred."""
RESPONSE_EVENTS = (
    ResponseData, ResponseHeaders, ResponseTrailers, ResponseEndOfMessage, ResponseProtocolError,
)  # fmt: skip
UNREAD_BODY = 64 * 1024
"""Bytes of a refused request's body that are still read."""


class ReplayStream(HttpStream):
    exchange: Exchange

    def __init__(self, context: Context, stream_id: int, owner: StreamOwner) -> None:
        super().__init__(context, stream_id)
        self.owner = owner
        self.clock = owner.clock
        now = self.clock()
        self.timers = StreamTimers(owner.timing, now, now, now)
        self.keeps_body = bool(context.options.store_streamed_bodies)
        """Asked once: mitmproxy makes a deep copy of an option's value each time."""
        self.due = inf
        """When it looks at the clock again."""
        self.early_head: http.Response | None = None
        self.ended = False
        """All has been written but the end itself, which waits for the last hook."""
        self.dropped = False
        """Given up: whatever still comes is none of its business."""
        self.held: list[bytes] = []
        """Bytes for the client that wait for the first content."""
        self.received = 0
        """Bytes of this attempt's answer."""

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

    # -- what comes in ------------------------------------------------------------------------------------------

    def handle_event(self, event: events.Event) -> Steps[None]:
        # A tick is handled at once, even while the stream is paused in a hook (summarizing, refreshing, waiting):
        # the base class would queue it until the hook is done.
        if self.dropped:
            return
        if isinstance(event, Tick):
            yield from self.tick()
        elif isinstance(event, GiveUp):
            yield from self.give_up(event.error)
        else:
            yield from super().handle_event(event)

    def _handle_event(self, event: events.Event) -> Steps[None]:
        if not isinstance(event, RESPONSE_EVENTS):
            yield from super()._handle_event(event)
        elif self.timers.awaiting_upstream:
            if isinstance(event, ResponseProtocolError):
                yield from self.handle_protocol_error(event)
            else:
                yield from self.server_state(event)
        # else: the rest of what came along with the reason for giving the attempt up

    def state_wait_for_request_headers(self, event: RequestHeaders) -> Steps[None]:
        yield from self.schedule()
        yield from super().state_wait_for_request_headers(event)
        waiting = self.client_state == self.state_consume_request_body
        if waiting and self.flow.response and not event.end_stream and _is_large(event.request):
            yield from self.refuse_unread(self.flow.response)

    def refuse_unread(self, response: http.Response) -> Steps[None]:
        """Refused on its headers alone: mitmproxy would first read the whole body, of whoever sends it."""
        self.ended = True
        self.client_state = self.server_state = self.state_errored
        response.headers["connection"] = "close"
        response.timestamp_start = response.timestamp_end = time.time()
        yield HttpResponseHook(self.flow)
        self.flow.live = False
        client = self.context.client
        yield SendHttp(ResponseHeaders(self.stream_id, response, end_stream=False), client)
        yield SendHttp(ResponseData(self.stream_id, response.raw_content or b""), client)
        yield DropStream(self.stream_id)
        yield commands.CloseConnection(client)

    def state_consume_request_body(self, event: events.Event) -> Steps[None]:
        if isinstance(event, RequestEndOfMessage):
            self.timers.complete_at = self.timers.last_sent = self.clock()
            yield from self.schedule()
        yield from super().state_consume_request_body(event)

    def state_wait_for_response_headers(self, event: ResponseHeaders) -> Steps[None]:
        # The head becomes ours, while the connection reads from its own when the body ends and whether it can serve
        # the next request: with one object for both, every answer that isn't streamed cost a new connection.
        event.response = copy_head(event.response)
        yield from super().state_wait_for_response_headers(event)

    def check_invalid(self, request: bool) -> Steps[bool]:
        if request:  # the first thing that the base class does with a new flow, before any hook
            self.exchange = self.owner.exchanges.begin(self.flow)
            return (yield from super().check_invalid(True))
        assert self.flow.response
        try:
            validate_headers(self.flow.response)
        except ValueError:
            yield from self.attempt_failed(
                "before_headers", BadGateway("Anthropic's answer has malformed headers.")
            )
            return True
        return False

    def check_body_size(self, request: bool) -> Steps[bool]:
        if request:
            return (yield from super().check_body_size(True))
        if len(self.response_body_buf) <= MAX_ERROR_BODY:
            return False
        yield from self.attempt_failed(
            "before_headers", BadGateway("Anthropic's answer is too large.")
        )
        return True

    # -- sending an attempt -------------------------------------------------------------------------------------

    def make_server_connection(self) -> Steps[bool]:
        """Send the approved attempt. Always False, which tells the base class to send nothing itself."""
        attempt, closing = self.exchange.take_approved(), self.owner.exchanges.closing
        if attempt is None or closing is not None:
            yield from self.fail(closing or self.exchange.error or unapproved())
            return False
        self.exchange.attempts.append(attempt)
        _show(self.flow.request, attempt)
        self.timers.connecting_since = self.clock()
        connected = yield from super().make_server_connection()
        self.timers.connecting_since = None
        # The client may have left, or a deadline passed, while the connection was made.
        if connected and not self.ended and not (yield from self.check_killed(True)):
            yield from self.send(attempt)
        return False

    def send(self, attempt: Attempt) -> Steps[None]:
        request = copy_head(self.flow.request)
        request.headers[attempt.auth[0]] = attempt.auth[1]
        server = self.context.server
        self.timers.awaiting_upstream = True
        self.timers.last_received = self.clock()
        self.server_state = self.state_wait_for_response_headers
        yield SendHttp(RequestHeaders(self.stream_id, request, not attempt.body), server)
        if attempt.body:
            yield SendHttp(RequestData(self.stream_id, attempt.body), server)
        yield SendHttp(RequestEndOfMessage(self.stream_id), server)

    def send_response(self, already_streamed: bool = False) -> Steps[None]:
        """Called by the base class with a whole response: an addon's own, or an upstream error."""
        assert self.flow.response
        if self.exchange.attempts:
            yield from self.upstream_refused(self.flow.response)
        elif self.timers.committed:
            yield from self.fail(self.exchange.error or unapproved())
        elif self.exchange.local_stream is not None:
            yield from self.send_live(self.flow.response, self.exchange.local_stream)
        else:
            yield from self.finish()

    def send_live(self, head: http.Response, local: LocalStream) -> Steps[None]:
        yield from self.commit(head)
        while True:
            yield LiveDataHook(self.flow)
            if (yield from self.check_killed(True)):
                self.ended = True
                return
            data, local.outbox = local.outbox, b""
            if not data:
                break
            yield from self.write(data)
        yield from self.finish(already_streamed=True)

    # -- its answer --------------------------------------------------------------------------------------------------

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
            told = self.exchange.client.source_comment(
                attempt.source, attempt.reason, attempt.thinking_change
            )
            body = told + body
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

    # -- when it fails ------------------------------------------------------------------------------------------

    def upstream_refused(self, response: http.Response) -> Steps[None]:
        self.timers.awaiting_upstream = False
        headers = lowered(response.headers)
        status = response.status_code
        error = self.exchange.client.upstream_error(status, response.raw_content or b"", headers)
        if status < 400:  # a redirect, an empty answer, or one that no addon has taken on
            error = BadGateway(
                f"Anthropic's answer ({status}) can't be read.", code="upstream_invalid"
            )
        yield from self.attempt_failed("before_headers", error, headers)

    def handle_protocol_error(
        self, event: RequestProtocolError | ResponseProtocolError
    ) -> Steps[None]:
        answer = self.exchange.answer
        if (
            isinstance(event, RequestProtocolError)
            or self.client_state == self.state_errored
            or self.ended
        ):
            self.ended = True
            yield from super().handle_protocol_error(event)
        elif answer and answer.complete:
            yield from self.leave_upstream(reusable=False)
            yield from (
                self.state_hold
                if self.server_state == self.state_hold
                else self.state_stream_response_body
            )(ResponseEndOfMessage(self.stream_id))
        else:
            yield from self.attempt_failed(self.phase(event), disconnected(event))

    def phase(self, event: ResponseProtocolError) -> Phase:
        if event.code is ErrorCode.CONNECT_FAILED:
            return "connect"
        answer = self.exchange.answer
        if answer is None:
            return "before_headers"
        return "after_content" if answer.began else "before_content"

    def attempt_failed(
        self, phase: Phase, error: CCProxyError, headers: Mapping[str, str] | None = None
    ) -> Steps[None]:
        exchange = self.exchange
        attempt = exchange.attempts[-1]
        attempt.outcome = str(error.status) if headers else error.code or str(error.status)
        exchange.failure = Failure(
            attempt=attempt,
            phase=phase,
            error=error,
            headers=headers or {},
            answered=phase == "before_content" or headers is not None,
            reused=self.context.server in self.owner.served,
        )
        yield from self.leave_upstream(reusable=bool(headers))
        if self.owner.exchanges.closing is not None:
            exchange.error = self.owner.exchanges.closing
        elif not self.timers.delivered:
            self.forget_attempt()
            yield UpstreamFailedHook(self.flow)
            self.forget_queued()
            if (yield from self.check_killed(True)):
                self.ended = True
                return
        if exchange.approved:
            yield from self.make_server_connection()
        else:
            yield from self.fail(exchange.error or error)

    def leave_upstream(self, *, reusable: bool) -> Steps[None]:
        """`reusable`: the answer was read to its end, so the connection can serve the next attempt."""
        self.timers.awaiting_upstream = False
        if reusable:
            self.owner.served.add(self.context.server)
        else:
            yield from self.owner.abandon(self.context.server)

    def forget_queued(self) -> None:
        """The rest of the failed answer came while the hook ran; the next attempt would take it for its own."""
        kept = [e for e in self._paused_event_queue if not isinstance(e, RESPONSE_EVENTS)]
        self._paused_event_queue.clear()
        self._paused_event_queue.extend(kept)

    def forget_attempt(self) -> None:
        self.flow.response = self.flow.error = None
        self.exchange.answer = None
        self.held.clear()
        self.received = 0
        self.response_body_buf.clear()

    # -- speaking -----------------------------------------------------------------------------------------------

    def schedule(self) -> Steps[None]:
        now = self.clock()
        self.due = now + self.timers.delay(now, audible=not self.ended and self.may_speak)
        yield from self.owner.wake_by(self.due)

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
        self.owner.served.add(self.context.server)
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

    # -- watching the clock --------------------------------------------------------------------------------------

    def tick(self) -> Steps[None]:
        self.due = inf
        if not self.flow.live:
            yield from self.notice_kill()
            return
        now = self.clock()
        hook = self.hook
        if self.timers.hook_hangs(hook, now) and hook is not None:
            logger.error("The hook %s hangs; its request was given up.", hook.name)
            yield from self.give_up(hanging())
            return
        if not self.ended and self.client_state != self.state_errored:
            yield from self.look(now)
        yield from self.schedule()

    def notice_kill(self) -> Steps[None]:
        """Someone in mitmweb has killed or deleted the flow: mitmproxy notes that, and lets it run."""
        error, told = self.flow.error, self.ended or self.client_state == self.state_errored
        if error is not None and error.msg == Error.KILLED_MESSAGE and not told:
            yield from self.leave_upstream(reusable=False)
            yield from self.give_up(killed())

    def look(self, now: float) -> Steps[None]:
        """Whatever is due now."""
        closing, waiting = self.owner.exchanges.closing, self.timers.connecting_since is not None
        if closing is not None and self.exchange.local_stream is None and (self.hook or waiting):
            yield from self.give_up(closing)
        elif self.timers.connecting_too_long(now):
            yield from self.owner.abort_connecting()
        elif closing is not None and self.timers.awaiting_upstream:
            end = ResponseProtocolError(self.stream_id, CLOSING, ErrorCode.GENERIC_SERVER_ERROR)
            yield from super().handle_event(end)
        elif self.timers.upstream_silent_too_long(now) or self.lingers(now):
            silence = ResponseProtocolError(self.stream_id, IDLE, ErrorCode.GENERIC_SERVER_ERROR)
            yield from super().handle_event(silence)
        elif self.streaming and self.timers.word_due(now):
            yield from self.say_something()


def _is_large(request: http.Request) -> bool:
    """Too large to be read for nothing; a small body is read, so that the connection can serve the next request."""
    length = request.headers.get("content-length", "")
    return not length.isdecimal() or int(length) > UNREAD_BODY


def _show(request: http.Request, attempt: Attempt) -> None:
    """Make the flow's request the one that is sent, but for the credential."""
    data: Any = request.data
    data.scheme, data.host, data.port = attempt.scheme.encode(), attempt.host, attempt.port
    data.authority, data.path, data.http_version = b"", attempt.path.encode(), b"HTTP/1.1"
    data.headers = http.Headers(
        [(name.encode(), value.encode()) for name, value in attempt.headers]
    )
    data.content, data.trailers = attempt.body, None
    request.headers["content-length"] = str(len(attempt.body))


def _is_last(hook: commands.StartHook | None) -> bool:
    return isinstance(hook, HttpErrorHook | HttpResponseHook)
