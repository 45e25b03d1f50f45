"""How one client is talked to, apart from the answer itself: heads, keepalives and errors in its own dialect."""

from __future__ import annotations

import time
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass

from mitmproxy import http

from addon.core.errors import CCProxyError
from addon.core.json_codec import dumps
from addon.core.types import Dialect
from addon.exchange.routes import dialect_of
from addon.translation.errors import error_body, from_upstream
from addon.translation.from_anthropic.by_dialect import renderer_for
from addon.translation.from_anthropic.native import NativeStream
from addon.translation.from_anthropic.renderer import Renderer
from addon.translation.sse import encode_comment
from addon.translation.types import Reply

STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    # no-transform and no buffering: tunnels and nginx would otherwise compress or hold back events
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}


CAPABILITIES = {"context_length_exceeded": "prompt_too_long"}
"""Codes of our errors, and Claude Code's words for them (its gateway compatibility guide, "Errors")."""


@dataclass(eq=False, repr=False, slots=True)
class Client:
    """One client. `streaming` is known once its body has been read."""

    dialect: Dialect
    streaming: bool = False
    cors: dict[str, str] | None = None
    """CORS headers for a browser whose origin is allowed."""
    websocket: bool = False
    """It asked in a message of a WebSocket."""
    claude_code: bool = False
    """It acts on what its gateway says was rejected."""

    @property
    def keepalive(self) -> bytes:
        return NativeStream.keepalive if self.dialect == "messages" else Renderer.keepalive

    def early_headers(self) -> dict[str, str]:
        """For a stream that starts before upstream has answered, when who serves it is not known yet."""
        return {**STREAM_HEADERS, **(self.cors or {}), "x-ccproxy-source": "pending"}

    def source_comment(self, source: str, reason: str | None, **more: str) -> bytes:
        """What the early head could not say. Anthropic's own clients get it too: every SSE reader skips comments."""
        changes = "".join(f" {name}={value}" for name, value in more.items() if value)
        return encode_comment(f"source={source} reason={reason or 'none'}{changes}")

    def error_event(self, error: CCProxyError) -> bytes:
        return renderer_for(self.dialect, Reply(model=""), 0).fail(self.worded(error))

    def error_response(
        self, error: CCProxyError, headers: Mapping[str, str] | None = None
    ) -> http.Response:
        """`headers` go before what the error itself says."""
        response = _response(self.dialect, self.worded(error))
        for name, value in ((self.cors or {}) | dict(headers or {})).items():
            response.headers[name] = value
        return response

    def worded(self, error: CCProxyError) -> CCProxyError:
        """An error of ours, with the word that Claude Code knows for it."""
        word = CAPABILITIES.get(error.code or "")
        if not self.claude_code or word is None or error.upstream is not None:
            return error
        told = copy(error)
        told.message = f"{error.message} capability_rejected: {word}"
        return told

    def upstream_error(self, status: int, body: bytes, headers: Mapping[str, str]) -> CCProxyError:
        return from_upstream(status, body, headers, time.time())


def plain_error(path: str, error: CCProxyError) -> http.Response:
    """An error for a request that was not understood far enough to have a client."""
    return _response(dialect_of(path), error)


def _response(dialect: Dialect, error: CCProxyError) -> http.Response:
    told = error.upstream
    status, body = error_body(error, dialect, told.headers.get("request-id") if told else None)
    as_it_came = told.body if told and dialect == "messages" else b""
    response = http.Response.make(
        status,
        # an error may quote what no UTF-8 can hold: a lone surrogate of the client's
        as_it_came or dumps(body),
        {"content-type": "application/json; charset=utf-8"},
    )
    if error.retry_after is not None:
        response.headers["retry-after"] = str(max(1, round(error.retry_after)))
    return response
