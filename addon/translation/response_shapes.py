"""What has to be right in Anthropic's responses for the code that reads them; all else in them may be anything.

A wrong type in the content ends the response as upstream's fault. A wrong count is left out: it is worth no response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from addon.core.errors import BadGateway
from addon.core.types import JsonObject

type _Shape = Mapping[str, Callable[[Any], bool]]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _may_be_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _may_be_citations(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(map(is_citation, value)))


def _may_be_blocks(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(is_block(block) for block in value))


def _may_be_details(value: Any) -> bool:
    return value is None or _fits(value, {"explanation": _may_be_text})


def is_block(value: Any) -> bool:
    """Whether it is a content block, with what is read of its type."""
    return _fits(value, {"type": _is_text}) and _fits(value, _BLOCKS.get(value["type"], {}))


def is_citation(value: Any) -> TypeGuard[JsonObject]:
    return _fits(value, _CITATION)


def _fits(value: Any, shape: _Shape) -> bool:
    return isinstance(value, dict) and all(fits(value.get(name)) for name, fits in shape.items())


_CITATION: _Shape = dict.fromkeys(("type", "url", "title"), _may_be_text)
_CALL: _Shape = {"id": _is_text, "name": _is_text}
_BLOCKS: Mapping[str, _Shape] = {
    "text": {"text": _may_be_text, "citations": _may_be_citations},
    "thinking": {"thinking": _may_be_text, "signature": _may_be_text},
    "redacted_thinking": {"data": _may_be_text},
    "tool_use": _CALL,
    "server_tool_use": _CALL,
}
_MESSAGE: _Shape = {
    **dict.fromkeys(("id", "model", "stop_reason"), _may_be_text),
    "content": _may_be_blocks,
    "stop_details": _may_be_details,
}
_EVENTS: Mapping[str, _Shape] = {
    "message_start": {"message": lambda value: _fits(value, _MESSAGE)},
    "content_block_start": {"index": _is_index, "content_block": is_block},
    "content_block_delta": {"index": _is_index, "delta": _is_object},
    "content_block_stop": {"index": _is_index},
    "message_delta": {
        "delta": lambda value: _fits(
            value, {"stop_reason": _may_be_text, "stop_details": _may_be_details}
        )
    },
}
_ANY_SHAPE: _Shape = {}


def check_event(kind: str, data: JsonObject) -> None:
    """Raises BadGateway for an event that can't be read; takes wrong counts out of its `usage`, in place."""
    for name, fits in _EVENTS.get(kind, _ANY_SHAPE).items():
        if not fits(data.get(name)):
            raise BadGateway(
                f"Upstream sent a {kind} event with an unreadable {name}", code="upstream_invalid"
            )
    holder = data["message"] if kind == "message_start" else data
    if "usage" in holder:
        holder["usage"] = readable_usage(holder["usage"])


def check_message(message: JsonObject) -> None:
    """As `check_event`, for a whole message."""
    if not isinstance(message.get("content"), list) or not _fits(message, _MESSAGE):
        raise BadGateway("Upstream sent a message that can't be read", code="upstream_invalid")
    if "usage" in message:
        message["usage"] = readable_usage(message["usage"])


_MOST_TOKENS = 1_000_000_000
"""More than any model reads or writes for one response."""
_PARTS = ("cache_creation", "output_tokens_details", "server_tool_use")
_WORDS = ("inference_geo", "service_tier", "speed")


def readable_usage(usage: Any) -> JsonObject:
    """`usage` without what is not of its type."""
    if not isinstance(usage, dict):
        return {}
    read = {name: _readable(name, value) for name, value in usage.items()}
    return {name: value for name, value in read.items() if value is not None or usage[name] is None}


def _readable(name: str, value: Any) -> Any:
    if name.endswith(("_tokens", "_requests")):
        return value if _is_index(value) and value <= _MOST_TOKENS else None
    if name in _PARTS:
        return readable_usage(value) if isinstance(value, dict) else None
    if name == "iterations":
        return [readable_usage(part) for part in value] if isinstance(value, list) else None
    return value if name not in _WORDS or isinstance(value, str) else None
