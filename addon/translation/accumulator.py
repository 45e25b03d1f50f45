"""Assembles the events of one Anthropic stream into the message that they describe."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from addon.core.errors import BadGateway
from addon.core.json_codec import loads
from addon.core.types import JsonObject
from addon.translation.response_shapes import check_message, is_block, is_citation

GROWING = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "input_json_delta": "partial_json",
}
"""Delta type -> the field of the delta that holds the next piece of text."""

_JSON_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)
_CLOSERS = {"{": "}", "[": "]"}


class MessageAccumulator:
    """Assembles the events of one response, added in order, into a `message` object.

    `add` raises BadGateway for an event that breaks Anthropic's order or shape. Unknown events, blocks and fields are
    kept unchanged, so that a message can be passed on complete.
    """

    def __init__(self) -> None:
        self._message: JsonObject = {}
        self._usage: JsonObject = {}
        self._blocks: dict[int, BlockAccumulator] = {}

    @property
    def usage(self) -> JsonObject:
        """The token counts so far, in Anthropic's form; {} before `message_start`."""
        return dict(self._usage)

    @property
    def message(self) -> JsonObject:
        """The message so far, as a new object; {} before `message_start`. A tool input whose JSON was cut off
        contains its complete members only."""
        if not self._message:
            return {}
        content = [block.value(loads) for block in self._blocks.values()]
        return {**self._message, "content": content, "usage": self.usage}

    def add(self, event: JsonObject) -> None:
        """Add one event: its decoded data."""
        kind = event.get("type")
        if kind == "content_block_delta":
            self._block(event).add(event["delta"])
        elif kind == "message_start":
            self._start(event["message"])
        elif kind in ("content_block_start", "message_delta") and not self._message:
            raise BadGateway(f"Upstream sent {kind} before message_start", code="upstream_invalid")
        elif kind == "content_block_start":
            self._open(event["index"], event["content_block"])
        elif kind == "message_delta":
            self._message_delta(event)

    def _start(self, message: JsonObject) -> None:
        if self._message:
            raise BadGateway("Upstream sent a second message_start", code="upstream_invalid")
        self._message = {**message, "content": message.get("content") or []}
        self._usage = dict(message.get("usage") or {})
        self._blocks = {
            i: BlockAccumulator(block) for i, block in enumerate(message.get("content") or ())
        }

    def _open(self, index: int, block: JsonObject) -> None:
        if index in self._blocks:
            raise BadGateway("Upstream started a content block twice", code="upstream_invalid")
        self._blocks[index] = BlockAccumulator(block)

    def _block(self, event: JsonObject) -> BlockAccumulator:
        block = self._blocks.get(event["index"])
        if block is None:
            raise BadGateway(
                "Upstream sent a delta for a content block that it never started",
                code="upstream_invalid",
            )
        return block

    def _message_delta(self, event: JsonObject) -> None:
        overlay(self._message, event["delta"])
        overlay(self._usage, event.get("usage") or {})
        # e.g. context_management stands beside `delta`
        rest = {key: event[key] for key in event.keys() - {"type", "delta", "usage"}}
        overlay(self._message, rest)
        check_message(self._message)


class BlockAccumulator:
    """Assembles one content block from its initial fields and its deltas."""

    def __init__(self, start: JsonObject) -> None:
        self._start = dict(start)
        self._pieces: list[str] = []
        self._citations: list[JsonObject] = []
        kind = start.get("type")
        self._grows_by = f"{kind}_delta" if kind in ("text", "thinking") else "input_json_delta"

    def add(self, delta: JsonObject) -> None:
        kind = delta.get("type")
        field = GROWING.get(kind) if isinstance(kind, str) else None
        if field is not None:
            piece = delta.get(field)
            if not isinstance(piece, str):
                raise BadGateway(f"Upstream sent a {kind} without text", code="upstream_invalid")
            if kind == self._grows_by:
                self._pieces.append(piece)
        elif kind == "citations_delta":
            if not is_citation(citation := delta.get("citation")):
                raise BadGateway("Upstream sent an unreadable citation", code="upstream_invalid")
            self._citations.append(citation)
        else:
            # signature_delta, compaction_delta and future types carry fields of the block itself
            overlay(self._start, {key: value for key, value in delta.items() if key != "type"})
            if not is_block(self._start):
                raise BadGateway(
                    f"Upstream sent an unreadable {str(kind)[:80]}", code="upstream_invalid"
                )

    def value(self, loads: Callable[[bytes | str], Any]) -> JsonObject:
        block = dict(self._start)
        if self._citations:
            block["citations"] = [*(block.get("citations") or ()), *self._citations]
        joined = "".join(self._pieces)
        if joined and self._grows_by == "input_json_delta":
            block["input"] = _tool_input(joined, loads)
        elif joined:
            field = GROWING[self._grows_by]
            block[field] = (block.get(field) or "") + joined
        return block


def _tool_input(text: str, loads: Callable[[bytes | str], Any]) -> Any:
    """The decoded input. JSON that was cut off is decoded up to its last complete member; other text is returned as
    it is."""
    for candidate in (text, _complete_part(text)):
        try:
            return loads(candidate)
        except ValueError:
            continue
    return text


def _complete_part(text: str) -> str:
    """Truncated JSON text up to its last member that is certainly complete, with all brackets closed."""
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
    """Update `target` in place. Counts in `message_delta` are cumulative totals, and null there means "not reported",
    so it never replaces a value from `message_start`."""
    for key, value in changes.items():
        if value is not None or key not in target:
            target[key] = value
