"""The base classes of the three streams that are written to clients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import final

from addon.core.errors import CCProxyError
from addon.core.types import JsonObject
from addon.translation.accumulator import overlay
from addon.translation.from_anthropic.usage import refusal
from addon.translation.message_stream import StreamEvent
from addon.translation.sse import encode_comment
from addon.translation.types import Reply


class Renderer(ABC):
    """Writes upstream events as the bytes of one client's stream.

    States: open, then closed by `finish` or `fail`; after that every method but `comment` returns b"". A response that
    broke off must never look complete, because a client would run half a tool call: `fail` writes one error and no end
    marker.
    """

    keepalive = b": keepalive\n\n"
    """May be sent between two events while upstream is silent."""

    _closed = False

    @final
    def render(self, events: Iterable[StreamEvent]) -> bytes:
        """The bytes for `events`, in the order of `MessageStream`; often b""."""
        if self._closed:
            return b""
        return b"".join([self._event(event) for event in events])

    @final
    def finish(self) -> bytes:
        """The end of a complete response."""
        if self._closed:
            return b""
        self._closed = True
        return self._end()

    @final
    def fail(self, error: CCProxyError) -> bytes:
        """The end of a response that broke off: exactly one error."""
        if self._closed:
            return b""
        self._closed = True
        return self._error(error)

    def comment(self, text: str) -> bytes:
        """`text` as a comment: visible to people who debug, skipped by clients."""
        return encode_comment(text)

    @abstractmethod
    def _event(self, event: StreamEvent) -> bytes: ...

    @abstractmethod
    def _end(self) -> bytes: ...

    @abstractmethod
    def _error(self, error: CCProxyError) -> bytes: ...


class TranslatedStream(Renderer):
    """Dispatches each event to one method per event type, and keeps what is only known at the end of the stream."""

    def __init__(self, reply: Reply, created: int) -> None:
        self._reply = reply
        self._created = created
        self._started = False
        self._message: JsonObject = {}
        """`message_start`'s message: its id and model, not its content."""
        self._usage: JsonObject = {}
        self._stop: JsonObject = {}
        """`message_delta`'s delta: stop_reason and stop_details."""

    @final
    def _event(self, event: StreamEvent) -> bytes:
        data = event.data
        match event.type:
            case "content_block_delta":
                return self._block_delta(data["index"], data["delta"])
            case "content_block_start":
                return self._block_start(data["index"], data["content_block"])
            case "content_block_stop":
                return self._block_stop(data["index"])
            case "message_start":
                return self._start(data["message"])
            case "message_delta":
                overlay(self._stop, data["delta"])
                overlay(self._usage, data.get("usage") or {})
        return b""  # ping, message_stop (`finish` ends the stream), and unknown events

    @final
    def _start(self, message: JsonObject) -> bytes:
        """The opening of the stream, once."""
        if self._started:
            return b""
        self._started = True
        self._message = message
        self._usage = dict(message.get("usage") or {})
        return self._opening()

    def _refusal(self) -> str | None:
        return refusal(self._stop.get("stop_reason"), self._stop.get("stop_details"))

    @abstractmethod
    def _opening(self) -> bytes: ...

    @abstractmethod
    def _block_start(self, index: int, block: JsonObject) -> bytes: ...

    @abstractmethod
    def _block_delta(self, index: int, delta: JsonObject) -> bytes: ...

    @abstractmethod
    def _block_stop(self, index: int) -> bytes: ...
