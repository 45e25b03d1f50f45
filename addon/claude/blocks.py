"""Reads the content blocks of messages."""

from __future__ import annotations

from typing import Any

from addon.core.types import JsonObject

THINKING = ("thinking", "redacted_thinking")
"""Must be sent back to Anthropic unchanged: it rejects a changed block with a 400."""


def blocks_of(content: Any) -> list[Any]:
    """The content of a message or of the system prompt as a list of blocks; [] if it is neither text nor list."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content if isinstance(content, list) else []


def is_thinking(block: Any) -> bool:
    """Whether a content block is thinking, redacted or not."""
    return isinstance(block, dict) and block.get("type") in THINKING


def is_server_call(block: JsonObject) -> bool:
    """Whether it calls a tool that Anthropic runs."""
    return block.get("type") in ("server_tool_use", "mcp_tool_use")


def is_server_result(block: JsonObject) -> bool:
    """Whether it is the result of a tool that Anthropic ran: each such tool has a type of its own."""
    kind = block.get("type")
    return isinstance(kind, str) and kind.endswith("_tool_result")
