"""Anthropic's stream as `chat.completion.chunk`s."""

from __future__ import annotations

from addon.core.errors import CCProxyError
from addon.core.types import STDLIB, Codec, JsonObject, Reply
from addon.translation.errors import encode_chat_error
from addon.translation.from_anthropic.citations import CitedText
from addon.translation.from_anthropic.completion import (
    REASONING_SEPARATOR,
    chat_annotation,
    completion_id,
)
from addon.translation.from_anthropic.finish import finish_reason
from addon.translation.from_anthropic.tool_calls import StreamedCall
from addon.translation.from_anthropic.translated_stream import TranslatedStream
from addon.translation.from_anthropic.usage import chat_usage, service_tier
from addon.translation.sse import encode_event


class _Thinking:
    """An open thinking block: what stands before its first piece."""

    __slots__ = ("separator",)

    def __init__(self, separator: str) -> None:
        self.separator = separator


class ChatStream(TranslatedStream):
    """One chat answer as a stream. `created`: Unix seconds, the same in every chunk.

    Keeps to what the OpenAI SDKs' accumulators demand: the role once and first, each call's id, type and name once,
    calls numbered 0, 1, 2 without gaps, no chunk without `choices`, one finish_reason, `[DONE]` last.
    """

    def __init__(self, reply: Reply, created: int, codec: Codec = STDLIB) -> None:
        super().__init__(reply, created, codec)
        self._blocks: dict[int, CitedText | _Thinking | StreamedCall] = {}
        self._text_length = 0
        self._annotations = 0
        self._calls = 0
        self._thought = False
        self._head = self._delta_head = self._delta_tail = self._finish_tail = b""
        self._content_head = self._content_tail = b""

    def _opening(self) -> bytes:
        """What is the same in every chunk is encoded once: most chunks carry a few characters of text."""
        head = {
            "id": completion_id(self._message),
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._reply.model,
            **service_tier(self._usage),
        }
        self._head = b"data: %b" % self._codec.dumps(head)[:-1]
        # With include_usage OpenAI says `null` in every chunk but the last.
        usage = b',"usage":null' if self._reply.include_usage else b""
        self._delta_head = self._head + b',"choices":[{"index":0,"delta":'
        self._delta_tail = b',"logprobs":null,"finish_reason":null}]%b}\n\n' % usage
        self._finish_tail = b"}]%b}\n\n" % usage
        self._content_head = self._delta_head + b'{"content":'
        self._content_tail = b"}" + self._delta_tail
        return self._chunk({"role": "assistant", "content": ""})

    # ---- blocks

    def _block_start(self, index: int, block: JsonObject) -> bytes:
        match block.get("type"):
            case "text":
                self._blocks[index] = CitedText(index, block, self._text_length)
                return self._text(block.get("text") or "")
            case "thinking":
                thinking = _Thinking(REASONING_SEPARATOR if self._thought else "")
                self._blocks[index] = thinking
                return self._thinking(thinking, block.get("thinking") or "")
            case "tool_use":
                return self._call_start(index, block)
            case _:
                # Server tools, redacted thinking, compaction and new blocks are not the client's; what belongs to
                # them is dropped with them, since their index is unknown.
                return b""

    def _block_delta(self, index: int, delta: JsonObject) -> bytes:
        match delta.get("type"), self._blocks.get(index):
            case "text_delta", CitedText():
                return self._text(delta["text"])
            case "input_json_delta", StreamedCall() as call:
                return self._arguments(call, call.add(delta["partial_json"]))
            case "thinking_delta", _Thinking() as thinking:
                return self._thinking(thinking, delta["thinking"])
            case "citations_delta", CitedText() as text:
                text.cite(delta["citation"])
        return b""

    def _block_stop(self, index: int) -> bytes:
        match self._blocks.pop(index, None):
            case StreamedCall() as call:
                return self._arguments(call, call.rest())
            case CitedText() as text:
                return self._cited(text)
        return b""

    def _text(self, text: str) -> bytes:
        if not text:
            return b""
        self._text_length += len(text)
        return self._content_head + self._codec.dumps(text) + self._content_tail

    def _thinking(self, block: _Thinking, text: str) -> bytes:
        if not text or not self._reply.reasoning_fields:
            return b""  # omitted thinking comes as empty pieces
        text = block.separator + text
        block.separator = ""
        self._thought = True
        return self._chunk(dict.fromkeys(self._reply.reasoning_fields, text))

    def _cited(self, text: CitedText) -> bytes:
        cited = text.url_citations(self._text_length)
        if not cited:
            return b""
        # The OpenAI SDK's accumulator merges lists by `index` and fails on an element without one.
        first = self._annotations
        self._annotations += len(cited)
        annotations = [{"index": first + i, **chat_annotation(c)} for i, c in enumerate(cited)]
        return self._chunk({"annotations": annotations})

    # ---- tool calls

    def _call_start(self, index: int, block: JsonObject) -> bytes:
        if self._reply.legacy_functions and self._calls:
            return b""  # the old form has room for one call
        call = StreamedCall(block, self._calls, self._reply, self._codec)
        self._calls += 1
        self._blocks[index] = call
        function = {"name": call.how.name, "arguments": ""}
        if self._reply.legacy_functions:
            return self._chunk({"function_call": function})
        # Also custom tools: chunks know functions only, and both the SDK and Cursor break on another type.
        head = {
            "index": call.position,
            "id": call.call_id,
            "type": "function",
            "function": function,
        }
        return self._chunk({"tool_calls": [head]})

    def _arguments(self, call: StreamedCall, text: str) -> bytes:
        if not text:
            return b""
        function = {"arguments": text}
        if self._reply.legacy_functions:
            return self._chunk({"function_call": function})
        return self._chunk({"tool_calls": [{"index": call.position, "function": function}]})

    # ---- the end

    def _end(self) -> bytes:
        chunks = [self._start({})]
        chunks += [self._block_stop(index) for index in list(self._blocks)]
        if declined := self._refusal():
            # Cursor shows `content` only.
            shown = {} if self._text_length else {"content": declined}
            chunks.append(self._chunk({**shown, "refusal": declined}))
        reason = finish_reason(
            self._stop.get("stop_reason"),
            called=self._calls > 0,
            legacy=self._reply.legacy_functions,
        )
        chunks.append(
            b'%b{},"logprobs":null,"finish_reason":"%b"%b'
            % (self._delta_head, reason.encode(), self._finish_tail)
        )
        if self._reply.include_usage:
            usage = self._codec.dumps(chat_usage(self._usage))
            chunks.append(b'%b,"choices":[],"usage":%b}\n\n' % (self._head, usage))
        chunks.append(encode_event(b"[DONE]"))
        return b"".join(chunks)

    def _error(self, error: CCProxyError) -> bytes:
        return encode_chat_error(error, self._codec)

    def _chunk(self, delta: JsonObject) -> bytes:
        return self._delta_head + self._codec.dumps(delta) + self._delta_tail
