"""Reads Anthropic's responses: event streams, and complete bodies."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from addon.core.errors import BadGateway, CCProxyError
from addon.core.json_codec import JsonError, loads, loads_string
from addon.core.types import JsonObject
from addon.translation.accumulator import GROWING, MessageAccumulator
from addon.translation.errors import from_event
from addon.translation.response_shapes import check_event, check_message
from addon.translation.sse import ServerSentEvent, SSEDecoder

_DELTA = re.compile(
    rb'event: content_block_delta\ndata: \{"type":"content_block_delta","index":(0|[1-9]\d{0,5}),"delta":'
    rb'\{"type":"(\w+","\w+)":("[^"\\\n]*+(?:\\.[^"\\\n]*+)*+")\} *\}\n\n'
)
"""A delta as Anthropic writes nearly all: its block, its type and field, and a string."""
_FIELDS = {f'{kind}","{field}'.encode(): (kind, field) for kind, field in GROWING.items()}


class StreamEvent(NamedTuple):
    """One upstream event: its type, its decoded data, and its original bytes."""

    type: str
    data: JsonObject
    raw: bytes


class MessageStream:
    """Reads the event stream of a response, fed in chunks of any size, and assembles `message` and `usage`.

    States: open, then `ended` or `error`; after either of these, further bytes are ignored. It never raises: a fault
    in the stream sets `error`. Until `began` is set, an error can still be reported as an HTTP status, because the
    client has received no content.
    """

    def __init__(self) -> None:
        self._decoder = SSEDecoder()
        self._accumulator = MessageAccumulator()
        self.stop_reason: str | None = None
        self.began = False
        self.ended = False
        self.error: CCProxyError | None = None

    @property
    def message(self) -> JsonObject:
        """The message so far, in Anthropic's form."""
        return self._accumulator.message

    @property
    def usage(self) -> JsonObject:
        """The token counts so far, in Anthropic's form; also of a response that broke off."""
        return self._accumulator.usage

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """The events that `chunk` completes. An upstream `error` event is not among them: it sets `error`."""
        events: list[StreamEvent] = []
        if self.ended or self.error:
            return events
        try:
            if self._decoder.between_events:
                chunk = self._read_deltas(chunk, events)
            if chunk:
                self._read(self._decoder.feed(chunk), events)
        except CCProxyError as error:
            self.error = error
        return events

    def close(self) -> list[StreamEvent]:
        """Call at the end of the bytes. Returns the last events; sets `ended`, or `error` for a response cut short."""
        events: list[StreamEvent] = []
        if self.ended or self.error:
            return events
        try:
            self._read(self._decoder.close(), events)
            if not self.ended:
                self._end_without_message_stop()
        except CCProxyError as error:
            self.error = error
        return events

    def _end_without_message_stop(self) -> None:
        if self.stop_reason is None:
            raise BadGateway("Upstream ended the stream early", code="upstream_disconnect")
        self.ended = True

    def _read(self, received: list[ServerSentEvent], events: list[StreamEvent]) -> None:
        for sse in received:
            event = self._decode(sse)
            if event.type == "error":
                raise from_event(event.data, sse.data)
            self._accumulator.add(event.data)
            events.append(event)
            if event.type != "content_block_delta":  # nearly all events are deltas
                self._note_progress(event)
                if self.ended:
                    return

    def _read_deltas(self, chunk: bytes, events: list[StreamEvent]) -> bytes:
        """The short way of nearly all events. Returns the rest of `chunk`, from the first that is none of them."""
        end = 0
        while end < len(chunk) and (found := _DELTA.match(chunk, end)):
            index, field, text = found.groups()
            if field not in _FIELDS:
                break
            try:
                value = loads_string(text)
            except JsonError:
                break
            kind, name = _FIELDS[field]
            delta = {"type": kind, name: value}
            data = {"type": "content_block_delta", "index": int(index), "delta": delta}
            self._accumulator.add(data)
            events.append(StreamEvent("content_block_delta", data, found[0]))
            end = found.end()
        return chunk[end:]

    def _decode(self, sse: ServerSentEvent) -> StreamEvent:
        data = decode_object(sse.data, "an event")
        kind = data.get("type")
        if not isinstance(kind, str):
            kind = data["type"] = sse.event
        check_event(kind, data)
        return StreamEvent(kind, data, sse.raw)

    def _note_progress(self, event: StreamEvent) -> None:
        match event.type:
            case "content_block_start":
                self.began = True
            case "message_delta":
                self.began = True
                self.stop_reason = event.data["delta"].get("stop_reason") or self.stop_reason
            case "message_stop":
                self.ended = True


def resumed_events(
    events: list[StreamEvent], blocks_before: int, usage: JsonObject
) -> list[StreamEvent]:
    """The events of a response that goes on with a paused turn, as further events of the stream that was paused.
    `blocks_before`: in the turn so far; `usage`: of the whole turn."""
    further: list[StreamEvent] = []
    for event in events:
        data = event.data
        if event.type == "message_start":
            continue
        if isinstance(index := data.get("index"), int):
            data = {**data, "index": index + blocks_before}
        elif event.type == "message_delta":
            data = {**data, "usage": usage}
        further.append(event._replace(data=data))
    return further


def read_message(body: bytes) -> JsonObject:
    """The message in the body of a response that was not streamed. Raises BadGateway if there is none."""
    message = decode_object(body, "a response")
    check_message(message)
    return message


def decode_object(body: bytes, what: str) -> JsonObject:
    try:
        value: Any = loads(body)
    except (ValueError, RecursionError):
        raise BadGateway(
            f"Upstream sent {what} that is not JSON", code="upstream_invalid"
        ) from None
    if not isinstance(value, dict):
        raise BadGateway(f"Upstream sent {what} that is not a JSON object", code="upstream_invalid")
    return value
