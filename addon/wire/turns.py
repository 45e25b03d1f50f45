"""From converted client messages to Anthropic's `system` and `messages`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

from addon.wire.assistant import THINKING
from addon.wire.content import Blocks, Context, Turn, text_block
from addon.wire.fields import located
from addon.wire.types import JsonObject

OPENING = "Begin."
"""Stands for the first user turn where the client has none: Anthropic demands one, and refuses empty text."""


@dataclass(frozen=True, slots=True)
class Conversation:
    system: Blocks
    messages: list[JsonObject]
    """Neighbours of one role are one message; system messages may be among them, wherever the client had them."""
    notes: list[str]


def convert_turns(
    messages: Iterable[Any], convert: Callable[[Any, Context], Turn], context: Context, field: str
) -> list[Turn]:
    """`convert` sees one message at a time and nothing else, so its result may be remembered by the message's digest.

    Raises BadRequest with `param` `<field>[i]…`."""
    turns = []
    for index, message in enumerate(messages):
        with located(f"{field}[{index}]"):
            turns.append(convert(message, context))
    return turns


def assemble(turns: list[Turn], field: str) -> Conversation:
    """System turns before the first other one become `system`; empty turns vanish; neighbours are joined."""
    notes = [f"{field}[{index}]: {note}" for index, turn in enumerate(turns) for note in turn.notes]
    full = [turn for turn in turns if _has_substance(turn)]
    start = next((index for index, turn in enumerate(full) if turn.role != "system"), len(full))
    system = [block for turn in full[:start] for block in turn.blocks]
    messages = [
        {"role": role, "content": [block for turn in group for block in turn.blocks]}
        for role, group in groupby(full[start:], attrgetter("role"))
    ]
    return Conversation(
        system, messages or [{"role": "user", "content": [text_block(OPENING)]}], notes
    )


def _has_substance(turn: Turn) -> bool:
    """An assistant turn of nothing but thinking can't be sent: its last block may not be thinking."""
    return any(block["type"] not in THINKING for block in turn.blocks)
