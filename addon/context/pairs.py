"""Tool calls and their results belong together: Anthropic answers 400 when one comes without the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from addon.core.types import JsonObject

# Results of server tools stand in the same message as their call, so they can't be split.
CALLS = frozenset({"tool_use"})
RESULTS = frozenset({"tool_result"})


def blocks(message: JsonObject, kinds: frozenset[str]) -> Iterator[JsonObject]:
    """The content blocks of some kinds."""
    content = message["content"]
    if not isinstance(content, str):
        yield from (block for block in content if block.get("type") in kinds)


def safe_cuts(messages: list[JsonObject]) -> set[int]:
    """Indices in front of which the list can be cut without parting a call from its result."""
    called: dict[str, int] = {}
    unsafe: set[int] = set()
    for at, message in enumerate(messages):
        for result in blocks(message, RESULTS):
            unsafe.update(range(called.get(result["tool_use_id"], at - 1) + 1, at + 1))
        for call in blocks(message, CALLS):
            called[call["id"]] = at
    return set(range(len(messages) + 1)) - unsafe


def repair(messages: list[JsonObject]) -> list[JsonObject]:
    """A list that Anthropic accepts: no orphan calls or results, nothing empty, roles in turn, a user first.

    A call is an orphan unless its result is in the very next user turn, so a pending call at the end goes too.
    """
    turns = _merged(messages)
    kept: list[JsonObject] = []
    for before, turn, after in zip([None, *turns], turns, [*turns[1:], None], strict=False):
        answered = _ids(after, RESULTS, "tool_use_id")
        called = _ids(before, CALLS, "id")
        content = [block for block in turn["content"] if _whole(block, called, answered)]
        if content:
            # Anthropic wants the results first in their turn.
            content.sort(key=lambda block: block.get("type") not in RESULTS)
            kept.append({**turn, "content": content})
    kept = _merged(kept)
    if not kept or kept[0]["role"] != "user":
        kept.insert(0, {"role": "user", "content": "Continue."})
    return kept


def _whole(block: JsonObject, called: set[str], answered: set[str]) -> bool:
    match block.get("type"):
        case "tool_use":
            return block["id"] in answered
        case "tool_result":
            return block["tool_use_id"] in called
    return True


def _ids(message: JsonObject | None, kinds: frozenset[str], key: str) -> set[str]:
    return {block[key] for block in blocks(message, kinds)} if message else set()


def _merged(messages: list[JsonObject]) -> list[JsonObject]:
    """Neighbours of the same role as one message, content as block lists."""
    return [
        {"role": role, "content": [block for message in group for block in as_blocks(message)]}
        for role, group in groupby(messages, key=lambda message: message["role"])
    ]


def as_blocks(message: JsonObject) -> list[Any]:
    """The content as a list of blocks; an empty text is no block (Anthropic refuses it)."""
    content = message["content"]
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content)
