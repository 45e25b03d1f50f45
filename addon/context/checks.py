"""The little that the context rules rely on; everything else about a message is for Anthropic to judge."""

from __future__ import annotations

from typing import Any

from addon.core.errors import BadRequest
from addon.core.types import JsonObject

_TEXTS = {"tool_use": "id", "tool_result": "tool_use_id", "text": "text"}


type _Flaw = tuple[str, str]
"""Where it is, from the part that was looked at on, and what is asked for. The whole path is put together when
something is wrong only: most of the time would go into it."""


def check_messages(request: JsonObject) -> None:
    """Raise BadRequest unless `messages` are objects with a role and a text or typed blocks as content."""
    messages = request.get("messages")
    if not isinstance(messages, list):
        raise BadRequest("messages must be a list", param="messages")
    for at, message in enumerate(messages):
        if flaw := _of_message(message):
            path = f"messages[{at}]{flaw[0]}"
            raise BadRequest(f"{path} must be {flaw[1]}", param=path)


def _of_message(message: Any) -> _Flaw | None:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return "", "an object with a role"
    content = message.get("content")
    if isinstance(content, str):
        return None
    if not isinstance(content, list):
        return ".content", "a text or a list"
    return _of_blocks(content)


def _of_blocks(content: list[Any]) -> _Flaw | None:
    for at, block in enumerate(content):
        if flaw := _of_block(block):
            return f".content[{at}]{flaw[0]}", flaw[1]
    return None


def _of_block(block: Any) -> _Flaw | None:
    if not isinstance(block, dict) or not isinstance(kind := block.get("type"), str):
        return "", "an object with a type"
    name = _TEXTS.get(kind)
    if name and not isinstance(block.get(name), str):
        return f".{name}", "a text"
    nested = block.get("content") if kind == "tool_result" else None
    return _of_blocks(nested) if isinstance(nested, list) else None
