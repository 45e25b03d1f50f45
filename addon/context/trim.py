"""Makes a request smaller without a summary: cuts long contents, then leaves out old messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from addon.context.selection import LAST_PROTECTED, Span, choose, pinned, repair, safe_cuts
from addon.context.view import dropped, replacement, without_thinking
from addon.core.frozen import frozen
from addon.core.types import JsonObject

DESCRIPTION_CHARS = 500
RESULT_CHARS = 2_000
INPUT_CHARS = 4_000
TEXT_CHARS = 8_000

type Tokens = Callable[[JsonObject], list[int]]
"""Counts a request: the tokens of each message, and as the last number those of everything else."""


@frozen
class Cuts:
    """What to remove from a request. The same cuts produce the same bytes while the conversation grows, so they are
    kept from turn to turn: new cuts in each turn would be misses in the prompt cache."""

    descriptions: bool = True
    """Long tool descriptions are shortened."""
    long_until: int = 0
    """Long texts, results and tool inputs are cut in the messages before this index."""
    drop: Span | None = None
    """These messages are left out."""
    pins: tuple[int, ...] = ()
    """Those of them that are kept verbatim."""
    thinking_until: int = 0
    """Thinking is removed from the messages before this index."""


def plan(request: JsonObject, tokens: Tokens, target: int, *, unthink: bool = False) -> Cuts:
    """The smallest cuts that bring the request down to `target` tokens; the largest possible ones if none does.

    `unthink`: remove all thinking, for models that reject it after a changed prefix.

    In this order: tool descriptions; long contents, except in the newest 10 messages; the oldest messages (the first 3
    and the last 10 remain); long contents in the newest messages.
    """
    count = len(request["messages"])
    short = Cuts(thinking_until=count if unthink else 0)
    shorter = replace(short, long_until=max(0, count - LAST_PROTECTED))
    for cuts in (short, shorter):
        if _size(apply(request, cuts), tokens) <= target:
            return cuts
    fewer = _drop(request, shorter, tokens, target)
    if _size(apply(request, fewer), tokens) <= target:
        return fewer
    return replace(fewer, long_until=count)


def _drop(request: JsonObject, cuts: Cuts, tokens: Tokens, target: int) -> Cuts:
    """Leave out enough messages. Pinned messages and the note take up tokens as well, so it may take several tries."""
    shortened = {**request, "messages": _shortened(request, cuts), "tools": _tools(request, cuts)}
    each = tokens(shortened)
    need = sum(each) - target
    for _ in range(3):
        span = choose(request["messages"], each, need)
        if span is None:
            break
        cuts = replace(cuts, drop=span, pins=tuple(pinned(request["messages"], span)))
        left = _size(apply(request, cuts), tokens) - target
        if left <= 0:
            break
        need += left
    return cuts


def apply(request: JsonObject, cuts: Cuts) -> JsonObject:
    """A smaller copy of the request, which is valid even if the request was not."""
    messages = _shortened(request, cuts)
    if cuts.drop:
        start, end = cuts.drop
        gap = replacement(messages, cuts.drop, dropped(end - start), cuts.pins)
        messages = [*messages[:start], *gap, *messages[end:]]
    smaller = {**request, "messages": repair(messages)}
    if request.get("tools"):
        smaller["tools"] = _tools(request, cuts)
    return smaller


def fits(request: JsonObject, cuts: Cuts) -> bool:
    """Whether earlier cuts still apply to this conversation, which may have been taken back to an earlier point."""
    messages = request["messages"]
    if cuts.drop is None:
        return True
    return cuts.drop.end < len(messages) and set(cuts.drop) <= safe_cuts(messages)


def _shortened(request: JsonObject, cuts: Cuts) -> list[JsonObject]:
    messages = request["messages"]
    thought = cuts.thinking_until
    messages = [*without_thinking(messages[:thought]), *messages[thought:]]
    return [*map(_shorten, messages[: cuts.long_until]), *messages[cuts.long_until :]]


def _tools(request: JsonObject, cuts: Cuts) -> list[JsonObject]:
    tools = request.get("tools") or []
    return [_described(tool) for tool in tools] if cuts.descriptions else tools


def _size(request: JsonObject, tokens: Tokens) -> int:
    return sum(tokens(request))


def _described(tool: JsonObject) -> JsonObject:
    description = tool.get("description")
    if not isinstance(description, str) or len(description) <= DESCRIPTION_CHARS:
        return tool
    return {**tool, "description": description[: DESCRIPTION_CHARS - 3] + "..."}


def _shorten(message: JsonObject) -> JsonObject:
    match message.get("content"):
        case str(text):
            return {**message, "content": _cut(text, TEXT_CHARS)}
        case list(content):
            return {**message, "content": [_shorter(block) for block in content]}
    return message


def _shorter(block: JsonObject) -> JsonObject:
    match block:
        case {"type": "text", "text": str(text)}:
            return {**block, "text": _cut(text, TEXT_CHARS)}
        case {"type": "tool_result", "content": str(text)}:
            return {**block, "content": _cut(text, RESULT_CHARS)}
        case {"type": "tool_result", "content": list(parts)}:
            return {**block, "content": [_result_part(part) for part in parts]}
        case {"type": "tool_use", "input": dict(arguments)} if _length(arguments) > INPUT_CHARS:
            return {**block, "input": _shorter_strings(arguments)}
    return block


def _result_part(part: JsonObject) -> JsonObject:
    match part:
        case {"type": "text", "text": str(text)}:
            return {**part, "text": _cut(text, RESULT_CHARS)}
    return part


def _shorter_strings(value: Any) -> Any:
    if isinstance(value, str):
        return _cut(value, RESULT_CHARS)
    if isinstance(value, list):
        return [_shorter_strings(item) for item in value]
    if isinstance(value, dict):
        return {key: _shorter_strings(item) for key, item in value.items()}
    return value


def _length(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False))


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    marker = f"\n... [{len(text) - most} characters left out] ...\n"
    return text[: most // 2] + marker + text[len(text) - most // 2 :]
