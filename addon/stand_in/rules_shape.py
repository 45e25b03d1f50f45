"""The JSON types of a request's fields, looked at before anything else so that the other rules can trust them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from addon.stand_in.record import JsonObject
from addon.stand_in.refusal import invalid
from addon.stand_in.tokens import parts_of

NAMES = {str: "string", list: "list", dict: "dictionary", int: "integer", float: "number"}
BODY: Mapping[str, type] = {
    "model": str,
    "messages": list,
    "tools": list,
    "stop_sequences": list,
    "thinking": dict,
    "output_config": dict,
    "metadata": dict,
    "tool_choice": dict,
    "cache_control": dict,
    "thread": dict,
    "compaction": dict,
    "context_management": dict,
    "temperature": float,
    "top_p": float,
    "top_k": int,
}
OBJECT: Mapping[str, type] = {
    "type": str,
    "text": str,
    "id": str,
    "tool_use_id": str,
    "name": str,
    "signature": str,
    "thinking": str,
    "data": str,
    "media_type": str,
    "url": str,
    "ttl": str,
    "budget_tokens": int,
    "cache_control": dict,
    "format": dict,
    "block_binding": dict,
}
"""Of blocks, tools, and the objects inside them."""


def check_shape(body: JsonObject) -> None:
    """Raise the 400 for a missing field that is always needed, or for one of a wrong type."""
    for field in ("model", "messages"):
        if body.get(field) is None:
            raise invalid("Field required", field)
    _check_types(body, BODY, "")
    if not isinstance(body.get("system") or "", str | list):
        raise invalid("Input should be a valid list", "system")
    for place, stop in enumerate(body.get("stop_sequences") or ()):
        if not isinstance(stop, str):
            raise invalid("Input should be a valid string", f"stop_sequences.{place}")
    for at, item in _objects(body):
        if not isinstance(item, dict):
            raise invalid("Input should be a valid dictionary", at)
        _check_types(item, OBJECT, at)


def _check_types(item: JsonObject, kinds: Mapping[str, type], at: str) -> None:
    for field, kind in kinds.items():
        value = item.get(field)
        allowed = (int, float) if kind is float else kind
        if value is not None and (not isinstance(value, allowed) or isinstance(value, bool)):
            raise invalid(f"Input should be a valid {NAMES[kind]}", f"{at}.{field}".lstrip("."))


def _objects(body: JsonObject) -> Iterator[tuple[str, Any]]:
    """Everything that must be an object, outer before inner: what is inside is only reached when the outer is one."""
    for field in ("thinking", "output_config", "tool_choice", "cache_control"):
        if body.get(field) is not None:
            yield from _nested(body[field], field)
    for field in ("tools", "system"):
        for index, item in enumerate(parts_of(body.get(field))):
            yield from _nested(item, f"{field}.{index}")
    for index, message in enumerate(body["messages"]):
        yield f"messages.{index}", message
        for place, block in enumerate(parts_of(message.get("content"))):
            yield from _nested(block, f"messages.{index}.content.{place}")


def _nested(item: Any, at: str) -> Iterator[tuple[str, Any]]:
    yield at, item
    for field in ("source", "cache_control"):
        if item.get(field) is not None and not _is_link(item, field):
            yield f"{at}.{field}", item[field]
    for place, part in enumerate(parts_of(item.get("content"))):
        yield from _nested(part, f"{at}.content.{place}")


def _is_link(item: Any, field: str) -> bool:
    """Only the `source` of a search result is a string (the anthropic SDK's `SearchResultBlockParam`)."""
    return (
        field == "source" and item.get("type") == "search_result" and isinstance(item[field], str)
    )
