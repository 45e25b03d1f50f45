"""From converted client messages to Anthropic's `system` and `messages`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from addon.core.errors import BadRequest
from addon.core.types import JsonObject
from addon.translation.to_anthropic.assistant import THINKING
from addon.translation.to_anthropic.content import Blocks, Context, Role, Turn, text_block
from addon.translation.to_anthropic.conversion_cache import Memo
from addon.translation.to_anthropic.fields import within

OPENING = "Begin."
"""Stands for the first user turn where the client has none: Anthropic demands one, and refuses empty text."""


@dataclass(frozen=True, slots=True)
class Conversation:
    system: Blocks
    messages: list[JsonObject]
    """Neighbours of one role are one message; system messages may be among them, wherever the client had them."""
    notes: list[str]


def convert_turns(
    messages: Iterable[Any],
    convert: Callable[[Any, Context], Turn],
    context: Context,
    field: str,
    memo: Memo,
) -> list[Turn]:
    """`convert` sees one message at a time and nothing else, so what it makes of a message is kept in `memo`.

    Raises BadRequest with `param` `<field>[i]…`."""
    scope = (convert, context.fingerprint())
    turns: list[Turn] = []
    try:
        for message in messages:
            if _is_plain(message):
                turns.append(convert(message, context))
            else:
                turns.append(memo.recall(lambda given: convert(given, context), message, scope))
    except BadRequest as error:
        raise within(f"{field}[{len(turns)}]", error) from None
    return turns


def _is_plain(message: Any) -> bool:
    """One string is converted sooner than its digest is made."""
    if not isinstance(message, dict) or "tool_calls" in message:
        return False
    return isinstance(message.get("content"), str) or isinstance(message.get("output"), str)


def assemble(turns: list[Turn], field: str) -> Conversation:
    """System turns before the first other one become `system`; empty turns vanish; neighbours are joined."""
    notes = [f"{field}[{index}]: {note}" for index, turn in enumerate(turns) for note in turn.notes]
    groups = _joined([(turn.role, turn.blocks) for turn in turns if turn.blocks])
    spoken = [(role, blocks) for role, blocks in groups if not _is_thinking_alone(blocks)]
    groups = groups if len(spoken) == len(groups) else _joined(spoken)
    system = groups.pop(0)[1] if groups and groups[0][0] == "system" else []
    messages = [{"role": role, "content": blocks} for role, blocks in groups]
    return Conversation(
        system, messages or [{"role": "user", "content": [text_block(OPENING)]}], notes
    )


def _joined(turns: list[tuple[Role, Blocks]]) -> list[tuple[Role, Blocks]]:
    return [
        (role, [block for _, blocks in group for block in blocks])
        for role, group in groupby(turns, itemgetter(0))
    ]


def _is_thinking_alone(blocks: Blocks) -> bool:
    """Can't be sent: the last block of an assistant turn may not be thinking."""
    return blocks[-1]["type"] in THINKING and all(block["type"] in THINKING for block in blocks)
