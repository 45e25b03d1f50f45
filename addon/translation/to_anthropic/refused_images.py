"""Leaves images and documents out of a history after Anthropic has refused one: its client would send it again with
each turn, and the conversation could not go on (anthropics/claude-code#25592, #49836)."""

from __future__ import annotations

import re
from typing import Any

from addon.core.types import JsonObject
from addon.translation.to_anthropic.content import text_block

_NAMED = re.compile(
    r"messages\.(\d{1,6})\.content\.(\d{1,6})\.(?:tool_result\.content\.(\d{1,6})\.)?(?:image|document|pdf)\b"
)
_UNNAMED = re.compile(
    r"Could not process (image|document|PDF)|PDF specified was not valid|image exceeds|image dimensions exceed"
)
_SHOWN = ("image", "document")


def without_refused_images(
    request: JsonObject, sent: JsonObject, refusal: str, *, every: bool
) -> JsonObject | None:
    """`request` without the image or document that `refusal` names in `sent`, which was made of it; with `every`, and
    where no place is named, without all of them. None if that changes nothing: what is new stays, for its client to
    learn of."""
    named = _NAMED.match(refusal)
    if named is None and not _UNNAMED.search(refusal):
        return None
    messages = request["messages"]
    roles = [message["role"] for message in messages]
    new = len(roles) - roles[::-1].index("assistant") if "assistant" in roles else 0
    block = _at(sent["messages"], [int(step) for step in named.groups() if step]) if named else None
    if named and not any(_holds(message, block) for message in messages[:new]):
        return None
    only = None if every or named is None else block
    told = [_without(message, only) for message in messages[:new]]
    changed = any(after is not before for after, before in zip(told, messages, strict=False))
    return {**request, "messages": [*told, *messages[new:]]} if changed else None


def _at(messages: list[JsonObject], place: list[int]) -> Any:
    """The block that a refusal names; None if it is not there."""
    first, *inner = place
    try:
        block: Any = messages[first]
        for step in inner:
            block = block["content"][step]
    except (LookupError, TypeError):
        return None
    return block


def _holds(message: JsonObject, block: Any) -> bool:
    content = message.get("content")
    if block is None or not isinstance(content, list):
        return False
    return any(inner == block or _holds(inner, block) for inner in content)


def _without(holder: JsonObject, only: Any) -> JsonObject:
    """A message or a tool result without its images and documents, or without those that equal `only`. The same object
    if it has none."""
    content = holder.get("content")
    if not isinstance(content, list):
        return holder
    kept = [_told(block, only) for block in content]
    same = all(after is before for after, before in zip(kept, content, strict=True))
    return holder if same else {**holder, "content": kept}


def _told(block: JsonObject, only: Any) -> JsonObject:
    kind = block.get("type")
    if kind == "tool_result":
        return _without(block, only)
    if kind not in _SHOWN or (only is not None and block != only):
        return block
    return text_block(f"[{kind} that could not be processed]")
