"""One message of a Chat Completions history, as a turn."""

from __future__ import annotations

from typing import Any

from addon.core.errors import BadRequest
from addon.core.types import JsonObject
from addon.translation.to_anthropic.assistant import LEGACY_CALL_ID, assistant_turn
from addon.translation.to_anthropic.content import (
    TEXT_PARTS,
    USER_PARTS,
    Context,
    Turn,
    content_blocks,
    result_block,
)
from addon.translation.to_anthropic.fields import expect_object
from addon.translation.to_anthropic.sanitize import sanitized


def message_turn(message: Any, context: Context) -> Turn:
    """Depends on its arguments only, and shares nothing with `message`. Raises BadRequest with a `param` below it."""
    message = expect_object(sanitized(message))
    match message.get("role"):
        case "system" | "developer":
            return Turn("system", content_blocks(message.get("content"), TEXT_PARTS, context))
        case "user":
            return Turn("user", content_blocks(message.get("content"), USER_PARTS, context))
        case "assistant":
            return assistant_turn(message, context)
        case "tool":
            return _result_turn(message.get("tool_call_id"), message, context)
        case "function":
            return _result_turn(LEGACY_CALL_ID, message, context)
        case role:
            raise BadRequest(f"unknown role {str(role)[:80]}", param="role")


def _result_turn(call_id: Any, message: JsonObject, context: Context) -> Turn:
    return Turn("user", [result_block(call_id, message.get("content"), context)])
