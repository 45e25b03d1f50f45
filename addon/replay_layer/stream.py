"""The state machine of one request and its response, over as many attempts as it takes.

Theory of operation
===================

mitmproxy's `HttpStream` is two state machines: `client_state` says how much of the request was read, `server_state`
how much of the response. It sends one request upstream and passes the response on as it comes. `ReplayStream` adds a
third, `stage`, because with retries, held responses and deadlines those two don't say what may happen next:

    RECEIVING   the client's request is coming in
    PREPARING   addons decide what is sent: first in `request`, later in `upstream_failed` and `upstream_paused`
    CONNECTING  an approved attempt waits for a connection to upstream
    AWAITING    the attempt was sent; upstream's head is awaited, or the body of an error is read
    HOLDING     a stream is coming in, and nothing of it was sent to the client: an error event may still come before
                the first content, and counts as a status as long as nothing was sent
    STREAMING   content of this attempt was sent to the client: it is not tried again
    LIVE        this proxy's own response without an end goes out (the dashboard's events)
    ENDED       everything is written but the end itself, which waits for the last hook; or nobody is left to write to
    GIVEN_UP    the stream was ended from outside; whatever still comes is ignored

One thing does not depend on the stage: whether the client was sent a head (`self.head`). A client that reads a stream
and waits is sent a 200 and keepalives in any stage from PREPARING to HOLDING. A failure before the head is a status;
after it, one event in the stream; it never looks like a good end.

What happens, and where it leads (`TRANSITIONS` has the same without the reasons, and `enter` holds the code to it):

    RECEIVING   the request is complete                                 PREPARING
                refused on its headers alone, or too large              ENDED
    PREPARING   an attempt was approved                                 CONNECTING
                `request` left a response: with an end; without         ENDED; LIVE
                nothing was approved: the client is told the error      ENDED
    CONNECTING  connected: the attempt is sent                          AWAITING
                refused, or not connected in time                       PREPARING or ENDED, as below
    AWAITING    the head of a stream that an addon has taken on         HOLDING
                another response, read to its end; cut, or silence      PREPARING or ENDED, as below
    HOLDING     the first content, for a client that reads a stream     STREAMING
                the end of the response                                 ENDED, or as below
                an error event; cut, or silence                         PREPARING or ENDED, as below
    STREAMING   the end of the response                                 ENDED, or as below
                an error event; cut, or silence                         ENDED
    LIVE        the addon has no more data                              ENDED
    any         the client has left, or the flow was killed in a hook   ENDED
    any         `GiveUp`; a hook that hangs; the flow was killed        GIVEN_UP
                between hooks; the proxy is shutting down while a
                hook runs or a connection is made

A failed attempt is handed to the addons with `upstream_failed` (PREPARING), and the attempt that they approve is sent
(CONNECTING); if they approve none, or the proxy is shutting down, the client is told the error (ENDED). In the same way
`upstream_paused` is for a response to be gone on with (`AnswerStream.paused`); the client gets all parts as one.

Events
------

Events come from the layer: HTTP events of both connections, completed commands, and our own `Tick` and `GiveUp`. A
command that blocks (a hook, a connection) pauses the stream: the base class queues what comes meanwhile and handles it
afterwards. `Tick` and `GiveUp` are never queued, because deadlines run in a hook, too. Hence two rules:

* After each hook and each connection, look whether the client has left meanwhile (`check_killed` looks into the queue),
  before anything is sent.
* After a hook that follows a failure, drop what is left of the failed response from the queue: both attempts have the
  same stream id.

Every stage that waits for upstream has a deadline, which starts when the stage is entered (`enter`, `StreamTimers`).

Why each override of mitmproxy exists
-------------------------------------

    handle_event                     the base class would queue ticks while a hook runs
    _handle_event                    chooses by stage what becomes of an upstream event
    state_wait_for_request_headers   the base class reads a body that was already refused, of whoever sends it
    state_consume_request_body       marks the end of RECEIVING
    state_wait_for_response_headers  the connection and the flow would share one response object, which we change
    check_invalid, check_body_size   retry after a bad response; `check_invalid` is where the exchange begins
    check_killed                     what the base class has ended is ENDED here, too
    make_server_connection           sends nothing without an approval; puts the credential on a copy
    start_response_stream            the base class would send the head at once; we hold it until there is content
    send_response                    the base class would pass upstream's errors on; they are attempts that failed
    flow_done                        the base class would close the connection after a 101, which begins a WebSocket
    handle_protocol_error            a failed connection ends the attempt, not the stream
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from enum import Enum, auto
from math import inf

from mitmproxy import http
from mitmproxy.connection import Server
from mitmproxy.flow import Error
from mitmproxy.net.http.http1 import expected_http_body_size
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
from mitmproxy.utils.human import parse_size

from addon.core.errors import BadGateway, CCProxyError, TooLarge
from addon.core.types import Phase
from addon.exchange.answer import AnswerStream
from addon.exchange.attempt import Attempt, Failure
from addon.exchange.http_messages import copy_head, encoded, lowered, quicken
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
    UpstreamPausedHook,
)

logger = logging.getLogger(__name__)

MAX_ANSWER = 64 << 20
"""Bytes of one response: Claude's longest is some MB, and it is kept whole until its end."""
MAX_ERROR_BODY = 1 << 20
"""Bytes of an upstream error that are read; Anthropic's are a few hundred."""
UNREAD_BODY = 64 * 1024
"""Bytes of a refused request's body that are still read, and thrown away, so that the connection can serve the next
request."""
RESPONSE_EVENTS = (
    ResponseData, ResponseHeaders, ResponseTrailers, ResponseEndOfMessage, ResponseProtocolError,
)  # fmt: skip


