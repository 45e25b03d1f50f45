"""The token count of a request, its line in the log, and the true counts in Anthropic's responses."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from addon.claude.pricing import Tokens
from addon.core.frozen import frozen
from addon.core.terminal import short_count
from addon.core.types import JsonObject

SERVER_CALLS = ("server_tool_use", "mcp_tool_use")
"""Blocks with which Claude goes on to read the prompt once more. Not all of these tools are in `server_tool_use`."""
type CountSource = Literal["anchored", "calibrated", "prior", "weights"]


@frozen(kw_only=True)
class Count:
    """The estimated input tokens of a request. The parts add up to `total`, except for rounding and the few tokens of a
    request without tools that belong to none."""

    total: int
    system: int
    tools: int
    per_message: tuple[int, ...]
    margin: float
    """The possible error, as a share of the total."""
    factor: float
    """Claude's tokens per token of the local vocabulary, not counting images and other fixed costs."""
    source: CountSource
    """anchored: from the true count of an earlier request of this conversation; calibrated: from other conversations;
    prior: nothing was learnt yet; weights: without the vocabulary."""

    @property
    def messages(self) -> int:
        return sum(self.per_message)

    @property
    def upper(self) -> int:
        """The total with the possible error added."""
        return round(self.total * (1 + self.margin))


def describe(count: Count, limit: int) -> str:
    """One line for the log: `📊 182.3K tokens (±2 %) · system 4.1K · 96 messages 160.2K · …`."""
    messages = "1 message" if len(count.per_message) == 1 else f"{len(count.per_message)} messages"
    parts = {"system": count.system, messages: count.messages, "tools": count.tools}
    fields = (
        f"📊 {short_count(count.total)} tokens (±{max(1, round(count.margin * 100))} %)",
        *(f"{name} {short_count(tokens)}" for name, tokens in parts.items() if tokens),
        f"limit {short_count(limit)}",
    )
    return " · ".join(fields)


def true_input(usage: JsonObject, content: list[JsonObject] | None = None) -> int | None:
    """The number of input tokens in the `usage` of a response with that content; None if it is not that of one prompt:
    with server tools or several iterations, it is the sum of several prompts."""
    if any((usage.get("server_tool_use") or {}).values()):
        return None
    if any(block.get("type") in SERVER_CALLS for block in content or ()):
        return None
    iterations = usage.get("iterations") or []
    if len(iterations) > 1:
        return None
    return Tokens.from_usage(usage).prompt or None


class Overflow(NamedTuple):
    """Anthropic's count of a prompt that it rejected."""

    tokens: int
    maximum: int


_OVERFLOWS = (
    re.compile(r"prompt is too long: (\d{1,9}) tokens > (\d{1,9})\b"),
    re.compile(r"`?max_tokens`? exceed context limit: (\d{1,9}) \+ \d+ > (\d{1,9})\b"),
)


def overflow(message: str) -> Overflow | None:
    """The numbers in "prompt is too long: N tokens > M maximum" or in "input length and `max_tokens` exceed context
    limit: N + K > M"; None for other errors."""
    for pattern in _OVERFLOWS:
        if found := pattern.search(message):
            return Overflow(int(found[1]), int(found[2]))
    return None
