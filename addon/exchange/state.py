"""One request on its way: what the addons and the replay layer know of a flow, in one typed object.

It lives beside the flow, not in `flow.metadata`, which mitmproxy copies and saves: an object or a secret in there
breaks both.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary, WeakSet

from mitmproxy import http

from addon.core.clock import Batch
from addon.core.errors import CCProxyError, MethodNotAllowed
from addon.core.types import Dialect, JsonObject, Tried
from addon.exchange.answer import AnswerStream
from addon.exchange.attempt import Attempt, Failure, Source
from addon.exchange.claude_request import ClaudeRequest
from addon.exchange.client import Client
from addon.exchange.http_messages import Received, lowered, without_unknown_values
from addon.exchange.refusals import TOO_MANY
from addon.exchange.routes import SMALL_BODY, Route, dialect_of, single_slashes
from addon.exchange.who import Who, without_name
from addon.fallback.messages import local_time
from addon.fallback.policy import ChainStep
from addon.translation.from_anthropic.headers import client_headers
from addon.translation.sse import encode_comment

CREDENTIAL_HEADERS = (
    "authorization", "x-api-key", "api-key", "proxy-authorization", "cookie",
    "sec-websocket-protocol",  # in which a browser may put a key, having no other place for it
)  # fmt: skip
LONGEST_SDK_WAIT = 60.0
"""Seconds. The SDKs heed a longer `retry-after` as if there were none, and ask again at once."""

_SECONDS = re.compile(r"\d{1,6}(\.\d{1,3})?")

LASTING = ("budget_exceeded", "budget_unknown", TOO_MANY)
"""Codes of errors that last until a person does something, or an hour passes."""


@dataclass(eq=False, repr=False, slots=True)
class LocalStream:
    """A response that is made on this machine, piece by piece."""

    pieces: AsyncIterator[bytes]
    close: Callable[[], None]
    """Called when the client has gone."""
    outbox: bytes = b""
    """The next piece, for the replay layer to send; empty ends the response."""


@dataclass(eq=False, repr=False, slots=True, kw_only=True, weakref_slot=True)
class Exchange:
    """The state of one flow, from its first header to its record in the ledger."""

    id: str
    arrived: float
    """Unix seconds."""
    clock: float
    """The same moment on the monotonic clock."""
    client: Client
    carried: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The credential headers that the request came with, by lower-case name."""
    sign_in: bytes = field(default=b"", repr=False)
    """The body of a sign-in at the dashboard, which holds the secret."""
    query: str = field(default="", repr=False)
    """The request's, as it came; a client may have put its key there, so the flow's is another one."""
    client_key: str | None = field(default=None, repr=False)
    """The client's own `sk-ant-api…` key."""
    caller: str = ""
    """The address that the request came from, as a tunnel says it or as it is."""
    tunnel: bool = False
    """The request came through a tunnel."""
    who: Who = field(default_factory=Who)
    tagged: bool = False
    """Its lines in the terminal have a tag, because other requests run at the same time."""
    route: Route | None = None
    size_limit: int | None = None
    """mitmproxy's `body_size_limit`, in bytes."""

    claude: ClaudeRequest | None = None
    """What is asked of Claude; None for everything else."""
    asked: ClaudeRequest | None = field(default=None, repr=False)
    """The same, while `claude` is made for another model by a step of FALLBACK_CHAIN."""
    own_body: JsonObject | None = field(default=None, repr=False)
    """What an OpenAI client sent, if a step of FALLBACK_CHAIN may send it to OpenAI."""
    received: Received | None = field(default=None, repr=False)
    """What is kept for people who look at this request later; None: nothing."""
    passthrough: JsonObject | None = field(default=None, repr=False)
    """A body for another API's model, as the client sent it."""
    ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    doing: str = ""
    """What takes its time now, for people; "" when nothing does."""

    parent: str | None = None
    """The response that this request goes on from."""
    complete: Callable[[JsonObject], JsonObject] | None = field(default=None, repr=False)
    """Called once with a complete Responses object; returns it as the client gets it."""

    approved: Attempt | None = None
    """May go upstream; put here by an addon as its last act, used up by the replay layer."""
    attempts: list[Attempt] = field(default_factory=list)
    """What was sent, in order."""
    answer: AnswerStream | None = None
    paused: AnswerStream | None = None
    """The answer so far of a turn that Claude has paused; the next attempt goes on with it."""
    resumed: float | None = None
    """Monotonic time at which it was gone on with last."""
    failure: Failure | None = None
    tried: Tried = field(default_factory=Tried)
    failed: list[tuple[str, CCProxyError]] = field(default_factory=list)
    """Who could not serve it, for people, and what each said, when a step of FALLBACK_CHAIN took over."""
    step: ChainStep | None = None
    """The step of FALLBACK_CHAIN that was taken last."""
    reason: str | None = None
    """Why the first choice did not serve it."""
    skipped: list[str] = field(default_factory=list)
    """Steps that were not taken or did not serve it, each with a machine's word for why: `openai:gpt-5=no_price`."""
    held_since: float | None = None
    """Monotonic time when the step `wait` was first taken."""
    waits_until: float | None = None
    """Unix seconds when the limit resets that it is held for now."""
    error: CCProxyError | None = None
    """The error that the client finally gets."""
    first_content: float | None = None
    """Monotonic time of the first content sent to the client."""
    reservations: list[object] = field(default_factory=list)
    """What the budget has set aside for its paid attempts."""
    local_stream: LocalStream | None = None
    """A local response that goes on for as long as the client listens."""
    cache_miss: tuple[str, int] = ("", 0)
    """Why the prompt was not read from the cache as the one before it, and pico-dollars that this cost."""
    counted_open: bool = False
    """It is one of the open streams in the metrics."""
    finished: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client has left: nobody waits any more."""

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that was sent last."""
        return self.attempts[-1] if self.attempts else None

    @property
    def dialect(self) -> Dialect:
        return self.client.dialect

    @property
    def principal(self) -> str:
        """Whose request it is, as far as it can be told: what is remembered for one is never given to another."""
        return blake2b((self.client_key or "").encode(), digest_size=8).hexdigest()

    @property
    def source(self) -> Source:
        """Who served the answer, or would have."""
        return self.attempts[-1].source if self.attempts else "local"

    def source_headers(self) -> dict[str, str]:
        """Who served this, and why it was not the first choice."""
        headers: dict[str, str] = {"x-ccproxy-source": self.source}
        if self.attempts and self.attempts[-1].reason:
            headers["x-ccproxy-reason"] = self.attempts[-1].reason
        if self.attempts and self.attempts[-1].step:
            headers["x-ccproxy-step"] = self.attempts[-1].step
        if self.skipped:
            headers["x-ccproxy-skipped"] = ",".join(self.skipped)
        if self.attempts and self.attempts[-1].changed:
            headers["x-ccproxy-changed"] = ",".join(self.attempts[-1].changed)
        if self.attempts and self.attempts[-1].repaired:
            headers["x-ccproxy-repaired"] = ",".join(self.attempts[-1].repaired)
        return headers

    def early_headers(self) -> dict[str, str]:
        """For a stream that starts before upstream has responded."""
        headers = self.client.early_headers()
        if self.waits_until is not None:
            headers |= {"x-ccproxy-step": "wait", "x-ccproxy-reason": self.reason or ""}
        return headers

    def source_comment(self) -> bytes:
        """What an early head could not say."""
        attempt = self.attempts[-1]
        return self.client.source_comment(
            attempt.source,
            attempt.reason,
            step=attempt.step,
            skipped=",".join(self.skipped),
            thinking=attempt.thinking_change,
            changed=",".join(attempt.changed),
            repaired=",".join(attempt.repaired),
        )

    def error_headers(self, error: CCProxyError) -> dict[str, str]:
        """Of an answer that is an error. The SDKs of OpenAI and Anthropic would try three times; what we have tried
        ourselves, or what may have been billed, they had better not ask for again, and they obey this header."""
        headers = self.upstream_headers(error) | self.source_headers()
        if self.is_final(error):
            headers["x-should-retry"] = "false"
        if isinstance(error, MethodNotAllowed):
            headers["allow"] = error.allow
        return headers

    def upstream_headers(self, error: CCProxyError) -> dict[str, str]:
        """Those of upstream's own error."""
        if error.upstream is None:
            return {}
        told = error.upstream.headers or (self.attempt.response_headers if self.attempt else {})
        headers = dict(client_headers(told, "messages", unified=not self.tunnel))
        headers |= dict(client_headers(told, self.dialect))
        if not _SECONDS.fullmatch(headers.get("retry-after", "")):
            headers.pop("retry-after", None)  # a date, or nothing that a client could wait for
        return headers

    def is_final(self, error: CCProxyError) -> bool:
        """Whether the same request, sent again in a moment, would end the same way or cost more."""
        tried = len(self.attempts) > 1 or (bool(self.attempts) and error.status >= 500)
        wait = error.retry_after or 0.0
        return tried or wait > LONGEST_SDK_WAIT or error.code in LASTING

    @property
    def most_body(self) -> int:
        """Bytes that its body may have."""
        most = self.route.most_body if self.route else SMALL_BODY
        return most if self.size_limit is None else min(most, self.size_limit)

    def refuse(self, flow: http.HTTPFlow, error: CCProxyError) -> None:
        """Answer with an error now; the addons behind leave the flow alone."""
        self.error = error
        flow.request.headers.pop("expect", None)  # nobody wants the body any more
        flow.response = self.client.error_response(error, self.error_headers(error))

    def note(self, text: str) -> None:
        """Note it, once."""
        if text not in self.notes:
            self.notes.append(text)

    def approve(self, attempt: Attempt) -> None:
        self.approved = attempt

    def take_approved(self) -> Attempt | None:
        """The approved attempt, once: an approval is good for one request."""
        attempt, self.approved = self.approved, None
        return attempt

    def forget(self) -> None:
        """Let go of the bodies once the flow has ended: mitmweb keeps flows, and with them this object."""
        self.claude = self.received = self.passthrough = self.complete = self.answer = (
            self.failure
        ) = None
        self.paused = None
        self.asked = self.own_body = None
        self.sign_in = b""
        for attempt in self.attempts:
            attempt.body, attempt.request = b"", {}
            attempt.answer = attempt.ticket = None
        for error in (self.error, *(error for _, error in self.failed)):
            if error is not None:
                # The frames of a traceback hold the flow, and a value that holds its own weak key is never freed.
                error.__traceback__ = error.__context__ = error.__cause__ = None

    @property
    def keepalive(self) -> bytes:
        if self.waits_until is None:
            return self.client.keepalive
        until = local_time(self.waits_until, time.time())
        return (
            encode_comment(f"waiting until {until}, when the limit resets") + self.client.keepalive
        )

    async def pause(self, seconds: float, doing: str = "") -> None:
        """Wait, or stop waiting when the client has left."""
        self.doing = doing or f"waiting {seconds:.0f} s before it is sent again"
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.gone.wait(), seconds)
        self.doing = ""


