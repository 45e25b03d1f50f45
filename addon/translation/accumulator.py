"""The one fold of Anthropic's stream events into the message they describe."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from addon.core.errors import BadGateway
from addon.core.types import STDLIB, Codec, JsonObject

# delta type -> the field of the delta that is a piece of a growing text
_GROWING = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "input_json_delta": "partial_json",
}

_JSON_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)
_CLOSERS = {"{": "}", "[": "]"}


class MessageAccumulator:
    """Folds the events of one answer, in their order, into a `message` object.

    `add` raises BadGateway for an event that breaks Anthropic's order or shape. Events, blocks and fields that are
    not known here are kept as they came, so a message can be given on whole.
    """

    def __init__(self, codec: Codec = STDLIB) -> None:
        self._codec = codec
        self._message: JsonObject = {}
        self._usage: JsonObject = {}
        self._blocks: dict[int, BlockAccumulator] = {}

    @property
    def usage(self) -> JsonObject:
        """The token counts so far, in Anthropic's form; {} before `message_start`."""
        return dict(self._usage)

    @property
    def message(self) -> JsonObject:
        """The message so far, as a new object; {} before `message_start`. A tool input whose JSON was cut off is
        given up to its last complete member."""
        if not self._message:
            return {}
        content = [block.value(self._codec.loads) for block in self._blocks.values()]
        return {**self._message, "content": content, "usage": self.usage}

    def add(self, event: JsonObject) -> None:
        """Fold in one event (its decoded data)."""
        kind = event.get("type")
        if kind == "content_block_delta":
            self._block(event).add(event["delta"])
        elif kind == "message_start":
            self._start(event["message"])
        elif kind in ("content_block_start", "message_delta") and not self._message:
            raise BadGateway(f"Upstream sent {kind} before message_start", code="upstream_invalid")
        elif kind == "content_block_start":
            self._blocks[event["index"]] = BlockAccumulator(event["content_block"])
        elif kind == "message_delta":
            self._message_delta(event)

    def _start(self, message: JsonObject) -> None:
        if not self._message:
            self._message = dict(message)
            self._usage = dict(message.get("usage") or {})
            self._blocks = {
                i: BlockAccumulator(block) for i, block in enumerate(message.get("content") or ())
            }

    def _block(self, event: JsonObject) -> BlockAccumulator:
        block = self._blocks.get(event["index"])
        if block is None:
            raise BadGateway(
                "Upstream sent a part of a content block that it never started",
                code="upstream_invalid",
            )
        return block

    def _message_delta(self, event: JsonObject) -> None:
        overlay(self._message, event["delta"])
        overlay(self._usage, event.get("usage") or {})
        # e.g. context_management stands beside `delta`
        rest = {key: event[key] for key in event.keys() - {"type", "delta", "usage"}}
        overlay(self._message, rest)


class BlockAccumulator:
    """Folds one content block: the fields it started with, and its growing text in pieces."""

    def __init__(self, start: JsonObject) -> None:
        self._start = dict(start)
        self._pieces: list[str] = []
        self._citations: list[JsonObject] = []
        kind = start.get("type")
        self._grows_by = f"{kind}_delta" if kind in ("text", "thinking") else "input_json_delta"

    def add(self, delta: JsonObject) -> None:
        kind = delta.get("type")
        field = _GROWING.get(kind or "")
        if field is not None:
            piece = delta.get(field)
            if not isinstance(piece, str):
                raise BadGateway(f"Upstream sent a {kind} without text", code="upstream_invalid")
            if kind == self._grows_by:
                self._pieces.append(piece)
        elif kind == "citations_delta":
            if not isinstance(delta.get("citation"), dict):
                raise BadGateway(
                    "Upstream sent a citation without content", code="upstream_invalid"
                )
            self._citations.append(delta["citation"])
        else:
            # signature_delta, compaction_delta and what may come later name the block's own fields
            overlay(self._start, {key: value for key, value in delta.items() if key != "type"})

    def value(self, loads: Callable[[bytes | str], Any]) -> JsonObject:
        block = dict(self._start)
        if self._citations:
            block["citations"] = [*(block.get("citations") or ()), *self._citations]
        joined = "".join(self._pieces)
        if joined and self._grows_by == "input_json_delta":
            block["input"] = _tool_input(joined, loads)
        elif joined:
            field = _GROWING[self._grows_by]
            block[field] = (block.get(field) or "") + joined
        return block


def _tool_input(text: str, loads: Callable[[bytes | str], Any]) -> Any:
    """The decoded input; cut JSON up to its last complete member; what is no JSON at all as the text it is."""
    for candidate in (text, _complete_part(text)):
        try:
            return loads(candidate)
        except ValueError:
            continue
    return text


def _complete_part(text: str) -> str:
    """JSON text that was cut off, up to its last member that is surely complete, closed."""
    closers: list[str] = []
    end = 0
    for token in _JSON_TOKEN.finditer(text):
        char = token[0]
        if char in _CLOSERS:
            closers.append(_CLOSERS[char])
        elif char in ("}", "]") and closers:
            closers.pop()
        elif char != ",":
            continue
        end = token.start() if char == "," else token.end()
    return text[:end] + "".join(reversed(closers))


def overlay(target: JsonObject, changes: JsonObject) -> None:
    """Lay `changes` over `target` in place. Counts of `message_delta` are totals so far, and a null there means
    "not said", so it never replaces what `message_start` said."""
    for key, value in changes.items():
        if value is not None or key not in target:
            target[key] = value
