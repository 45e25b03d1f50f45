"""Tool inputs on their way back: the form in which the client declared its tool."""

from __future__ import annotations

from typing import Any

from addon.core.types import Codec, JsonObject
from addon.translation.to_anthropic.tool_arguments import WRAPPER
from addon.translation.types import Reply, ToolReply


def tool_reply(reply: Reply, name: str) -> ToolReply:
    """How a call of the upstream tool `name` is given back."""
    return reply.tools.get(name) or ToolReply(name=name)


def arguments_text(value: Any, how: ToolReply, codec: Codec) -> str:
    """A whole tool input as the text the client gets: JSON, or a custom tool's raw text."""
    if how.custom and not value:
        return ""
    if (how.custom or how.wrapped) and isinstance(value, dict) and WRAPPER in value:
        value = value[WRAPPER]
        if how.wrapped:
            return codec.dumps(value).decode()
    # A string that was not unwrapped is an input that was no JSON: what came is the best there is.
    return value if isinstance(value, str) else codec.dumps({} if value is None else value).decode()


class StreamedCall:
    """One client-visible tool call of a stream: its place among the calls, and its input as it comes."""

    __slots__ = ("_buffered", "_codec", "_pieces", "_start", "call_id", "how", "position")

    def __init__(self, block: JsonObject, position: int, reply: Reply, codec: Codec) -> None:
        self.position = position
        self.call_id: str = block.get("id") or ""
        self.how = tool_reply(reply, block.get("name") or "")
        self._start = block.get("input")
        self._codec = codec
        self._pieces: list[str] = []
        self._buffered = self.how.custom or self.how.wrapped

    def add(self, piece: str) -> str:
        """Take one piece of JSON; gives the text that can be sent on at once."""
        if piece:
            self._pieces.append(piece)
        return "" if self._buffered else piece

    def rest(self) -> str:
        """When the input has ended: the text that has not been given yet.

        Without any piece it is the input the block started with, most often `{}`: clients parse the arguments, and
        the empty text is not JSON.
        """
        if not self._pieces:
            return arguments_text(self._start, self.how, self._codec)
        if not self._buffered:
            return ""
        joined = "".join(self._pieces)
        try:
            value = self._codec.loads(joined)
        except ValueError:
            return joined  # cut off by max_tokens
        return arguments_text(value, self.how, self._codec)