class Exchanges:
    """The exchanges of all live flows. One that is not in here did not come in through our layer."""

    def __init__(self) -> None:
        self._by_flow: WeakKeyDictionary[http.HTTPFlow, Exchange] = WeakKeyDictionary()
        self.closing: CCProxyError | None = None
        """The proxy is going down: the error for running responses."""
        self.known_clients: set[str] = set()
        """Ids of the connections on which a caller has shown who he is."""
        self.running: WeakSet[Exchange] = WeakSet()
        """Those that are not recorded yet."""
        self.background: set[asyncio.Task[Any]] = set()
        """Work behind an answer that may cost money, so the proxy does not end before it."""
        self.ended = Batch()
        """What is to be kept of requests that have ended."""

    def begin(self, flow: http.HTTPFlow) -> Exchange:
        request, headers = flow.request, lowered(flow.request.headers)
        request.path, name = without_name(request.path)
        exchange = Exchange(
            id=uuid4().hex,
            arrived=time.time(),
            clock=time.monotonic(),
            client=Client(dialect_of(request.path, headers.get("anthropic-version"))),
            carried={name: headers[name] for name in CREDENTIAL_HEADERS if name in headers},
            who=Who.of(headers, name),
        )
        # before any hook sees the flow: it may be shown, saved and copied from then on
        for name in exchange.carried:
            del request.headers[name]
        exchange.query = request.path.partition("?")[2]
        request.path = without_unknown_values(single_slashes(request.path))
        self._by_flow[flow] = exchange
        self.running.add(exchange)
        return exchange

    def tag(self, exchange: Exchange) -> str:
        """What links the terminal's lines about a request, if others run at the same time; else ""."""
        for other in self.running if len(self.running) > 1 else ():
            if other is not exchange and (other.claude or other.passthrough):
                exchange.tagged = other.tagged = True
        return f"#{exchange.id[:3]}" if exchange.tagged else ""

    def get(self, flow: http.HTTPFlow) -> Exchange | None:
        return self._by_flow.get(flow)

    def open(self, flow: http.HTTPFlow) -> Exchange | None:
        """The exchange, if there is still something to do for this flow: live, unanswered, and ours."""
        exchange = self._by_flow.get(flow)
        if exchange is None or exchange.finished or flow.response or flow.error or not flow.live:
            return None
        return exchange

    def of_client(self, client_id: str) -> list[Exchange]:
        return [e for flow, e in self._by_flow.items() if flow.client_conn.id == client_id]

    def waiting(self) -> list[Exchange]:
        """Those whose model's answer has not begun."""
        return [
            e
            for e in self._by_flow.values()
            if e.claude and not e.finished and not e.error and not (e.answer and e.answer.began)
        ]

    def busy(self) -> bool:
        """Whether any request is still being served, or worked for; open dashboards don't count."""
        # an addon that failed may have kept the recorder from setting `finished`: the flow tells, too
        return bool(self.background) or any(
            flow.live and not e.finished and e.local_stream is None
            for flow, e in self._by_flow.items()
        )
