"""Reads the client's cache marks, and keeps them within Anthropic's limits: four, and no 1-hour mark after a 5-minute
one."""

from __future__ import annotations

from typing import Any

from addon.core.types import JsonObject

MAX_MARKS = 4
_ORDER = ("tools", "system", "messages")


def cache_mark(part: JsonObject) -> JsonObject | None:
    """The mark of a content part: Anthropic's `cache_control`, or OpenAI's `prompt_cache_breakpoint`."""
    asked = part.get("prompt_cache_breakpoint")
    if isinstance(asked, dict) and asked.get("mode") == "explicit":
        return _mark(hour=asked.get("ttl") == "12h")
    return native_mark(part.get("cache_control"))


def native_mark(given: Any) -> JsonObject | None:
    """A `cache_control` in the form that Anthropic accepts; None for anything else."""
    if not isinstance(given, dict) or given.get("type") != "ephemeral":
        return None
    return _mark(hour=given.get("ttl") == "1h")


def limit_cache_marks(request: JsonObject) -> None:
    """Keeps the last four `cache_control` marks, in the order in which Anthropic processes a request: tools, system,
    messages. Replaces changed lists in `request`; the objects in them are not modified."""
    limiter = _Limiter(
        sum(_marks(request.get(name)) for name in _ORDER) + ("cache_control" in request)
    )
    if limiter.marks == 0:
        return
    for name in _ORDER:
        if name in request:
            request[name] = limiter.limited(request[name])


class _Limiter:
    def __init__(self, marks: int) -> None:
        self.marks = marks
        self._surplus = marks - MAX_MARKS
        self._short_seen = False

    def limited(self, items: list[Any]) -> list[Any]:
        return [self._limited_item(item) if isinstance(item, dict) else item for item in items]

    def _limited_item(self, item: JsonObject) -> JsonObject:
        if isinstance(item.get("content"), list):
            item = {**item, "content": self.limited(item["content"])}
        return self._limited_mark(item) if "cache_control" in item else item

    def _limited_mark(self, item: JsonObject) -> JsonObject:
        if self._surplus > 0:
            self._surplus -= 1
            return {key: value for key, value in item.items() if key != "cache_control"}
        if item["cache_control"] != _mark(hour=True):
            self._short_seen = True
        elif self._short_seen:
            return {**item, "cache_control": _mark(hour=False)}
        return item


def _marks(items: Any) -> int:
    marks = 0
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict):
            content = item.get("content")
            marks += "cache_control" in item
            marks += _marks(content) if isinstance(content, list) else 0
    return marks


def _mark(*, hour: bool) -> JsonObject:
    return {"type": "ephemeral", "ttl": "1h"} if hour else {"type": "ephemeral"}
