"""Puts a text in the place of a span of messages; the result is a valid conversation again."""

from __future__ import annotations

from collections.abc import Iterable

from addon.claude.blocks import THINKING
from addon.context.pairs import as_blocks
from addon.context.selection import Span, verbatim
from addon.core.types import JsonObject

LEAD_IN = "I will first recall what was done so far."
ACKNOWLEDGEMENT = "Understood. I have the summarized context and will go on from there."

_SUMMARIZED = "[Context Summary - {count} messages summarized]\n\n{text}"
_DROPPED = "[Context Trimmed - {count} messages left out to fit the context window]"
_KEPT = "[Kept word for word: {role} message]"

# A system message in mid-conversation stands behind a user's and in front of an assistant's.
_AS_BEFORE = {"system": "user"}
_AS_AFTER = {"system": "assistant"}


def summarized(count: int, text: str) -> str:
    """The heading and the summary of `count` messages."""
    return _SUMMARIZED.format(count=count, text=text)


def dropped(count: int) -> str:
    return _DROPPED.format(count=count)


def replacement(
    messages: list[JsonObject], span: Span, text: str, pins: Iterable[int]
) -> list[JsonObject]:
    """The messages to stand in the place of `span`: a user's `text` with the pinned ones, roles in turn.

    Behind an assistant's message that is the user's `text` and an acknowledgement. In a run of tool calls the message
    before is the user's (a result) and the next one the assistant's, so the assistant leads in instead.
    """
    before = messages[span.start - 1]["role"]
    after = messages[span.end]["role"] if span.end < len(messages) else "user"
    made = [{"role": "user", "content": _content(messages, text, pins)}]
    if _AS_BEFORE.get(before, before) == "user":
        made.insert(0, {"role": "assistant", "content": LEAD_IN})
    if _AS_AFTER.get(after, after) == "user":
        made.append({"role": "assistant", "content": ACKNOWLEDGEMENT})
    return made


def _content(messages: list[JsonObject], text: str, pins: Iterable[int]) -> str | list[JsonObject]:
    kept: list[JsonObject] = []
    for at in pins:
        kept.append({"type": "text", "text": _KEPT.format(role=messages[at]["role"])})
        kept.extend(verbatim(messages[at]))
    return [{"type": "text", "text": text}, *kept] if kept else text


def without_thinking(messages: list[JsonObject]) -> list[JsonObject]:
    """The messages without thinking blocks: models that bind them to the exact prefix refuse them once it changed."""
    return [_unthinking(message) for message in messages]


def _unthinking(message: JsonObject) -> JsonObject:
    if isinstance(message["content"], str):
        return message
    kept = [block for block in as_blocks(message) if block.get("type") not in THINKING]
    if len(kept) == len(message["content"]):
        return message
    return {**message, "content": kept or "(thinking)"}
