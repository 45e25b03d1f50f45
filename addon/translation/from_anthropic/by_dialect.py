"""Chooses, by the client's dialect, how a response is written."""

from __future__ import annotations

from collections.abc import Callable

from addon.core.types import Dialect, JsonObject
from addon.translation.from_anthropic.chat import ChatStream, chat_completion
from addon.translation.from_anthropic.native import NativeStream, native_message
from addon.translation.from_anthropic.renderer import Renderer
from addon.translation.from_anthropic.responses import ResponsesStream, responses_object
from addon.translation.types import Reply


def renderer_for(
    dialect: Dialect,
    reply: Reply,
    created: int,
    *,
    request_id: str | None = None,
    complete: Callable[[JsonObject], JsonObject] = dict,
) -> Renderer:
    """The renderer of one streamed response. `created`: Unix seconds; `request_id`: for Anthropic's error event;
    `complete`: as in `ResponsesStream`."""
    match dialect:
        case "chat":
            return ChatStream(reply, created)
        case "responses":
            return ResponsesStream(reply, created, complete=complete)
        case "messages":
            return NativeStream(reply, request_id=request_id)


def whole_response(
    dialect: Dialect,
    message: JsonObject,
    reply: Reply,
    created: int,
    *,
    complete: Callable[[JsonObject], JsonObject] = dict,
) -> JsonObject:
    """`message` as the body of a response that is not streamed. `complete`: as in `ResponsesStream`."""
    match dialect:
        case "chat":
            return chat_completion(message, reply, created)
        case "responses":
            return responses_object(message, reply, created, complete=complete)
        case "messages":
            return native_message(message, reply)
