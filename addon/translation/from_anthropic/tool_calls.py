"""Writes tool inputs in the form in which the client declared its tools."""

from __future__ import annotations

from typing import Any

from addon.core.json_codec import dumps, loads
from addon.core.types import JsonObject
from addon.translation.to_anthropic.tool_arguments import WRAPPER, renamed_keys
from addon.translation.types import Reply, ToolReply


def tool_reply(reply: Reply, name: str) -> ToolReply:
    """How calls of the upstream tool `name` are returned to the client."""
    return reply.tools.get(name) or ToolReply(name=name)


def arguments_text(value: Any, how: ToolReply) -> str:
    """A complete tool input as the text the client receives: JSON, or a custom tool's raw text."""
    if how.custom and not value:
        return ""
    if (how.custom or how.wrapped) and isinstance(value, dict) and WRAPPER in value:
        value = value[WRAPPER]
        if how.wrapped:
            return dumps(value).decode()
    if isinstance(value, dict):
        value = renamed_keys(value, {new: old for old, new in how.renamed})
    # A string that was not unwrapped is an input that was not JSON: it is passed on as it is.
    return value if isinstance(value, str) else dumps({} if value is None else value).decode()


class StreamedCall:
    """One client-visible tool call of a stream: its position among the calls, and its input so far."""

    __slots__ = ("_buffered", "_pieces", "_start", "call_id", "how", "position")

    def __init__(self, block: JsonObject, position: int, reply: Reply) -> None:
        self.position = position
        self.call_id: str = block.get("id") or ""
        self.how = tool_reply(reply, block.get("name") or "")
        self._start = block.get("input")
        self._pieces: list[str] = []
        self._buffered = self.how.custom or self.how.wrapped or bool(self.how.renamed)

    def add(self, piece: str) -> str:
        """Add one piece of JSON. Returns the text that can be sent at once."""
        if piece:
            self._pieces.append(piece)
        return "" if self._buffered else piece

    def rest(self) -> str:
        """Call when the input has ended. Returns the text that has not been sent yet.

        Without any piece this is the block's initial input, usually `{}`: clients parse the arguments, and empty text
        is not JSON.
        """
        if not self._pieces:
            return arguments_text(self._start, self.how)
        if not self._buffered:
            return ""
        joined = "".join(self._pieces)
        try:
            value = loads(joined)
        except ValueError:
            return joined  # cut off by max_tokens
        return arguments_text(value, self.how)