class Stage(Enum):
    """How far a stream has come. See the module's docstring."""

    RECEIVING = auto()
    PREPARING = auto()
    CONNECTING = auto()
    AWAITING = auto()
    HOLDING = auto()
    STREAMING = auto()
    LIVE = auto()
    ENDED = auto()
    GIVEN_UP = auto()


FROM_UPSTREAM = (Stage.AWAITING, Stage.HOLDING, Stage.STREAMING)
"""Stages in which upstream's events are of interest."""
SILENT = (Stage.RECEIVING, Stage.ENDED)
"""Stages in which the client is sent no keepalives."""
TRANSITIONS = {
    Stage.RECEIVING: (Stage.PREPARING, Stage.ENDED, Stage.GIVEN_UP),
    Stage.PREPARING: (Stage.CONNECTING, Stage.LIVE, Stage.ENDED, Stage.GIVEN_UP),
    Stage.CONNECTING: (Stage.AWAITING, Stage.PREPARING, Stage.ENDED, Stage.GIVEN_UP),
    Stage.AWAITING: (Stage.HOLDING, Stage.PREPARING, Stage.ENDED, Stage.GIVEN_UP),
    Stage.HOLDING: (Stage.STREAMING, Stage.PREPARING, Stage.ENDED, Stage.GIVEN_UP),
    Stage.STREAMING: (Stage.PREPARING, Stage.ENDED, Stage.GIVEN_UP),
    Stage.LIVE: (Stage.ENDED, Stage.GIVEN_UP),
    Stage.ENDED: (Stage.ENDED, Stage.GIVEN_UP),
    Stage.GIVEN_UP: (),
}


