"""What the three streams to a client have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import final

from addon.core.errors import CCProxyError
from addon.translation.message_stream import StreamEvent
from addon.translation.sse import encode_comment


class Renderer(ABC):
    """Turns upstream events into the bytes of one client's stream.

    Ends once, by `finish` or by `fail`; after that every method but `comment` gives b"". A broken answer must never
    look complete (a client would run half a tool call), so `fail` writes one error and no closing mark.
    """

    keepalive = b": keepalive\n\n"
    """What may be sent between two events while there is nothing to say."""

    _closed = False

    @final
    def render(self, events: Iterable[StreamEvent]) -> bytes:
        """The bytes for `events`, as they come from `MessageStream`; often b""."""
        if self._closed:
            return b""
        return b"".join([self._event(event) for event in events])

    @final
    def finish(self) -> bytes:
        """The end of a complete answer."""
        if self._closed:
            return b""
        self._closed = True
        return self._end()

    @final
    def fail(self, error: CCProxyError) -> bytes:
        """The end of an answer that broke off: exactly one error."""
        if self._closed:
            return b""
        self._closed = True
        return self._error(error)

    def comment(self, text: str) -> bytes:
        """`text` where people who debug can see it and clients do not look."""
        return encode_comment(text)

    @abstractmethod
    def _event(self, event: StreamEvent) -> bytes: ...

    @abstractmethod
    def _end(self) -> bytes: ...

    @abstractmethod
    def _error(self, error: CCProxyError) -> bytes: ...
