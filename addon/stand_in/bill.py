"""What the fake's answers said they used: the other side of the proxy's own accounts. Set `fake.log.keep_answers`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Any

from addon.stand_in.record import JsonObject, Received


@dataclass(frozen=True, slots=True)
class Used:
    """Tokens, each in one field only; thinking is a part of output."""

    input: int = 0
    output: int = 0
    written: int = 0
    read: int = 0
    thinking: int = 0

    def __add__(self, other: Used) -> Used:
        return Used(*map(sum, zip(astuple(self), astuple(other), strict=True)))


def used(request: Received) -> Used:
    """What an answer told, as far as it was sent: its start, and its newest delta. Nothing for an answer that told
    nothing."""
    usage: JsonObject = {}
    for event in _events(bytes(request.answer)):
        usage |= event.get("usage") or event.get("message", {}).get("usage") or {}
    return Used(
        input=usage.get("input_tokens", 0),
        output=usage.get("output_tokens", 0),
        written=usage.get("cache_creation_input_tokens", 0),
        read=usage.get("cache_read_input_tokens", 0),
        thinking=(usage.get("output_tokens_details") or {}).get("thinking_tokens", 0),
    )


def _events(answer: bytes) -> Iterator[Any]:
    """The data of every event that was sent whole; or the one body of an answer that is no stream."""
    if answer.startswith(b"{"):
        yield json.loads(answer)
    for event in answer.split(b"\n\n")[:-1]:
        yield json.loads(event.partition(b"data: ")[2])
