"""Converts web citations of a text block to OpenAI's annotations."""

from __future__ import annotations

from collections.abc import Iterable

from addon.core.types import JsonObject


def url_citations(citations: Iterable[JsonObject] | None, start: int, end: int) -> list[JsonObject]:
    """One `{start_index, end_index, title, url}` for each web citation of the text that spans `start` to `end`
    (code points of the joined text). OpenAI has no form for locations within a document: those are left out."""
    return [
        {
            "start_index": start,
            "end_index": end,
            "title": citation.get("title") or "",
            "url": citation.get("url") or "",
        }
        for citation in citations or ()
        if citation.get("type") == "web_search_result_location"
    ]


class CitedText:
    """An open text block of a stream: its index, where its text starts in the joined text, and its citations."""

    __slots__ = ("_citations", "_start", "index")

    def __init__(self, index: int, block: JsonObject, start: int) -> None:
        self.index = index
        self._start = start
        self._citations: list[JsonObject] = list(block.get("citations") or ())

    def cite(self, citation: JsonObject) -> None:
        self._citations.append(citation)

    def url_citations(self, end: int) -> list[JsonObject]:
        """The citations, when the text has ended at `end`."""
        return url_citations(self._citations, self._start, end)
