"""One request on its way: what the addons and the replay layer know of a flow, in one typed object.

It lives beside the flow, not in `flow.metadata`, which mitmproxy copies and saves: an object or a secret in there
breaks both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol
from uuid import uuid4
from weakref import WeakKeyDictionary

from mitmproxy import http

from addon.claude.model import Model
from addon.errors import CCProxyError
from addon.wire.types import Dialect, JsonObject

type Source = Literal["claude_code", "api_key", "openai", "local"]
"""Who served an answer, as told in the header `x-ccproxy-source`."""

type Phase = Literal["connect", "before_headers", "before_content", "after_content"]


class Answer(Protocol):
    """One attempt's answer on its way from upstream's bytes to the client's. Made anew for each attempt."""

    @property
    def began(self) -> bool:
        """Content has begun: from here on nothing can be tried again."""

    @property
    def error(self) -> CCProxyError | None:
        """What went wrong, as far as upstream's bytes tell."""

    def feed(self, data: bytes) -> bytes:
        """Take upstream's bytes, give the client's. Never raises for bad input: sets `error`."""

    def close(self) -> bytes:
        """Upstream ended: the rest of the client's bytes; sets `error` when the end came too early."""


class Client(Protocol):
    """How to talk to this client apart from the answer itself, in its own dialect."""

    @property
    def streaming(self) -> bool:
        """The client reads events as they come."""

    def head(self) -> list[tuple[str, str]]:
        """Headers of a stream that starts before upstream has answered."""

    def keepalive(self) -> bytes:
        """Bytes that the client ignores."""

    def error_event(self, error: CCProxyError) -> bytes:
        """The one event that ends a stream which has already begun."""

    def error_response(self, error: CCProxyError) -> http.Response:
        """The whole response where nothing has been sent yet."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One request that may be sent upstream. The secret is put on the copy that is sent, never on the flow."""

    source: Source
    credential: str
    """Name of the credential, for people: `subscription`, `ANTHROPIC_API_KEY`, `client key`."""
    scheme: str
    host: str
    port: int
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    auth: tuple[str, str] = field(repr=False)
    request: JsonObject = field(default_factory=dict, repr=False)
    """The body before it was serialized; {} when it was passed on as it came."""
    reason: str | None = None
    """Why this is not the first choice, in a machine's word: header `x-ccproxy-reason`."""

    @property
    def paid(self) -> bool:
        return self.source == "api_key"


@dataclass(slots=True, kw_only=True)
class Failure:
    """What became of the attempt that was sent last."""

    attempt: Attempt
    phase: Phase
    error: CCProxyError
    headers: Mapping[str, str] = field(default_factory=dict)
    reused: bool = False
    """The connection had served a request before, so upstream may have closed it meanwhile."""


@dataclass(slots=True, kw_only=True, eq=False)
class Exchange:
    """The state of one flow, from its first header to its record in the ledger."""

    id: str
    arrived: float
    """Unix seconds."""
    clock: float
    """The same moment on the monotonic clock."""
    dialect: Dialect = "messages"
    client: Client | None = None
    client_key: str | None = field(default=None, repr=False)
    """The client's own `sk-ant-api…` key."""
    tunnel: bool = False
    """The request came through a tunnel."""

    asked: str = ""
    """The model's name as the client gave it."""
    model: Model | None = None
    request: JsonObject = field(default_factory=dict, repr=False)
    """The Anthropic request, as the addons have shaped it so far."""
    conversation: str | None = None
    ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    approved: Attempt | None = None
    """May go upstream; put here by an addon as its last act, used up by the replay layer."""
    attempts: list[Attempt] = field(default_factory=list)
    """What was sent, in order."""
    answer: Answer | None = None
    failure: Failure | None = None
    error: CCProxyError | None = None
    """What the client is told in the end, when it is an error."""
    first_content: float | None = None
    """Monotonic time of the first content sent to the client."""
    finished: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client has left: nobody waits any more."""

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that was sent last."""
        return self.attempts[-1] if self.attempts else None

    def approve(self, attempt: Attempt) -> None:
        self.approved = attempt

    def take_approved(self) -> Attempt | None:
        """The approved attempt, once: an approval is good for one request."""
        attempt, self.approved = self.approved, None
        return attempt

    async def pause(self, seconds: float) -> None:
        """Wait, or stop waiting when the client has left."""
        try:
            await asyncio.wait_for(self.gone.wait(), seconds)
        except TimeoutError:
            return


class Exchanges:
    """The exchanges of all live flows. One that is not in here did not come in through our layer."""

    def __init__(self) -> None:
        self._by_flow: WeakKeyDictionary[http.HTTPFlow, Exchange] = WeakKeyDictionary()

    def begin(self, flow: http.HTTPFlow) -> Exchange:
        exchange = Exchange(id=uuid4().hex, arrived=time.time(), clock=time.monotonic())
        self._by_flow[flow] = exchange
        return exchange

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

    def live(self) -> list[tuple[http.HTTPFlow, Exchange]]:
        return [(flow, e) for flow, e in self._by_flow.items() if not e.finished]
