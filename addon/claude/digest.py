"""Computes digests of the parts of a request that are equal if Anthropic treats the parts as the same prompt.

`cache_control` is ignored, a string equals a single text block (also in a tool result), and the order of keys doesn't
matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from hashlib import sha256
from itertools import islice
from operator import is_
from typing import Any

import orjson

from addon.claude.blocks import blocks_of, is_thinking
from addon.core.frozen import frozen
from addon.core.types import JsonObject

SIZE = 16
LONG = 16
"""Messages of a request whose digests are remembered."""
REQUESTS = 4

_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False).encode


def canonical(value: Any) -> bytes:
    """JSON text that is the same for equal values."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # lone surrogates, integers beyond 64 bits
        return _ENCODE(value).encode()


def digest(value: Any) -> bytes:
    """Digest of a JSON value."""
    return sha256(canonical(value)).digest()[:SIZE]


def text_digest(text: str, rest: list[Any]) -> bytes:
    """Digest of a text and other values. For a long text, much faster than `digest`."""
    data = _text(text) + canonical(rest) if rest else _text(text)
    return sha256(data).digest()[:SIZE]


def without_marks(items: Iterable[Any]) -> list[Any]:
    """Blocks or tools without `cache_control`, also in nested blocks; items without it are shared, not copied."""
    return [_without_mark(item) for item in items]


def _without_mark(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    if "cache_control" in item:
        item = {k: v for k, v in item.items() if k != "cache_control"}
    inner = item.get("content") if item.get("type") == "tool_result" else None
    return {**item, "content": without_marks(inner)} if isinstance(inner, list) else item


def head_digest(request: JsonObject) -> bytes:
    """Digest of what precedes the messages: tools and system."""
    tools = without_marks(request.get("tools") or [])
    return digest([tools, without_marks(blocks_of(request.get("system")))])


def message_digest(message: JsonObject, *, thinking: bool = False) -> bytes:
    """16 bytes that identify a message. Ignores its thinking by default: to leave old thinking out does not change the
    identity of a prompt. All packages use this digest, so that it is computed once for a request."""
    state = sha256(str(message.get("role")).encode())
    content = message.get("content")
    if isinstance(content, str):
        state.update(_text(content))
    elif isinstance(content, list):
        for block in content:
            if thinking or not is_thinking(block):
                state.update(_block(block))
    return state.digest()[:SIZE]


class DigestMemory:
    """The `message_digest`s of the last long requests, which hold for messages of the same blocks, object for object:
    the translation shares the blocks of what a client sends again."""

    def __init__(self) -> None:
        self._last: list[tuple[list[JsonObject], list[bytes]]] = []
        """Messages and their digests; the newest first."""

    def of(self, messages: list[JsonObject], *, keep: bool = True) -> list[bytes]:
        """`keep`: the messages are kept until newer ones come."""
        if len(messages) < LONG:
            return [message_digest(message) for message in messages]
        before = next(
            (each for each in self._last if _is_shared(each[0][0], messages[0])), ([], [])
        )
        digests = [
            digest if _is_shared(old, message) else message_digest(message)
            for message, old, digest in zip(messages, *before, strict=False)
        ]
        digests += map(message_digest, islice(messages, len(digests), None))
        if keep:
            others = [each for each in self._last if each is not before]
            self._last = [(messages, digests), *others[: REQUESTS - 1]]
        return digests


def _is_shared(old: JsonObject, message: JsonObject) -> bool:
    a, b = old.get("content"), message.get("content")
    if not isinstance(a, list) or not isinstance(b, list) or len(a) != len(b):
        return False
    return old.get("role") == message.get("role") and all(map(is_, a, b))


def _block(block: Any) -> bytes:
    """The bytes to hash for a block. Texts and tool results, which make up most of a long conversation, are hashed as
    they are: encoding them as JSON would take longer than everything else."""
    if isinstance(block, dict):
        fields = len(block) - ("cache_control" in block)
        match block.get("type"):
            case "text" if fields == 2 and isinstance(text := block.get("text"), str):
                return _text(text)
            case "tool_result" if (text := _plain_text(block.get("content"))) is not None:
                ident, failed = block.get("tool_use_id"), block.get("is_error", False)
                if isinstance(ident, str) and fields == 3 + ("is_error" in block):
                    return b"\x02%b%d" % (_text(ident), bool(failed)) + _text(text)
    return b"\x01" + canonical(_without_mark(block))


def _plain_text(content: Any) -> str | None:
    """The text of a result that is a string or a single text block, which are the same to Anthropic: mini-swe-agent
    sends a result in the one form first and in the other later."""
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        only = content[0]
        if only.get("type") == "text" and len(only) == 2 + ("cache_control" in only):
            content = only.get("text")
    return content if isinstance(content, str) else None


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return b"\x00%d:%b" % (len(data), data)


@frozen(slots=False)
class Fingerprint:
    """The digests of one request. Compute it once and pass it on: hashing is most of the work of a cached count."""

    system: bytes
    tools: bytes
    messages: tuple[bytes, ...]

    @cached_property
    def prefix_digests(self) -> list[bytes]:
        return prefix_digests_of(self.messages)


def prefix_digests_of(messages: Iterable[bytes]) -> list[bytes]:
    """The k-th identifies the first k messages, regardless of system and tools. `messages`: their digests."""
    return chain(b"conversation", messages)


def fingerprint_of(request: JsonObject, messages: Sequence[bytes] | None = None) -> Fingerprint:
    """The digests of an Anthropic request. `messages`: those of its messages, if the caller has them."""
    if messages is None:
        messages = [message_digest(message) for message in request["messages"]]
    system = message_digest({"role": "system", "content": request.get("system") or ""})
    return Fingerprint(system, digest_json(request.get("tools") or []), tuple(messages))


def digest_json(items: Iterable[Any]) -> bytes:
    """Digest of a list of tools or blocks, ignoring `cache_control`."""
    return digest(without_marks(items))


def chain(seed: bytes, digests: Iterable[bytes]) -> list[bytes]:
    """Digests of all prefixes: `chain(...)[k]` identifies `seed` and the first k digests."""
    prefixes = [sha256(seed).digest()[:SIZE]]
    for item in digests:
        prefixes.append(sha256(prefixes[-1] + item).digest()[:SIZE])
    return prefixes
