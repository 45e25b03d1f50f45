"""Digests of the parts of a request: equal for what Anthropic takes for the same prompt.

`cache_control` is left out (it may move), a plain string counts as its one text block, the order of keys is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

from addon.wire.types import JsonObject

THINKING_BLOCKS = ("thinking", "redacted_thinking")
SIZE = 16

_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False).encode


def canonical(value: Any) -> bytes:
    """JSON text that is equal for equal values."""
    return _ENCODE(value).encode()


def digest(value: Any) -> bytes:
    """Digest of a JSON value as it is."""
    return blake2b(canonical(value), digest_size=SIZE).digest()


def blocks_of(content: Any) -> list[Any]:
    """The content of a message or the system prompt as a list of blocks."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content if isinstance(content, list) else []


def without_marks(items: Iterable[Any]) -> list[Any]:
    """Blocks or tools without their `cache_control`, nested ones included; unmarked ones are shared."""
    return [_without_mark(item) for item in items]


def _without_mark(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    if "cache_control" in item:
        item = {k: v for k, v in item.items() if k != "cache_control"}
    inner = item.get("content") if item.get("type") == "tool_result" else None
    return {**item, "content": without_marks(inner)} if isinstance(inner, list) else item


def head_digest(request: JsonObject) -> bytes:
    """Digest of what stands before the messages: tools and system."""
    tools = without_marks(request.get("tools") or [])
    return digest([tools, without_marks(blocks_of(request.get("system")))])


def message_digest(message: JsonObject) -> bytes:
    """Digest of a message without its thinking: leaving old thinking out does not change a prompt's identity."""
    blocks = [b for b in blocks_of(message.get("content")) if not is_thinking(b)]
    return digest([message.get("role"), without_marks(blocks)])


def is_thinking(block: Any) -> bool:
    """Whether a content block is thinking, readable or redacted."""
    return isinstance(block, dict) and block.get("type") in THINKING_BLOCKS
