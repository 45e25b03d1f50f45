"""What a message *is*, as 16 bytes: the key of the count memo, of the anchors and of remembered summaries.

`cache_control` is left out, since clients move it from turn to turn, and so are thinking blocks, which come and go with
the thinking cache while the conversation stays the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

from addon.claude.digest import digest as value_digest
from addon.claude.digest import message_digest, without_marks
from addon.core.types import JsonObject

_SIZE = 16
digest = message_digest
"""16 bytes that name a message; a text and the list of one such text block are the same message."""


@dataclass(frozen=True)
class Fingerprint:
    """The digests of one request; make it once and pass it along, hashing is most of a warm count."""

    system: bytes
    tools: bytes
    messages: tuple[bytes, ...]

    @cached_property
    def names(self) -> list[bytes]:
        """`names[k]` stands for the first k messages, whatever system and tools are."""
        return chain(b"conversation", self.messages)


def fingerprint(request: JsonObject, messages: Sequence[bytes] | None = None) -> Fingerprint:
    """The digests of an Anthropic request; `messages`: those of its messages when the caller has them already."""
    if messages is None:
        messages = [digest(message) for message in request["messages"]]
    system = digest({"role": "system", "content": request.get("system") or ""})
    return Fingerprint(system, digest_json(request.get("tools") or []), tuple(messages))


def digest_json(items: Iterable[Any]) -> bytes:
    """16 bytes that name a list of tools or blocks, `cache_control` apart."""
    return value_digest(without_marks(items))


def chain(seed: bytes, digests: Iterable[bytes]) -> list[bytes]:
    """Names of all prefixes: `chain(...)[k]` stands for `seed` and the first k digests."""
    names = [sha256(seed).digest()[:_SIZE]]
    for item in digests:
        names.append(sha256(names[-1] + item).digest()[:_SIZE])
    return names
