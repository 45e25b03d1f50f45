"""Tool names and call ids that Anthropic accepts, each a pure function of the client's.

The same input always gives the same name: a history that changed from turn to turn would miss the prompt cache.
"""

from __future__ import annotations

import re
from hashlib import sha256

_LEGAL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_LEGAL_ID = re.compile(r"[a-zA-Z0-9_-]+")
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")


def legal_name(name: str) -> str:
    """`name` if Anthropic takes it (`^[a-zA-Z0-9_-]{1,128}$`), else `hashed_name(name)`."""
    return name if _LEGAL_NAME.fullmatch(name) else hashed_name(name)


def hashed_name(name: str) -> str:
    """A legal name that no other `name` gives, and a person can still recognise."""
    return f"{_ILLEGAL.sub('_', name)[:119]}_{_digest(name, 8)}"


def legal_id(call_id: str) -> str:
    """`call_id` with illegal characters replaced; hashed when longer than 64 (Cursor's own ids can be); "" stays."""
    replaced = _ILLEGAL.sub("_", call_id)
    return replaced if len(replaced) <= 64 else f"call_{_digest(call_id, 24)}"


def is_legal_id(call_id: object) -> bool:
    """Whether Anthropic takes it as it is; it names no greatest length."""
    return isinstance(call_id, str) and _LEGAL_ID.fullmatch(call_id) is not None


def _digest(text: str, length: int) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:length]
