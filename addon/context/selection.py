"""Which messages to replace: the oldest of the middle, with whole tool calls.

The first 3 messages (the task) and the last 10 (the work at hand) are protected. The start is always the same for a
conversation, so that a later, longer replacement covers an earlier one.
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

# Results of server tools stand in the same message as their call, so they can't be split.
CALLS = frozenset({"tool_use"})
RESULTS = frozenset({"tool_result"})
TEXTS = frozenset({"text"})


def blocks(message: JsonObject, kinds: frozenset[str]) -> Iterator[JsonObject]:
    """The content blocks of some kinds."""
    return (block for block in blocks_of(message.get("content")) if block.get("type") in kinds)


def safe_cuts(messages: list[JsonObject]) -> set[int]:
    """Indices in front of which the list can be cut without parting a call from its result."""
    called: dict[Any, int] = {}
    unsafe: set[int] = set()
    for at, message in enumerate(messages):
        for result in blocks(message, RESULTS):
            unsafe.update(range(called.get(result.get("tool_use_id"), at - 1) + 1, at + 1))
        for call in blocks(message, CALLS):
            called[call.get("id")] = at
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
    """Neighbours of the same role as one message, content as block lists."""
    return [
        {"role": role, "content": [block for message in group for block in as_blocks(message)]}
        for role, group in groupby(messages, key=lambda message: message["role"])
    ]


def as_blocks(message: JsonObject) -> list[Any]:
    """The content as a list of blocks; an empty text is no block (Anthropic refuses it)."""
    content = message.get("content")
    return [*blocks_of(content)] if content else []


FIRST_PROTECTED = 3
LAST_PROTECTED = 10

# A summary is taken to be 30 % of what it replaces, and never longer than the longest answer asked for.
SUMMARY_SHARE = 0.3
SUMMARY_TOKENS = (4_096, 16_384)

# Less than this isn't worth a call: the summary could be longer.
LEAST_TOKENS = 2_000


class Span(NamedTuple):
    """Messages `start` up to, not including, `end`."""

    start: int
    end: int


def needed(excess: int) -> int:
    """How many tokens to replace by a summary in order to get rid of `excess`."""
    return min(math.ceil(excess / (1 - SUMMARY_SHARE)), excess + SUMMARY_TOKENS[1])


def expected_tokens(replaced: int) -> int:
    """How long a summary of so many tokens will be."""
    return min(math.ceil(replaced * SUMMARY_SHARE), SUMMARY_TOKENS[1])


def choose(
    messages: list[JsonObject], tokens: Sequence[int], need: int, after: int = 0
) -> Span | None:
    """The shortest span of old messages that has `need` tokens (of `tokens`, one number per message).

    Or the longest there is, if none has as many. It ends behind `after` (what a summary covers already). None when
    nothing can be replaced: fewer than 14 messages, or one unbroken run of tool calls.
    """
    last = len(messages) - LAST_PROTECTED
    cuts = sorted(cut for cut in safe_cuts(messages) if FIRST_PROTECTED <= cut <= last)
    if not cuts:
        return None
    kept = set(pinned(messages, Span(cuts[0], cuts[-1])))  # comes back beside what replaces it
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


# Tools that restate the whole to-do list or plan on each call: Claude Code's TodoWrite and ExitPlanMode, Cursor's
# todo_write, Codex' update_plan, LangChain's write_todos.
_PLANNERS = re.compile(r"todo|plan", re.IGNORECASE)
_PLAN_TEXT = re.compile(
    r"^#{1,6} .*\b(plan|to-?dos?)\b|(^\s*[-*] \[[ x]\] .*\n){2}", re.IGNORECASE | re.MULTILINE
)

# A pasted log may be the last prompt: kept whole, it would leave nothing to gain.
PINNED_CHARS = 40_000


def pinned(messages: list[JsonObject], span: Span) -> list[int]:
    """Messages of the span that are kept verbatim beside the summary, as indices in order.

    * the conversation's last prompt (user message that is not only tool results), if it is as old as that;
    * the newest to-do list or plan: a call of a tool with "todo" or "plan" in its name, or a text with a heading
      that says so or with two check-boxes. Older ones are outdated by it, as it is by one behind the span;
    * `system` messages: they are instructions, not history.

    Longer ones than PINNED_CHARS are left to the summary.
    """
    chosen = {at for at in range(*span) if messages[at]["role"] == "system"}
    for of_kind in (is_prompt, is_plan):
        newest = next((at for at in range(len(messages) - 1, -1, -1) if of_kind(messages[at])), 0)
        if span.start <= newest < span.end:
            chosen.add(newest)
    return [at for at in sorted(chosen) if sum(map(len, _texts(messages[at]))) <= PINNED_CHARS]


def is_plan(message: JsonObject) -> bool:
    """Holds a to-do list or a plan, as a tool call or as text."""
    if any(_PLANNERS.search(call.get("name") or "") for call in blocks(message, CALLS)):
        return True
    return any(_PLAN_TEXT.search(text) for text in _texts(message))


def _texts(message: JsonObject) -> Iterator[str]:
    return (block.get("text") or "" for block in blocks(message, TEXTS))


def verbatim(message: JsonObject) -> list[JsonObject]:
    """A pinned message's blocks as parts of another message: a tool call becomes text, results stay behind."""
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
