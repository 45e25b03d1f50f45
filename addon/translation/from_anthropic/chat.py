"""Writes Anthropic's responses as OpenAI chat completions, streamed or complete."""

from __future__ import annotations

from addon.core.errors import CCProxyError
from addon.core.json_codec import dumps
from addon.core.types import JsonObject
from addon.translation.errors import encode_chat_error
from addon.translation.from_anthropic.citations import CitedText, url_citations
from addon.translation.from_anthropic.code_fence import CodeFence, strip_fence
from addon.translation.from_anthropic.renderer import TranslatedStream
from addon.translation.from_anthropic.tool_calls import StreamedCall, arguments_text, tool_reply
from addon.translation.from_anthropic.usage import chat_usage, finish_reason, refusal, service_tier
from addon.translation.sse import encode_event
from addon.translation.types import Reply

REASONING_SEPARATOR = "\n\n"


class _Thinking:
    """An open thinking block: the separator to send before its first piece."""

    __slots__ = ("separator",)

    def __init__(self, separator: str) -> None:
        self.separator = separator


class ChatStream(TranslatedStream):
    """One chat response as a stream of `chat.completion.chunk`. `created`: Unix seconds, the same in every chunk.

    Invariants, required by the OpenAI SDKs' accumulators: the role once and first; each call's id, type and name once;
    calls numbered 0, 1, 2 without gaps; `choices` in every chunk; one finish_reason; `[DONE]` last.
    """

    def __init__(self, reply: Reply, created: int) -> None:
        super().__init__(reply, created)
        self._blocks: dict[int, CitedText | _Thinking | StreamedCall] = {}
        self._text_length = 0
        self._fence = CodeFence() if reply.json_object else None
        self._annotations = 0
        self._calls = 0
        self._thought = False
        self._head = self._delta_head = self._delta_tail = self._finish_tail = b""
        self._content_head = self._content_tail = b""

    def _opening(self) -> bytes:
        """Encodes once what all chunks share: most chunks carry only a few characters of text."""
        head = {
            "id": completion_id(self._message),
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._reply.model,
            **service_tier(self._usage),
        }
        self._head = b"data: %b" % dumps(head)[:-1]
        # With include_usage, OpenAI sends `"usage": null` in every chunk but the last.
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
                # Server tools, redacted thinking, compaction and unknown blocks have no form in chat. Their deltas are
                # dropped too, because their index is not in `_blocks`.
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
        return self._shown_text(self._fence.feed(text) if self._fence else text)

    def _shown_text(self, text: str) -> bytes:
        if not text:
            return b""
        self._text_length += len(text)
        return self._content_head + dumps(text) + self._content_tail

    def _thinking(self, block: _Thinking, text: str) -> bytes:
        if not text or not self._reply.reasoning_fields:
            return b""  # omitted thinking arrives as empty deltas
        text = block.separator + text
        block.separator = ""
        self._thought = True
        return self._chunk(dict.fromkeys(self._reply.reasoning_fields, text))

    def _cited(self, text: CitedText) -> bytes:
        cited = text.url_citations(self._text_length)
        if not cited:
            return b""
        # The OpenAI SDK's accumulator merges lists by `index` and fails on elements without one.
        first = self._annotations
        self._annotations += len(cited)
        annotations = [{"index": first + i, **chat_annotation(c)} for i, c in enumerate(cited)]
        return self._chunk({"annotations": annotations})

    # ---- tool calls

    def _call_start(self, index: int, block: JsonObject) -> bytes:
        if self._reply.legacy_functions and self._calls:
            return b""  # `function_call` holds one call
        call = StreamedCall(block, self._calls, self._reply)
        self._calls += 1
        self._blocks[index] = call
        function = {"name": call.how.name, "arguments": ""}
        if self._reply.legacy_functions:
            return self._chunk({"function_call": function})
        # Custom tools too: chunks have function calls only, and both the SDK and Cursor fail on another type.
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
        chunks.append(self._shown_text(self._fence.end() if self._fence else ""))
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
            usage = dumps(chat_usage(self._usage))
            chunks.append(b'%b,"choices":[],"usage":%b}\n\n' % (self._head, usage))
        chunks.append(encode_event(b"[DONE]"))
        return b"".join(chunks)

    def _error(self, error: CCProxyError) -> bytes:
        return encode_chat_error(error)

    def _chunk(self, delta: JsonObject) -> bytes:
        return self._delta_head + dumps(delta) + self._delta_tail


