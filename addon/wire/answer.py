"""The one place that chooses by dialect how an answer is written."""

from __future__ import annotations

from addon.wire.chat_stream import ChatStream
from addon.wire.completion import chat_completion
from addon.wire.native_stream import NativeStream, native_message
from addon.wire.renderer import Renderer
from addon.wire.responses_object import responses_object
from addon.wire.responses_stream import ResponsesStream
from addon.wire.types import STDLIB, Codec, Dialect, JsonObject, Reply


def renderer_for(
    dialect: Dialect,
    reply: Reply,
    created: int,
    codec: Codec = STDLIB,
    *,
    request_id: str | None = None,
) -> Renderer:
    """The writer of one streamed answer. `created`: Unix seconds; `request_id`: for Anthropic's error event."""
    match dialect:
        case "chat":
            return ChatStream(reply, created, codec)
        case "responses":
            return ResponsesStream(reply, created, codec)
        case "messages":
            return NativeStream(reply, codec, request_id=request_id)


def whole_answer(
    dialect: Dialect, message: JsonObject, reply: Reply, created: int, codec: Codec = STDLIB
) -> JsonObject:
    """`message` as the body of an answer that is not streamed."""
    match dialect:
        case "chat":
            return chat_completion(message, reply, created, codec)
        case "responses":
            return responses_object(message, reply, created, codec)
        case "messages":
            return native_message(message, reply)
