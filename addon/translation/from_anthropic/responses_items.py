"""The output items of a Responses API response while they are being streamed.

Each item returns its events without sequence numbers, which the stream adds, and its value at any time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from addon.core.json_codec import loads
from addon.core.types import JsonObject
from addon.translation.accumulator import BlockAccumulator
from addon.translation.from_anthropic.tool_calls import StreamedCall
from addon.translation.sealed_thinking import encode_thinking


class Item(ABC):
    """One output item. `item_id`: unique in the response; `output_index`: its place in `output`."""

    def __init__(self, item_id: str, output_index: int) -> None:
        self.item_id = item_id
        self.output_index = output_index
        self.delta_head = b""
        """The encoded start of its delta events: most events are deltas of a few characters."""

    @abstractmethod
    def value(self, status: str) -> JsonObject:
        """The item so far; `status`: in_progress, completed or incomplete."""

    @abstractmethod
    def delta(self) -> JsonObject:
        """A delta event without its `delta`."""

    @abstractmethod
    def closing(self) -> list[JsonObject]:
        """The events that finish the item's parts."""

    def added(self) -> JsonObject:
        return self._lifecycle("response.output_item.added", "in_progress")

    def done(self, status: str) -> JsonObject:
        return self._lifecycle("response.output_item.done", status)

    def _lifecycle(self, kind: str, status: str) -> JsonObject:
        return {"type": kind, "output_index": self.output_index, "item": self.value(status)}

    def event(self, kind: str, **fields: object) -> JsonObject:
        place = {"item_id": self.item_id, "output_index": self.output_index}
        return {"type": f"response.{kind}", **place, **fields}


class MessageItem(Item):
    """Text with its citations; possibly a refusal at the end."""

    def __init__(self, item_id: str, output_index: int) -> None:
        super().__init__(item_id, output_index)
        self.length = 0
        self._pieces: list[str] = []
        self._annotations: list[JsonObject] = []
        self._refusal: str | None = None

    def add(self, text: str) -> list[JsonObject]:
        """Add a piece of text. Returns the events that must precede its delta."""
        opening = [] if self._pieces else [self._part("added", self._text_part())]
        self._pieces.append(text)
        self.length += len(text)
        return opening

    def delta(self) -> JsonObject:
        return self.event("output_text.delta", content_index=0, logprobs=[])

    def cite(self, annotations: list[JsonObject]) -> list[JsonObject]:
        events = []
        for annotation in annotations:
            place = {"content_index": 0, "annotation_index": len(self._annotations)}
            self._annotations.append(annotation)
            events.append(
                self.event("output_text.annotation.added", **place, annotation=annotation)
            )
        return events

    def refuse(self, refusal: str) -> list[JsonObject]:
        index = len(self._parts())
        opening = self._part("added", {"type": "refusal", "refusal": ""}, index)
        self._refusal = refusal
        return [
            opening,
            self.event("refusal.delta", content_index=index, delta=refusal),
            self.event("refusal.done", content_index=index, refusal=refusal),
            self._part("done", self._parts()[index], index),
        ]

    def closing(self) -> list[JsonObject]:
        if not self._pieces:
            return []
        part = self._text_part()
        text = self.event("output_text.done", content_index=0, logprobs=[], text=part["text"])
        return [text, self._part("done", part)]

    def value(self, status: str) -> JsonObject:
        return {
            "id": self.item_id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": self._parts(),
        }

    def _part(self, what: str, part: JsonObject, index: int = 0) -> JsonObject:
        return self.event(f"content_part.{what}", content_index=index, part=part)

    def _parts(self) -> list[JsonObject]:
        parts = [self._text_part()] if self._pieces else []
        if self._refusal is not None:
            parts.append({"type": "refusal", "refusal": self._refusal})
        return parts

    def _text_part(self) -> JsonObject:
        return {
            "type": "output_text",
            "text": "".join(self._pieces),
            "annotations": list(self._annotations),
            "logprobs": [],
        }


class ReasoningItem(Item):
    """Consecutive thinking blocks: readable text as the summary, and all blocks as `encrypted_content`."""

    def __init__(self, item_id: str, output_index: int) -> None:
        super().__init__(item_id, output_index)
        self._blocks: list[BlockAccumulator] = []
        self._summary: list[list[str]] = []
        self._part_open = False

    def start_block(self, block: JsonObject) -> None:
        self._blocks.append(BlockAccumulator(block))

    def keep(self, delta: JsonObject) -> None:
        """Add a delta of the last block, for `encrypted_content`."""
        self._blocks[-1].add(delta)

    def show(self, text: str) -> list[JsonObject]:
        """Add readable text of the last block. Returns the events that must precede its delta."""
        opening = []
        if not self._part_open:
            self._part_open = True
            self.delta_head = b""
            self._summary.append([])
            opening = [self._part("added")]
        self._summary[-1].append(text)
        return opening

    def delta(self) -> JsonObject:
        return self.event("reasoning_summary_text.delta", summary_index=len(self._summary) - 1)

    def closing(self) -> list[JsonObject]:
        """The events that finish the open summary part; also called at the end of each block."""
        if not self._part_open:
            return []
        self._part_open = False
        place = {"summary_index": len(self._summary) - 1}
        text = "".join(self._summary[-1])
        return [self.event("reasoning_summary_text.done", **place, text=text), self._part("done")]

    def value(self, status: str) -> JsonObject:
        item: JsonObject = {
            "id": self.item_id,
            "type": "reasoning",
            "status": status,
            "summary": [_summary_text(pieces) for pieces in self._summary],
        }
        if self._blocks:
            blocks = [block.value(loads) for block in self._blocks]
            item["encrypted_content"] = encode_thinking(blocks)
        return item

    def _part(self, what: str) -> JsonObject:
        part = _summary_text(self._summary[-1])
        index = len(self._summary) - 1
        return self.event(f"reasoning_summary_part.{what}", summary_index=index, part=part)


class CallItem(Item):
    """One tool call: `function_call`, or `custom_tool_call` for a custom tool."""

    def __init__(self, item_id: str, output_index: int, call: StreamedCall) -> None:
        super().__init__(item_id, output_index)
        self.call = call
        self._pieces: list[str] = []
        self._field = "input" if call.how.custom else "arguments"
        self._events = "custom_tool_call_input" if call.how.custom else "function_call_arguments"

    def add(self, text: str) -> None:
        self._pieces.append(text)

    def delta(self) -> JsonObject:
        return self.event(f"{self._events}.delta")

    def closing(self) -> list[JsonObject]:
        return [self.event(f"{self._events}.done", **{self._field: "".join(self._pieces)})]

    def value(self, status: str) -> JsonObject:
        how = self.call.how
        item = {
            "id": self.item_id,
            "type": "custom_tool_call" if how.custom else "function_call",
            "status": status,
            "call_id": self.call.call_id,
            "name": how.name,
            self._field: "".join(self._pieces),
        }
        return item | ({"namespace": how.namespace} if how.namespace else {})


def _summary_text(pieces: list[str]) -> JsonObject:
    return {"type": "summary_text", "text": "".join(pieces)}
