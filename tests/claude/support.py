"""Shared by the tests of addon/claude."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from addon.claude.catalogue import Catalogue

MODELS_FILE = Path(__file__).parents[2] / "addon" / "claude" / "models.toml"
CATALOGUE = Catalogue.load(MODELS_FILE.read_text())


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def results(*ids: str) -> dict[str, Any]:
    blocks = [{"type": "tool_result", "tool_use_id": i, "content": f"result of {i}"} for i in ids]
    return {"role": "user", "content": blocks}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def call(tool_id: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": tool_id, "name": "read", "input": arguments}


def thought(words: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": words, "signature": f"signed:{words}"}


def answer(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(content), **fields}


def seen_by_client(message: dict[str, Any]) -> dict[str, Any]:
    """An answer as a client that drops thinking sends it back."""
    content = [b for b in message["content"] if b["type"] in ("text", "tool_use")]
    return {"role": "assistant", "content": content}
