"""Takes a code fence off a text that a client parses as JSON, while the text is still coming."""

from __future__ import annotations

import re

_OPENING = re.compile(r"\s*```[a-zA-Z]*[ \t]*\r?\n")
_MAYBE_OPENING = re.compile(r"\s*(`{1,2}|```[a-zA-Z]*[ \t]*\r?)?")
_MAYBE_CLOSING = re.compile(r"(\r|(\r?\n)?(`{1,2}|```\s*)?)\Z")
_CLOSING = re.compile(r"(\r?\n)?```\s*")
_MOST_HELD = 256
"""Characters. A model that writes blanks without end is not held back for ever."""


class CodeFence:
    """Pieces in, pieces out, without one fence around all of them. What may belong to a fence is held back, so `end`
    returns the rest. JSON has no raw line end within a string, so nothing of its text is taken for a fence."""

    def __init__(self) -> None:
        self._held = ""
        self._began = False
        self._opened = False

    def feed(self, piece: str) -> str:
        if self._began and not self._opened:
            return piece
        text = self._held + piece
        if not self._began:
            opening = _OPENING.match(text)
            if opening is None and len(text) <= _MOST_HELD and _MAYBE_OPENING.fullmatch(text):
                self._held = text
                return ""
            self._began, self._opened = True, opening is not None
            text = text[opening.end() :] if opening else text
        if not self._opened:
            self._held = ""
            return text
        closing = _MAYBE_CLOSING.search(text)
        place = (
            closing.start() if closing and len(text) - closing.start() <= _MOST_HELD else len(text)
        )
        self._held = text[place:]
        return text[:place]

    def end(self) -> str:
        held, self._held = self._held, ""
        return "" if self._opened and _CLOSING.fullmatch(held) else held


def strip_fence(text: str) -> str:
    fence = CodeFence()
    return fence.feed(text) + fence.end()
