"""Content blocks: what every reader of a Messages request has in common."""

from __future__ import annotations

from typing import Any

THINKING = ("thinking", "redacted_thinking")
"""They go back to Anthropic exactly as they came: a changed one is a 400."""


def blocks_of(content: Any) -> list[Any]:
    """The content of a message or the system prompt as a list of blocks; [] for what is neither text nor list."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content if isinstance(content, list) else []


def is_thinking(block: Any) -> bool:
    """Whether a content block is thinking, readable or redacted."""
    return isinstance(block, dict) and block.get("type") in THINKING