class ReplayStream(HttpStream):
    """One flow: a request, its attempts and its response."""

    exchange: Exchange

    def __init__(self, context: Context, stream_id: int, owner: StreamOwner) -> None:
        super().__init__(context, stream_id)
        self.owner = owner
        self.clock = owner.clock
        self.stage = Stage.RECEIVING
        self.timers = StreamTimers(timing=owner.timing, complete_at=self.clock())
        self.due = inf
        """When it looks at the clock again."""
        self.head: http.Response | None = None
        """The head that the client was sent; from then on a failure is an event."""
        self.held: list[bytes] = []
        """Bytes for the client that wait for the first content."""
        self.received = 0
        """Bytes of this attempt's response."""
        self.keeps_body = bool(context.options.store_streamed_bodies)
        """Asked once: mitmproxy makes a deep copy of an option's value each time."""

    def enter(self, stage: Stage) -> None:
        """Every change of the stage. A deadline of the new stage starts now, one of the old stage is off."""
        assert stage in TRANSITIONS[self.stage], f"{self.stage} → {stage}"
        now = self.clock()
        self.stage = stage
        self.timers.connecting_since = now if stage is Stage.CONNECTING else None
        self.timers.last_received = now if stage in FROM_UPSTREAM else None

    @property
    def streaming(self) -> bool:
        """The client reads a stream."""
        return self.exchange.client.streaming

    @property
    def hook(self) -> commands.StartHook | None:
        """The hook whose end it waits for. A dashboard's may take as long as nothing happens."""
        waits_for = self._paused.command if self._paused else None
        if isinstance(waits_for, LiveDataHook) or not isinstance(waits_for, commands.StartHook):
            return None
        return waits_for

    # -- dispatch -----------------------------------------------------------------------------------------------

    def handle_event(self, event: events.Event) -> Steps[None]:
        if self.stage is Stage.GIVEN_UP:
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
        elif self.stage not in FROM_UPSTREAM:
            return  # the rest of what came along with the reason for giving the attempt up
        elif isinstance(event, ResponseProtocolError):
            yield from self.handle_protocol_error(event)
        elif self.stage is Stage.AWAITING:
            yield from self.server_state(event)
        else:
            yield from self.take_content(event)

    # -- RECEIVING: the request ---------------------------------------------------------------------------------

    def state_wait_for_request_headers(self, event: RequestHeaders) -> Steps[None]:
        yield from self.schedule()
        yield from super().state_wait_for_request_headers(event)
        if self.client_state != self.state_consume_request_body or event.end_stream:
            return
        size = expected_http_body_size(event.request)
        if self.flow.response:
            if size is None or size > UNREAD_BODY:
                yield from self.refuse_unread(self.flow.response)
        elif size is not None and size > self.exchange.most_body:
            yield from self.refuse_large()

    def refuse_large(self) -> Steps[None]:
        message = f"The body of this request may have {self.exchange.most_body} bytes."
        self.exchange.refuse(self.flow, TooLarge(message))
        assert self.flow.response
        yield from self.refuse_unread(self.flow.response)

    def refuse_unread(self, response: http.Response) -> Steps[None]:
        """Refused before its body has come: mitmproxy would first read all of it, of whoever sends it."""
        self.enter(Stage.ENDED)
        self.client_state = self.server_state = self.state_errored
        response.headers["connection"] = "close"
        response.timestamp_start = response.timestamp_end = time.time()
        yield HttpResponseHook(self.flow)
        self.flow.live = False
        client = self.context.client
        yield SendHttp(ResponseHeaders(self.stream_id, response, end_stream=False), client)
        yield SendHttp(ResponseData(self.stream_id, response.raw_content or b""), client)
        yield DropStream(self.stream_id)
        yield from self.owner.close_client()

    def state_consume_request_body(self, event: events.Event) -> Steps[None]:
        if isinstance(event, RequestData):
            if self.flow.response:
                return  # refused on its headers, so nobody reads it
            if len(self.request_body_buf) + len(event.data) > self.exchange.most_body:
                yield from self.refuse_large()
                return
        if isinstance(event, RequestEndOfMessage):
            self.enter(Stage.PREPARING)
            self.timers.complete_at = self.clock()
            yield from self.schedule()
        yield from super().state_consume_request_body(event)

    def check_invalid(self, request: bool) -> Steps[bool]:
        if request:  # the first thing that the base class does with a new flow, before any hook
            self.exchange = self.owner.exchanges.begin(self.flow)
            self.exchange.client.websocket = self.owner.by_websocket
            self.exchange.size_limit = parse_size(self.context.options.body_size_limit)
            return (yield from self.ended_if(super().check_invalid(True)))
        assert self.flow.response
        try:
            validate_headers(self.flow.response)
        except ValueError:
            error = BadGateway("Anthropic's response has malformed headers.")
            yield from self.attempt_failed("before_headers", error)
            return True
        return False

    def check_body_size(self, request: bool) -> Steps[bool]:
        # A request's is checked where it is read, and never streamed: it has to be translated.
        if request or len(self.response_body_buf) <= MAX_ERROR_BODY:
            return False
        error = BadGateway("Anthropic's response is too large.")
        yield from self.attempt_failed("before_headers", error)
        return True

    def check_killed(self, emit_error_hook: bool) -> Steps[bool]:
        return (yield from self.ended_if(super().check_killed(emit_error_hook)))

    def ended_if(self, check: Steps[bool]) -> Steps[bool]:
        """A check of the base class, which has told the client, or has nobody to tell, if it returns True."""
        ended = yield from check
        if ended:
            self.enter(Stage.ENDED)
            yield DropStream(self.stream_id)
        return ended

    # -- PREPARING: a response of our own -----------------------------------------------------------------------

    def send_response(self, already_streamed: bool = False) -> Steps[None]:
        """Called by the base class with a whole response: an addon's own, or an upstream error."""
        assert self.flow.response
        if self.exchange.attempts:
            yield from self.upstream_refused(self.flow.response)
        elif self.head is not None:
            yield from self.fail(self.exchange.error or unapproved())
        elif self.exchange.local_stream is not None:
            yield from self.send_live(self.flow.response, self.exchange.local_stream)
        else:
            yield from self.finish()

    def send_live(self, head: http.Response, local: LocalStream) -> Steps[None]:
        self.enter(Stage.LIVE)
        yield from self.commit(head)
        while True:
            yield LiveDataHook(self.flow)
            if (yield from self.check_killed(True)):
                return
            data, local.outbox = local.outbox, b""
            if not data:
                break
            yield from self.write(data)
        yield from self.finish(already_streamed=True)

    # -- CONNECTING: an attempt ---------------------------------------------------------------------------------

    def make_server_connection(self) -> Steps[bool]:
        """Send the approved attempt. Always False, which tells the base class to send nothing itself."""
        attempt, closing = self.exchange.take_approved(), self.owner.exchanges.closing
        if attempt is None or closing is not None:
            yield from self.fail(closing or self.exchange.error or unapproved())
            return False
        self.exchange.attempts.append(attempt)
        attempt.show_on(self.flow.request)
        if self.flow.server_conn.via != attempt.via:  # it connects through what that names
            self.flow.server_conn = Server(address=(attempt.host, attempt.port), via=attempt.via)
        self.enter(Stage.CONNECTING)
        connected = yield from super().make_server_connection()
        # The client may have left while the connection was made.
        if connected and not (yield from self.check_killed(True)):
            yield from self.send(attempt)
        return False

    def send(self, attempt: Attempt) -> Steps[None]:
        request = copy_head(self.flow.request)
        request.headers[attempt.auth[0]] = attempt.auth[1]
        request.data.path = encoded(attempt.path)
        server = self.context.server
        self.enter(Stage.AWAITING)
        self.server_state = self.state_wait_for_response_headers
        yield SendHttp(RequestHeaders(self.stream_id, request, not attempt.body), server)
        if attempt.body:
            yield SendHttp(RequestData(self.stream_id, attempt.body), server)
        yield SendHttp(RequestEndOfMessage(self.stream_id), server)

    # -- AWAITING, HOLDING, STREAMING: the response -------------------------------------------------------------

    def state_wait_for_response_headers(self, event: ResponseHeaders) -> Steps[None]:
        # The head becomes ours, while the connection reads from its own when the body ends and whether it can serve
        # the next request: with one object for both, every response that isn't streamed cost a new connection.
        quicken(event.response)
        event.response = copy_head(event.response)
        yield from super().state_wait_for_response_headers(event)

    def start_response_stream(self) -> Steps[None]:
        self.enter(Stage.HOLDING)
        yield from ()

    def take_content(self, event: events.Event) -> Steps[None]:
        answer = self.exchange.answer
        assert answer
        at_end = isinstance(event, ResponseEndOfMessage)
        content = event.data if isinstance(event, ResponseData) else b""
        data = answer.close() if at_end else self.translate(answer, content)
        if self.stage is Stage.HOLDING:
            yield from self.hold(answer, data, at_end)
        else:
            yield from self.write(data)
            yield from self.after_data(answer, at_end)

    def pass_on(self, content: bytes) -> bytes:
        """What `take_content` does in STREAMING, but for errors: the short way of nearly all events of a stream."""
        assert self.exchange.answer
        data = self.translate(self.exchange.answer, content)
        self.note_written(data)
        return data

    def translate(self, answer: AnswerStream, content: bytes) -> bytes:
        """The client's bytes for upstream's."""
        self.timers.last_received = self.clock()
        self.received += len(content)
        if self.received <= MAX_ANSWER:
            return answer.feed(content)
        message = f"The response is longer than {MAX_ANSWER} bytes."
        answer.break_off(BadGateway(message, code="upstream_invalid"))
        return b""

    def hold(self, answer: AnswerStream, data: bytes, at_end: bool) -> Steps[None]:
        self.held.append(data)
        began = answer.began and self.streaming
        if answer.error and not began:
            phase: Phase = "after_content" if answer.began else "before_content"
            yield from self.attempt_failed(phase, answer.error)
        elif at_end or began:
            yield from self.deliver(answer, at_end)

    def deliver(self, answer: AnswerStream, at_end: bool) -> Steps[None]:
        if answer.paused and not self.streaming:
            yield from self.go_on(answer)
            return
        self.exchange.first_content = self.exchange.first_content or self.clock()
        body = b"".join(self.held)
        self.held.clear()
        assert self.flow.response
        if not self.streaming:
            self.flow.response.raw_content = body
            self.flow.response.headers["content-length"] = str(len(body))
            yield from self.finish()
            return
        self.enter(Stage.STREAMING)
        if self.head is None:
            yield from self.commit(self.flow.response)
        else:  # it was sent before anybody knew whose response it would be
            body = self.exchange.source_comment() + body
        yield from self.write(body)
        yield from self.after_data(answer, at_end)

    def after_data(self, answer: AnswerStream, at_end: bool) -> Steps[None]:
        if answer.error:
            yield from self.attempt_failed("after_content", answer.error)
        elif at_end and answer.paused:
            yield from self.go_on(answer)
        elif at_end:
            yield from self.finish(already_streamed=True)

    def go_on(self, paused: AnswerStream) -> Steps[None]:
        """Ask for the rest of a turn that Claude has paused."""
        self.owner.served.add(self.context.server)
        self.exchange.paused = paused
        self.enter(Stage.PREPARING)
        self.forget_response()
        yield UpstreamPausedHook(self.flow)
        if not (yield from self.check_killed(True)):
            yield from self.make_server_connection()

    # -- failures -----------------------------------------------------------------------------------------------

    def upstream_refused(self, response: http.Response) -> Steps[None]:
        headers = lowered(response.headers)
        status = response.status_code
        error = self.exchange.client.upstream_error(status, response.raw_content or b"", headers)
        if status < 400:  # a redirect, an empty response, or one that no addon has taken on
            error = BadGateway(
                f"Anthropic's response ({status}) can't be read.", code="upstream_invalid"
            )
        yield from self.attempt_failed("before_headers", error, headers)

    def handle_protocol_error(
        self, event: RequestProtocolError | ResponseProtocolError
    ) -> Steps[None]:
        answer = self.exchange.answer
        if isinstance(event, RequestProtocolError) or self.stage is Stage.ENDED:
            self.enter(Stage.ENDED)
            yield from super().handle_protocol_error(event)
        elif answer and answer.complete:  # all of it has come: only the connection's end is missing
            yield from self.owner.abandon(self.context.server)
            yield from self.take_content(ResponseEndOfMessage(self.stream_id))
        else:
            yield from self.attempt_failed(
                self.phase(event), disconnected(event, self.exchange.attempts[-1].proxy)
            )

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
        """Send another attempt if nothing was delivered and an addon approves one; otherwise tell the client.
        `headers`: of an error response that was read to its end, so its connection can serve the next attempt."""
        exchange, closing = self.exchange, self.owner.exchanges.closing
        self.note_failure(phase, error, headers)
        if headers:
            self.owner.served.add(self.context.server)
        else:
            yield from self.owner.abandon(self.context.server)
        if closing is not None:
            exchange.error = closing
        elif self.stage is not Stage.STREAMING:
            self.enter(Stage.PREPARING)
            self.forget_response()
            yield UpstreamFailedHook(self.flow)
            self.forget_queued()
            if (yield from self.check_killed(True)):
                return
            if exchange.approved:
                yield from self.make_server_connection()
                return
        yield from self.fail(exchange.error or error)

    def note_failure(
        self, phase: Phase, error: CCProxyError, headers: Mapping[str, str] | None
    ) -> None:
        attempt = self.exchange.attempts[-1]
        attempt.outcome = str(error.status) if headers else error.code or str(error.status)
        self.exchange.failure = Failure(
            attempt=attempt,
            phase=phase,
            error=error,
            headers=headers or {},
            answered=phase == "before_content" or headers is not None,
            reused=self.context.server in self.owner.served,
        )

    def forget_response(self) -> None:
        self.flow.response = self.flow.error = None
        self.exchange.answer = None
        self.held.clear()
        self.received = 0
        self.response_body_buf.clear()

    def forget_queued(self) -> None:
        """The rest of the failed response came while the hook ran; the next attempt would take it for its own."""
        kept = [e for e in self._paused_event_queue if not isinstance(e, RESPONSE_EVENTS)]
        self._paused_event_queue.clear()
        self._paused_event_queue.extend(kept)

    # -- what the client is sent --------------------------------------------------------------------------------

    def send_keepalive(self) -> Steps[None]:
        client = self.exchange.client
        if self.head is None:
            headers = client.early_headers()
            if self.exchange.waits_until is not None:
                headers |= {
                    "x-ccproxy-step": "wait",
                    "x-ccproxy-reason": self.exchange.reason or "",
                }
            yield from self.commit(http.Response.make(200, b"", headers))
        yield from self.write(self.exchange.keepalive)

    def commit(self, head: http.Response) -> Steps[None]:
        self.head = head
        self.timers.last_sent = self.clock()
        head.headers.pop("content-length", None)
        head.headers["transfer-encoding"] = "chunked"
        yield SendHttp(ResponseHeaders(self.stream_id, head, end_stream=False), self.context.client)

    def write(self, data: bytes) -> Steps[None]:
        if data:
            self.note_written(data)
            yield SendHttp(ResponseData(self.stream_id, data), self.context.client)

    def note_written(self, data: bytes) -> None:
        if data:
            self.timers.last_sent = self.clock()
            if self.keeps_body:
                self.response_body_buf += data

    def fail(self, error: CCProxyError) -> Steps[None]:
        """Tell the client, once: with a status where nothing was sent yet, else with one event."""
        self.exchange.error = error
        if self.head is not None:
            yield from self.fail_in_stream(error)
            return
        self.flow.response = self.error_response(error)
        yield from self.finish()

    def error_response(self, error: CCProxyError) -> http.Response:
        headers = self.exchange.error_headers(error)
        response = self.exchange.client.error_response(error, headers)
        response.timestamp_start = time.time()
        return response

    def write_error(self, error: CCProxyError) -> Steps[None]:
        """The one event that ends a stream, and the flow as it then looks to people."""
        answer = self.exchange.answer or self.exchange.paused
        yield from self.write(
            answer.fail(error) if answer else self.exchange.client.error_event(error)
        )
        self.flow.response = self.flow.response or self.head
        assert self.flow.response
        self.flow.response.data.content = bytes(self.response_body_buf)
        self.flow.response.timestamp_end = time.time()
        self.flow.error = Error(error.message)

    # -- ENDED, GIVEN_UP ----------------------------------------------------------------------------------------

    def finish(self, already_streamed: bool = False) -> Steps[None]:
        self.enter(Stage.ENDED)
        self.owner.served.add(self.context.server)
        if already_streamed and self.keeps_body:
            assert self.flow.response
            self.flow.response.data.content = bytes(self.response_body_buf)
            self.response_body_buf.clear()
        yield from super().send_response(already_streamed)

    def flow_done(self) -> Steps[None]:
        assert self.flow.response
        if self.flow.response.status_code != 101:
            yield from super().flow_done()
            return
        self.flow.live = False
        yield DropStream(self.stream_id)
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)

    def fail_in_stream(self, error: CCProxyError) -> Steps[None]:
        yield from self.write_error(error)
        self.enter(Stage.ENDED)
        yield HttpErrorHook(self.flow)
        self.server_state = self.state_done
        self.flow.live = False
        yield DropStream(self.stream_id)
        # A protocol error here would close without the chunked terminator, and look like a cut.
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)

    def give_up(self, error: CCProxyError) -> Steps[None]:
        """End it from outside, whatever it waits for: a hook that hangs, or this layer's own failure."""
        client = self.context.client
        in_last_hook = isinstance(self.hook, HttpErrorHook | HttpResponseHook)
        all_written = self.stage is Stage.ENDED
        self.enter(Stage.GIVEN_UP)
        self._paused = None
        self._paused_event_queue.clear()
        if self.head is None:
            self.exchange.error = error
            self.flow.response = self.error_response(error)
            self.flow.response.headers["connection"] = "close"
            content = self.flow.response.raw_content or b""
            head = ResponseHeaders(self.stream_id, self.flow.response, end_stream=False)
            yield SendHttp(head, client)
            yield SendHttp(ResponseData(self.stream_id, content), client)
        elif not all_written:
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
        yield from self.owner.close_client()

    def cut_cycles(self) -> None:
        """The layer has dropped it. mitmproxy's layers refer to themselves by their state and their context, and would
        hold the bodies until a garbage collection."""
        self.client_state = self.server_state = _ignore
        self.context.layers.clear()

    # -- the clock ----------------------------------------------------------------------------------------------

    def schedule(self) -> Steps[None]:
        now = self.clock()
        audible = self.stage not in SILENT and self.streaming
        delivered = self.stage in (Stage.STREAMING, Stage.ENDED)
        self.due = now + self.timers.delay(now, audible=audible, delivered=delivered)
        yield from self.owner.wake_by(self.due)

    def tick(self) -> Steps[None]:
        self.due = inf
        if not self.flow.live:
            yield from self.end_if_killed()
            return
        now = self.clock()
        # A request that is held for a limit waits in its hook, and may do so for hours.
        hook = self.hook if self.exchange.waits_until is None else None
        if self.timers.hook_hangs(hook, now) and hook is not None:
            logger.error("The hook %s hangs; its request was given up.", hook.name)
            yield from self.give_up(hanging())
            return
        if self.stage is not Stage.ENDED:
            yield from self.meet_deadlines(now)
        yield from self.schedule()

    def end_if_killed(self) -> Steps[None]:
        """Someone in mitmweb has killed or deleted the flow: mitmproxy notes that, and lets it run."""
        told = self.flow.error and self.flow.error.msg
        if told == Error.KILLED_MESSAGE and (self.hook or self.stage is not Stage.ENDED):
            yield from self.owner.abandon(self.context.server)
            yield from self.give_up(killed())

    def meet_deadlines(self, now: float) -> Steps[None]:
        """Do whatever is due now."""
        closing, connecting = self.owner.exchanges.closing, self.stage is Stage.CONNECTING
        local = self.exchange.local_stream
        if closing is not None and local is None and (self.hook or connecting):
            yield from self.give_up(closing)
        elif self.timers.connecting_too_long(now):
            yield from self.owner.abort_connecting(self)
        elif closing is not None and self.stage in FROM_UPSTREAM:
            yield from self.cut(CLOSING)
        elif self.timers.upstream_silent_too_long(now) or self.lingers(now):
            yield from self.cut(IDLE)
        elif self.streaming and self.timers.output_due(now):
            yield from self.send_keepalive()

    def cut(self, reason: str) -> Steps[None]:
        """Go on as if upstream had closed the connection."""
        end = ResponseProtocolError(self.stream_id, reason, ErrorCode.GENERIC_SERVER_ERROR)
        yield from super().handle_event(end)

    def lingers(self, now: float) -> bool:
        """Whether all of the response is here, but upstream does not end it."""
        answer = self.exchange.answer
        return answer is not None and answer.complete and self.timers.lingers(now)


def _ignore(event: events.Event) -> Steps[None]:
    yield from ()
