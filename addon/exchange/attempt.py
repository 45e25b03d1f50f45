"""One request that is sent upstream for a client's, its answer on the way back, and what went wrong with it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mitmproxy import http

from addon.core.errors import CCProxyError
from addon.core.outbound_proxy import OutboundProxy
from addon.core.types import JsonObject, Phase
from addon.exchange.answer import AnswerStream
from addon.exchange.http_messages import QuickHeaders, encoded, without_unknown_values

if TYPE_CHECKING:
    from addon.claude.model import Model
    from addon.claude.thinking_store import ThinkingTicket

type Source = Literal["claude_code", "api_key", "openai", "local"]
"""Who served an answer, as told in the header `x-ccproxy-source`."""


@dataclass(eq=False, repr=False, slots=True, kw_only=True)
class Attempt:
    """One request that may be sent upstream. The secret is put on the copy that is sent, never on the flow."""

    source: Source
    credential: str
    """Name of the credential, for people: `subscription`, `ANTHROPIC_API_KEY`, `client key`."""
    scheme: str
    host: str
    port: int
    path: str = field(repr=False)
    """With the client's query, in which a key may be hidden."""
    headers: list[tuple[str, str]]
    body: bytes
    auth: tuple[str, str] = field(repr=False)
    request: JsonObject = field(default_factory=dict, repr=False)
    """The body before it was serialized; {} when it was passed on as it came."""
    proxy: OutboundProxy | None = None
    """It goes through this one."""
    reason: str | None = None
    """Why this is not the first choice, in a machine's word: header `x-ccproxy-reason`."""
    step: str = ""
    """The step of FALLBACK_CHAIN that it is of, header `x-ccproxy-step`; "" for the subscription and the API key."""
    priced: Model | None = field(default=None, repr=False)
    """Whose prices count for a model that is not Claude's; None: they are not known."""
    made: float = field(default_factory=time.time)
    """Unix seconds."""
    extra_usage: bool = False
    """Its answer is billed beyond the plan."""
    ticket: ThinkingTicket | None = field(default=None, repr=False)
    """What is needed to remember its answer's thinking."""
    thinking_change: str = ""
    """What became of thinking that was asked for, header `x-ccproxy-thinking`: `off (<reason>)`, `stripped (<reason>)`
    when only that of earlier turns was left out, "" when it is as it was asked for."""
    login: str = field(default="", repr=False)
    """Whose refusals of betas and fields count for it."""
    changed: tuple[str, ...] = ()
    """As in `ClaudeRequest`, and what this credential needs."""
    repaired: tuple[str, ...] = ()
    """As in `ClaudeRequest`, and what was left out because this login was refused it."""
    outcome: str = ""
    """What became of it when it failed: a status, or a word."""
    response_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The headers of its answer, lower-case, before they are made into the client's."""
    answer: AnswerStream | None = field(default=None, repr=False)
    """What came of its answer, also when another attempt followed: it may be billed all the same."""

    @property
    def paid(self) -> bool:
        return self.source == "api_key" or self.priced is not None

    @property
    def via(self) -> tuple[Literal["http", "https"], tuple[str, int]] | None:
        """The proxy as mitmproxy names one."""
        return (self.proxy.scheme, (self.proxy.host, self.proxy.port)) if self.proxy else None

    def show_on(self, request: http.Request) -> None:
        """Make the flow's request the one that is sent, but for the credential and what else a query may hide."""
        data: Any = request.data
        shown = without_unknown_values(self.path)
        data.scheme, data.host, data.port = self.scheme.encode(), self.host, self.port
        data.authority, data.path, data.http_version = b"", encoded(shown), b"HTTP/1.1"
        headers = [(encoded(name), encoded(value)) for name, value in self.headers]
        data.headers = QuickHeaders(headers)
        data.content, data.trailers = self.body, None
        request.headers["content-length"] = str(len(self.body))


@dataclass(eq=False, repr=False, slots=True, kw_only=True)
class Failure:
    """What became of the attempt that was sent last."""

    attempt: Attempt
    phase: Phase
    error: CCProxyError
    headers: Mapping[str, str] = field(default_factory=dict)
    answered: bool = False
    """Upstream said so itself; False: the connection failed or broke off."""
    reused: bool = False
    """The connection had served a request before, so upstream may have closed it meanwhile."""
