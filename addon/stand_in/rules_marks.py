"""`cache_control` marks: where, how many, in what order."""

from __future__ import annotations

from collections.abc import Iterator

from addon.stand_in.prompt_cache import is_thought
from addon.stand_in.record import JsonObject
from addon.stand_in.refusal import invalid
from addon.stand_in.tokens import parts_of

MOST = 4


def check_marks(body: JsonObject, long_ttl: bool) -> None:
    shortest_seen = "1h"
    marks = list(_marks(body))
    for path, mark in marks:
        _check_mark(path, mark, long_ttl)
        ttl = mark.get("ttl") or "5m"
        if ttl == "1h" and shortest_seen == "5m":
            raise invalid(
                "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that "
                "blocks are processed in the following order: `tools`, `system`, `messages`.",
                f"{path}.cache_control.ttl",
            )
        shortest_seen = ttl
    if len(marks) > MOST:
        raise invalid(
            f"A maximum of {MOST} blocks with cache_control may be provided. Found {len(marks)}."
        )


def _check_mark(path: str, mark: JsonObject, long_ttl: bool) -> None:
    where = f"{path}.cache_control".lstrip(".")
    if mark.get("type") != "ephemeral":
        raise invalid("Input should be 'ephemeral'", f"{where}.type")
    for key in mark:
        if key not in ("type", "ttl"):
            raise invalid("Extra inputs are not permitted", f"{where}.ephemeral.{key}")
    if mark.get("ttl") not in (None, "5m", "1h"):
        raise invalid("Input should be '5m' or '1h'", f"{where}.ephemeral.ttl")
    if mark.get("ttl") == "1h" and not long_ttl:
        raise invalid("Extra inputs are not permitted", f"{where}.ephemeral.ttl")


def _marks(body: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """Every mark with its path, in the order the cache sees the blocks."""
    for place, blocks in _places(body):
        for index, block in enumerate(blocks):
            for inner, part in enumerate(parts_of(block.get("content"))):
                if part.get("cache_control"):
                    yield f"{place}.{index}.content.{inner}", part["cache_control"]
            if block.get("cache_control"):
                if is_thought(block):
                    raise invalid(
                        "Extra inputs are not permitted",
                        f"{place}.{index}.{block['type']}.cache_control",
                    )
                yield f"{place}.{index}", block["cache_control"]
    if body.get("cache_control"):
        yield "", body["cache_control"]


def _places(body: JsonObject) -> Iterator[tuple[str, list[JsonObject]]]:
    yield "tools", body.get("tools", [])
    yield "system", parts_of(body.get("system"))
    for index, message in enumerate(body["messages"]):
        yield f"messages.{index}.content", parts_of(message["content"])
