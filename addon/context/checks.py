"""The little that the context rules rely on; everything else about a message is for Anthropic to judge."""

from __future__ import annotations

from typing import Any

from addon.errors import BadRequest
from addon.wire.types import JsonObject

_IDS = {"tool_use": "id", "tool_result": "tool_use_id"}


def check_messages(request: JsonObject) -> None:
    """Raise BadRequest unless `messages` are objects with a role and a text or typed blocks as content."""
    messages = request.get("messages")
    if not isinstance(messages, list):
        raise BadRequest("messages must be a list", param="messages")
    for at, message in enumerate(messages):
        _check_message(message, f"messages[{at}]")


def _check_message(message: Any, path: str) -> None:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise BadRequest(f"{path} must be an object with a role", param=path)
    content = message.get("content")
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise BadRequest(f"{path}.content must be a text or a list", param=f"{path}.content")
    for at, block in enumerate(content):
        _check_block(block, f"{path}.content[{at}]")


def _check_block(block: Any, path: str) -> None:
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        raise BadRequest(f"{path} must be an object with a type", param=path)
    name = _IDS.get(block["type"])
    if name and not isinstance(block.get(name), str):
        raise BadRequest(f"{path}.{name} must be a text", param=f"{path}.{name}")
    if block["type"] == "text" and not isinstance(block.get("text"), str):
        raise BadRequest(f"{path}.text must be a text", param=f"{path}.text")
    nested = block.get("content")
    if block["type"] == "tool_result" and isinstance(nested, list):
        for at, part in enumerate(nested):
            _check_block(part, f"{path}.content[{at}]")
