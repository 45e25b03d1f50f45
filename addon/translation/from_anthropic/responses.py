"""Writes Anthropic's responses in the form of OpenAI's Responses API, streamed or complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from addon.core.errors import CCProxyError
from addon.core.json_codec import dumps
from addon.core.types import JsonObject
from addon.translation.errors import openai_error_object
from addon.translation.from_anthropic.chat import id_tail
from addon.translation.from_anthropic.citations import CitedText
from addon.translation.from_anthropic.code_fence import CodeFence
from addon.translation.from_anthropic.renderer import TranslatedStream
from addon.translation.from_anthropic.response_fields import DEFAULTS
from addon.translation.from_anthropic.responses_items import (
    CallItem,
    Item,
    MessageItem,
    ReasoningItem,
)
from addon.translation.from_anthropic.tool_calls import StreamedCall
from addon.translation.from_anthropic.usage import INCOMPLETE_REASONS, responses_usage, service_tier
from addon.translation.message_stream import StreamEvent
from addon.translation.sse import encode_event
from addon.translation.types import Reply


class ResponsesStream(TranslatedStream):
    """One response as a stream. `created`: Unix seconds.

    Consecutive text blocks form one message item (a response with citations has dozens of them), consecutive thinking
    blocks one reasoning item. An item is closed when the next one opens: whether the last one is complete is known
    only at the end. Item ids consist of the upstream message's id and the block's index.
    """

    def __init__(
        self,
        reply: Reply,
        created: int,
        *,
        complete: Callable[[JsonObject], JsonObject] = dict,
    ) -> None:
        """`complete`: called once with the complete response object; returns what the client gets for it."""
        super().__init__(reply, created)
        self._complete = complete
        self.completed: JsonObject = {}
        """The complete response object, after `finish`."""
        self._output: list[JsonObject] = []
        self._item: Item | None = None
        self._blocks: dict[int, CitedText | ReasoningItem | CallItem] = {}
        self._fence = CodeFence() if reply.json_object else None
        self._sequence = 0

    def response(self) -> JsonObject:
        """The response object so far."""
        incomplete = self._incomplete()
        return {
            **DEFAULTS,
            **self._reply.echo,
            "id": f"resp_{id_tail(self._message)}",
            "object": "response",
            "created_at": self._created,
            "status": self._status() if self._closed else "in_progress",
            "error": None,
            "incomplete_details": {"reason": incomplete} if incomplete else None,
            "model": self._reply.model,
            "output": list(self._output),
            "usage": responses_usage(self._usage) if self._closed else None,
            **service_tier(self._usage),
        }

    def _incomplete(self) -> str | None:
        return INCOMPLETE_REASONS.get(self._stop.get("stop_reason") or "")

    def _status(self) -> str:
        return "incomplete" if self._incomplete() else "completed"

    def _opening(self) -> bytes:
        response = self.response()
        return self._encode(
            {"type": kind, "response": response}
            for kind in ("response.created", "response.in_progress")
        )

    # ---- blocks

    def _block_start(self, index: int, block: JsonObject) -> bytes:
        match block.get("type"):
            case "text":
                start = self._item.length if isinstance(self._item, MessageItem) else 0
                text = self._blocks[index] = CitedText(index, block, start)
                return self._text(text, block.get("text") or "")
            case "thinking" | "redacted_thinking":
                return self._thinking_start(index, block)
            case "tool_use":
                return self._call_start(index, block)
            case _:
                return b""  # server tools and unknown blocks are not shown to the client

    def _block_delta(self, index: int, delta: JsonObject) -> bytes:
        match delta.get("type"), self._blocks.get(index):
            case "text_delta", CitedText() as text:
                return self._text(text, delta["text"])
            case "input_json_delta", CallItem() as item:
                return self._arguments(item, item.call.add(delta["partial_json"]))
            case "citations_delta", CitedText() as text:
                text.cite(delta["citation"])
            case kind, ReasoningItem() as item:
                item.keep(delta)
                if kind == "thinking_delta":
                    return self._thinking(item, delta["thinking"])
        return b""

    def _block_stop(self, index: int) -> bytes:
        match self._blocks.pop(index, None):
            case CallItem() as item:
                return self._arguments(item, item.call.rest())
            case ReasoningItem() as item:
                return self._encode(item.closing())
            case CitedText() as text if isinstance(self._item, MessageItem):
                return self._encode(self._item.cite(text.annotations(self._item.length)))
        return b""

    def _text(self, block: CitedText, text: str) -> bytes:
        return self._shown_text(str(block.index), self._fence.feed(text) if self._fence else text)

    def _shown_text(self, suffix: str, text: str) -> bytes:
        if not text:
            return b""
        item, opened = self._message_item(suffix)
        return opened + self._encode(item.add(text)) + self._delta(item, text)

    def _message_item(self, suffix: str) -> tuple[MessageItem, bytes]:
        if isinstance(self._item, MessageItem):
            return self._item, b""
        item = MessageItem(self._id("msg", suffix), self._next_place())
        return item, self._open(item)

    def _thinking_start(self, index: int, block: JsonObject) -> bytes:
        opened = b""
        item = self._item
        if not isinstance(item, ReasoningItem):
            item = ReasoningItem(self._id("rs", str(index)), self._next_place())
            opened = self._open(item)
        self._blocks[index] = item
        item.start_block(block)
        return opened + self._thinking(item, block.get("thinking") or "")

    def _thinking(self, item: ReasoningItem, text: str) -> bytes:
        if not text or not self._reply.reasoning_fields:
            return b""
        return self._encode(item.show(text)) + self._delta(item, text)

    def _call_start(self, index: int, block: JsonObject) -> bytes:
        call = StreamedCall(block, index, self._reply)
        prefix = "ctc" if call.how.custom else "fc"
        item = CallItem(self._id(prefix, str(index)), self._next_place(), call)
        self._blocks[index] = item
        return self._open(item)

    def _arguments(self, item: CallItem, text: str) -> bytes:
        if not text:
            return b""
        item.add(text)
        return self._delta(item, text)

    # ---- items

    def _id(self, prefix: str, suffix: str) -> str:
        return f"{prefix}_{id_tail(self._message)}_{suffix}"

    def _next_place(self) -> int:
        return len(self._output) + (self._item is not None)

    def _open(self, item: Item) -> bytes:
        closed = self._close_item("completed")
        self._item = item
        return closed + self._encode([item.added()])

    def _close_item(self, status: str) -> bytes:
        item = self._item
        if item is None:
            return b""
        rest = b""
        if self._fence and isinstance(item, MessageItem):
            rest = self._shown_text("", self._fence.end())
        self._item = None
        self._output.append(item.value(status))
        return rest + self._encode([*item.closing(), item.done(status)])

    # ---- the end

    def _end(self) -> bytes:
        written = [self._start({})]
        written.append(self._shown_text("text", self._fence.end() if self._fence else ""))
        written += [self._block_stop(index) for index in list(self._blocks)]
        if declined := self._refusal():
            item, opened = self._message_item("refusal")
            written += [opened, self._encode(item.refuse(declined))]
        status = self._status()
        written.append(self._close_item(status))
        self.completed = self._complete(self.response())
        written.append(self._encode([{"type": f"response.{status}", "response": self.completed}]))
        return b"".join(written)

    def _error(self, error: CCProxyError) -> bytes:
        # Clients accept `response.failed` only after `response.created`.
        created = self._start({})
        failed = failed_response(self.response(), error)
        return created + self._encode([{"type": "response.failed", "response": failed}])

    # ---- bytes

    def _encode(self, events: Iterable[JsonObject]) -> bytes:
        written = []
        for event in events:
            numbered = {**event, "sequence_number": self._sequence}
            self._sequence += 1
            written.append(encode_event(dumps(numbered), event["type"]))
        return b"".join(written)

    def _delta(self, item: Item, text: str) -> bytes:
        if not item.delta_head:
            event = item.delta()
            kind = event["type"].encode()
            item.delta_head = b"event: %b\ndata: %b" % (kind, dumps(event)[:-1])
        sequence = self._sequence
        self._sequence += 1
        return b'%b,"delta":%b,"sequence_number":%d}\n\n' % (
            item.delta_head,
            dumps(text),
            sequence,
        )


def responses_object(
    message: JsonObject,
    reply: Reply,
    created: int,
    *,
    complete: Callable[[JsonObject], JsonObject] = dict,
) -> JsonObject:
    """`message` as the response to a Responses request that did not stream. `created`: Unix seconds; `complete`: as in
    `ResponsesStream`.

    `message` is replayed through `ResponsesStream` block by block, so the two forms of a response can't differ.
    """
    stream = ResponsesStream(reply, created, complete=complete)
    stream.render(_replayed(message))
    stream.finish()
    return stream.completed


def failed_response(response: JsonObject, error: CCProxyError) -> JsonObject:
    """`response` as it is reported when `error` has ended it."""
    shown = openai_error_object(error)
    shown["code"] = shown["code"] or shown["type"]
    return {**response, "status": "failed", "error": shown}


def _replayed(message: JsonObject) -> Iterator[StreamEvent]:
    yield _event("message_start", message=message)
    for index, block in enumerate(message["content"]):
        yield _event("content_block_start", index=index, content_block=block)
        yield _event("content_block_stop", index=index)
    yield _event("message_delta", delta=message)


def _event(kind: str, **data: object) -> StreamEvent:
    return StreamEvent(kind, data, b"")
