"""What the two OpenAI streams have in common: the reading of Anthropic's events."""

from __future__ import annotations

from abc import abstractmethod
from typing import final

from addon.core.types import Codec, JsonObject, Reply
from addon.translation.from_anthropic.finish import refusal
from addon.translation.from_anthropic.renderer import Renderer
from addon.translation.from_anthropic.usage import overlay
from addon.translation.message_stream import StreamEvent


class TranslatedStream(Renderer):
    """Hands each event to the method of its kind, and keeps what only the end of the stream tells."""

    def __init__(self, reply: Reply, created: int, codec: Codec) -> None:
        self._reply = reply
        self._created = created
        self._codec = codec
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
        return b""  # ping, message_stop (the end is `finish`), and what may be new

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
