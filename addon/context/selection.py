"""Chooses the messages to replace: the oldest ones in the middle, without splitting tool calls from their results.

The first 3 messages (the task) and the last 10 (the current work) are protected. The start is always the same for a
conversation, so that a later, longer replacement contains an earlier one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from addon.claude.blocks import blocks_of
from addon.claude.turns import is_prompt
from addon.core.types import JsonObject

# Results of server tools are in the same message as their call, so they can't be split.
CALLS = frozenset({"tool_use"})
RESULTS = frozenset({"tool_result"})
TEXTS = frozenset({"text"})


def blocks(message: JsonObject, kinds: frozenset[str]) -> Iterator[JsonObject]:
    """The content blocks of these types."""
    return (block for block in blocks_of(message.get("content")) if block.get("type") in kinds)


def safe_cuts(messages: list[JsonObject]) -> set[int]:
    """Indices before which the list can be cut without separating a call from its result."""
    called: dict[Any, int] = {}
    unsafe: set[int] = set()
    for at, message in enumerate(messages):
        for result in blocks(message, RESULTS):
            unsafe.update(range(called.get(result.get("tool_use_id"), at - 1) + 1, at + 1))
        for call in blocks(message, CALLS):
            called[call.get("id")] = at
    return set(range(len(messages) + 1)) - unsafe


def repair(messages: list[JsonObject]) -> list[JsonObject]:
    """A list that Anthropic accepts: no calls without results or results without calls, no empty messages, alternating
    roles, a user message first.

    The result of a call must be in the next user turn, so a pending call at the end is removed as well.
    """
    turns = _merged(messages)
    kept: list[JsonObject] = []
    for before, turn, after in zip([None, *turns], turns, [*turns[1:], None], strict=False):
        answered = _ids(after, RESULTS, "tool_use_id")
        called = _ids(before, CALLS, "id")
        content = [block for block in turn["content"] if _whole(block, called, answered)]
        if content:
            # Anthropic requires the results to be first in their turn.
            content.sort(key=lambda block: block.get("type") not in RESULTS)
            kept.append({**turn, "content": content})
    kept = _merged(kept)
    if not kept or kept[0]["role"] != "user":
        kept.insert(0, {"role": "user", "content": "Continue."})
    return kept


def _whole(block: JsonObject, called: set[Any], answered: set[Any]) -> bool:
    match block.get("type"):
        case "tool_use":
            return block.get("id") in answered
        case "tool_result":
            return block.get("tool_use_id") in called
    return True


def _ids(message: JsonObject | None, kinds: frozenset[str], key: str) -> set[Any]:
    return {block.get(key) for block in blocks(message, kinds)} if message else set()


def _merged(messages: list[JsonObject]) -> list[JsonObject]:
    """The messages with neighbours of the same role merged, and with lists as content."""
    return [
        {"role": role, "content": [block for message in group for block in as_blocks(message)]}
        for role, group in groupby(messages, key=lambda message: message["role"])
    ]


def as_blocks(message: JsonObject) -> list[Any]:
    """The content as a list of blocks; an empty text is no block (Anthropic rejects it)."""
    content = message.get("content")
    return [*blocks_of(content)] if content else []


FIRST_PROTECTED = 3
LAST_PROTECTED = 10

# A summary is expected to be 30 % of what it replaces, and never longer than the highest max_tokens.
SUMMARY_SHARE = 0.3
SUMMARY_TOKENS = (4_096, 16_384)

# Less than this is not worth a summary, which could be longer.
LEAST_TOKENS = 2_000


class Span(NamedTuple):
    """Messages `start` up to, not including, `end`."""

    start: int
    end: int


def needed(excess: int) -> int:
    """How many tokens to replace by a summary to save `excess` tokens."""
    return min(math.ceil(excess / (1 - SUMMARY_SHARE)), excess + SUMMARY_TOKENS[1])


def expected_tokens(replaced: int) -> int:
    """The expected length of the summary of so many tokens."""
    return min(math.ceil(replaced * SUMMARY_SHARE), SUMMARY_TOKENS[1])


def choose(
    messages: list[JsonObject], tokens: Sequence[int], need: int, after: int = 0
) -> Span | None:
    """The shortest span of old messages with at least `need` tokens (`tokens`: one number per message), or the longest
    possible one if none has that many.

    It ends after `after`, up to where a summary exists. None if nothing can be replaced: fewer than 14 messages, or one
    unbroken run of tool calls.
    """
    last = len(messages) - LAST_PROTECTED
    cuts = sorted(cut for cut in safe_cuts(messages) if FIRST_PROTECTED <= cut <= last)
    if not cuts:
        return None
    kept = set(pinned(messages, Span(cuts[0], cuts[-1])))  # repeated beside the summary
    start, total, at = cuts[0], 0, cuts[0]
    chosen: Span | None = None
    for cut in cuts[1:]:
        total += sum(tokens[index] for index in range(at, cut) if index not in kept)
        at = cut
        if cut > after and total >= LEAST_TOKENS:
            chosen = Span(start, cut)
            if total >= need:
                break
    return chosen


# Tools whose calls contain the whole to-do list or plan: Claude Code's TodoWrite and ExitPlanMode, Cursor's todo_write,
# Codex' update_plan, LangChain's write_todos.
_PLANNERS = re.compile(r"todo|plan", re.IGNORECASE)
_PLAN_TEXT = re.compile(
    r"^#{1,6} .*\b(plan|to-?dos?)\b|(^\s*[-*] \[[ x]\] .*\n){2}", re.IGNORECASE | re.MULTILINE
)

# If the last prompt is a long pasted log, keeping it would save nothing.
PINNED_CHARS = 40_000


def pinned(messages: list[JsonObject], span: Span) -> list[int]:
    """Indices of the messages in the span that are kept verbatim beside the summary, in order.

    * the conversation's last prompt (a user message with more than tool results), if it is in the span;
    * the newest to-do list or plan, if it is in the span: a call of a tool with "todo" or "plan" in its name, or a text
      with such a heading or with two check-boxes. It replaces all older ones;
    * `system` messages, which are instructions rather than history.

    Messages longer than PINNED_CHARS are summarized.
    """
    chosen = {at for at in range(*span) if messages[at]["role"] == "system"}
    for of_kind in (is_prompt, is_plan):
        newest = next((at for at in range(len(messages) - 1, -1, -1) if of_kind(messages[at])), 0)
        if span.start <= newest < span.end:
            chosen.add(newest)
    return [at for at in sorted(chosen) if sum(map(len, _texts(messages[at]))) <= PINNED_CHARS]


def is_plan(message: JsonObject) -> bool:
    """Whether the message contains a to-do list or a plan, as a tool call or as text."""
    if any(_PLANNERS.search(call.get("name") or "") for call in blocks(message, CALLS)):
        return True
    return any(_PLAN_TEXT.search(text) for text in _texts(message))


def _texts(message: JsonObject) -> Iterator[str]:
    return (block.get("text") or "" for block in blocks(message, TEXTS))


def verbatim(message: JsonObject) -> list[JsonObject]:
    """The blocks of a pinned message for use in another message: a tool call becomes text, results are left out."""
    return [shown for block in as_blocks(message) if (shown := _shown(message, block))]


def _shown(message: JsonObject, block: JsonObject) -> JsonObject | None:
    match block:
        case {"type": "text" | "image" | "document"}:
            return {key: value for key, value in block.items() if key != "cache_control"}
        case {"type": "tool_use", "name": str(name)} if _PLANNERS.search(name):
            return {
                "type": "text",
                "text": f"{name}: {json.dumps(block.get('input'), ensure_ascii=False)}",
            }
    return None
