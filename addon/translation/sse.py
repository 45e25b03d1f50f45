"""Decodes and encodes server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from addon.core.errors import BadGateway

MAX_EVENT_BYTES = 32 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_COMMON = re.compile(rb"event: (.*)\ndata: (.*)\n\n")
# In the standard a line ends with \n, \r or \r\n only; str.splitlines() would also split at U+2028 and U+0085, which
# JSON text may contain. A \r that is the last byte so far may still be the first half of a \r\n.
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r(?!\Z))")
_LONGEST_BLANK_LINE = 4


class ServerSentEvent(NamedTuple):
    """One event with data. `raw` is its original bytes including the blank line, to be passed on unchanged."""

    event: str
    data: bytes
    raw: bytes


class SSEDecoder:
    """Decodes a byte stream, fed in chunks of any size, into complete events.

    Comments and events without data are skipped. Raises BadGateway when one event exceeds `max_event_bytes`.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._pieces: list[bytes] = []  # a long event is joined once, not once per chunk
        self._size = 0
        self._tail = b""  # the last bytes, in which a blank line may have started
        self._started = False

    @property
    def between_events(self) -> bool:
        """Whether the next byte is the first of an event. Not at the start, where a byte order mark may be."""
        return self._started and not self._tail and not self._pieces

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that `chunk` completes, often none or many."""
        window = self._tail + chunk
        events = []
        start = 0
        for end in _blank_lines(window):
            event = _parse(self._take(window[start:end]))
            if event is not None:
                events.append(event)
            start = end
        self._hold(window[start:] if start else window)
        return events

    def close(self) -> list[ServerSentEvent]:
        """Call at the end of the stream. Returns an event that ended in bare carriage returns; an unfinished one is
        lost."""
        raw = self._take(self._tail)
        self._tail = b""
        event = _parse(raw) if raw.endswith((b"\r\r", b"\n\r")) else None
        return [event] if event else []

    def _take(self, end: bytes) -> bytes:
        """The pending bytes and `end` as one event."""
        if self._pieces:
            end = b"".join([*self._pieces, end])
            self._pieces = []
            self._size = 0
        if not self._started:
            self._started = True
            end = end.removeprefix(_BOM)
        return end

    def _hold(self, rest: bytes) -> None:
        cut = max(len(rest) - (_LONGEST_BLANK_LINE - 1), 0)
        self._tail = rest[cut:]
        if cut:
            self._pieces.append(rest[:cut])
            self._size += cut
            if self._size > self._max:
                raise BadGateway(
                    f"Upstream sent one event of more than {self._max} bytes",
                    code="upstream_invalid",
                )


def encode_event(data: bytes, event: str = "") -> bytes:
    """The bytes of one event. `data` must contain no line end; encoded JSON never does."""
    if event:
        return b"event: %b\ndata: %b\n\n" % (event.encode(), data)
    return b"data: %b\n\n" % data


def encode_comment(text: str) -> bytes:
    """A comment, which clients skip. Line ends are removed: text after one would be read as an event."""
    return f": {text.replace('\r', ' ').replace('\n', ' ')}\n\n".encode()


def _blank_lines(window: bytes) -> Iterator[int]:
    """The offset after each blank line."""
    if b"\r" in window:
        yield from (match.end() for match in _BLANK_LINE.finditer(window))
        return
    end = 0
    while (found := window.find(b"\n\n", end)) >= 0:
        end = found + 2
        yield end


def _common(raw: bytes) -> ServerSentEvent | None:
    """`raw`, if it is one event as Anthropic writes them."""
    common = _COMMON.fullmatch(raw)
    if common is None or b"\r" in raw:
        return None
    return ServerSentEvent(common[1].decode("utf-8", "replace"), common[2], raw)


def _parse(raw: bytes) -> ServerSentEvent | None:
    if common := _common(raw):
        return common
    name = b""
    data = []
    for line in _LINE_END.split(raw):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    if not data:
        return None
    return ServerSentEvent(name.decode("utf-8", "replace"), b"\n".join(data), raw)
