"""Encodes thinking and summaries as the `encrypted_content` that OpenAI clients keep and send back."""

from __future__ import annotations

import base64
import json
import zlib
from base64 import b64decode
from typing import Any

from addon.core.errors import BadRequest
from addon.core.json_codec import dumps
from addon.core.types import JsonObject
from addon.translation.to_anthropic.content import (
    Blocks,
)
from addon.translation.to_anthropic.fields import sanitized

THINKING_PREFIX = "ccp1:"
_SUMMARY_PREFIX = "ccps1:"
THINKING = {"thinking": ("thinking", "signature"), "redacted_thinking": ("data",)}
"""Thinking block types, and the fields without which Anthropic rejects them."""


def encode_thinking(blocks: list[JsonObject]) -> str:
    """Anthropic's thinking blocks as `encrypted_content`. Anthropic requires them back with their signatures, and
    OpenAI's other fields have no room for those."""
    return THINKING_PREFIX + base64.b64encode(dumps(blocks)).decode()


def unsealed(encrypted_content: Any) -> Blocks:
    """The thinking blocks that this proxy sent in a reasoning item; [] for reasoning from anywhere else."""
    if not isinstance(encrypted_content, str) or not encrypted_content.startswith(THINKING_PREFIX):
        return []
    try:
        blocks = sanitized(
            json.loads(b64decode(encrypted_content[len(THINKING_PREFIX) :], validate=True))
        )
    except (ValueError, RecursionError, BadRequest):
        return []
    return blocks if isinstance(blocks, list) and all(map(is_complete_thinking, blocks)) else []


def is_sealed_here(item: Any) -> bool:
    """Whether an item holds thinking or a summary that only this proxy can read."""
    content = item.get("encrypted_content") if isinstance(item, dict) else None
    return isinstance(content, str) and content.startswith((THINKING_PREFIX, _SUMMARY_PREFIX))


def is_complete_thinking(block: Any) -> bool:
    if not isinstance(block, dict):
        return False
    needed = THINKING.get(str(block.get("type")))
    return needed is not None and all(isinstance(block.get(name), str) for name in needed)


def encode_summary(text: str) -> str:
    """A summary as the `encrypted_content` of a `compaction` item: it works after a restart, too."""
    content = text.encode("utf-8", "replace")
    return _SUMMARY_PREFIX + base64.b64encode(_checksum(content) + content).decode()


def decode_summary(encrypted_content: Any) -> str | None:
    """None: it was not made here, or is not whole."""
    if not isinstance(encrypted_content, str) or not encrypted_content.startswith(_SUMMARY_PREFIX):
        return None
    try:
        sealed = b64decode(encrypted_content[len(_SUMMARY_PREFIX) :], validate=True)
        checksum, content = sealed[:4], sealed[4:]
        return content.decode() if checksum == _checksum(content) else None
    except ValueError:
        return None


def _checksum(content: bytes) -> bytes:
    """Base64 that a client has cut may still be valid; half a summary must not pass for the whole."""
    return zlib.crc32(content).to_bytes(4)