def chat_completion(message: JsonObject, reply: Reply, created: int) -> JsonObject:
    """`message` as the response to a chat request that did not stream. `created`: Unix seconds."""
    content = message["content"]
    calls = [block for block in content if block.get("type") == "tool_use"]
    usage = message.get("usage") or {}
    choice = {
        "index": 0,
        "message": _assistant_message(message, calls, reply),
        "logprobs": None,
        "finish_reason": finish_reason(
            message.get("stop_reason"), called=bool(calls), legacy=reply.legacy_functions
        ),
    }
    return {
        "id": completion_id(message),
        "object": "chat.completion",
        "created": created,
        "model": reply.model,
        "choices": [choice],
        "usage": chat_usage(usage),
        **service_tier(usage),
    }


def chat_annotation(citation: JsonObject) -> JsonObject:
    return {"type": "url_citation", "url_citation": citation}


def completion_id(message: JsonObject) -> str:
    """The same id for the same upstream message, in OpenAI's form."""
    return f"chatcmpl-{id_tail(message)}"


def id_tail(message: JsonObject) -> str:
    """The unique part of the id of `message`: what follows `msg_`."""
    return str(message.get("id") or "").removeprefix("msg_")


def _assistant_message(message: JsonObject, calls: list[JsonObject], reply: Reply) -> JsonObject:
    texts = [block for block in message["content"] if block.get("type") == "text"]
    text = "".join(block.get("text") or "" for block in texts)
    declined = refusal(message.get("stop_reason"), message.get("stop_details"))
    reply_message: JsonObject = {"role": "assistant", "content": text, "refusal": declined}
    if reply.json_object:
        reply_message["content"] = strip_fence(text)
    if not text:
        # Many clients fail on null without calls; Cursor shows `content` only, so a refusal must be there too.
        reply_message["content"] = declined or (None if calls else "")
    if reasoning := _reasoning(message):
        reply_message |= dict.fromkeys(reply.reasoning_fields, reasoning)
    if annotations := _annotations(texts):
        reply_message["annotations"] = annotations
    return reply_message | _calls(calls, reply)


def _reasoning(message: JsonObject) -> str:
    thoughts = (b.get("thinking") for b in message["content"] if b.get("type") == "thinking")
    return REASONING_SEPARATOR.join(thought for thought in thoughts if thought)


def _annotations(texts: list[JsonObject]) -> list[JsonObject]:
    annotations = []
    end = 0
    for block in texts:
        start, end = end, end + len(block.get("text") or "")
        annotations += [
            chat_annotation(c) for c in url_citations(block.get("citations"), start, end)
        ]
    return annotations


def _calls(calls: list[JsonObject], reply: Reply) -> JsonObject:
    if not calls:
        return {}
    if reply.legacy_functions:
        # `function_call` holds one call; with `functions`, parallel calls are disabled upstream.
        return {"function_call": _tool_call(calls[0], reply)["function"]}
    return {"tool_calls": [_tool_call(block, reply) for block in calls]}


def _tool_call(block: JsonObject, reply: Reply) -> JsonObject:
    how = tool_reply(reply, block["name"])
    arguments = arguments_text(block.get("input"), how)
    if how.custom:
        return {
            "id": block["id"],
            "type": "custom",
            "custom": {"name": how.name, "input": arguments},
        }
    return {
        "id": block["id"],
        "type": "function",
        "function": {"name": how.name, "arguments": arguments},
    }
