"""Converts citations of a text block to OpenAI's annotations."""

from __future__ import annotations

from collections.abc import Iterable

from addon.core.types import JsonObject

_OF_DOCUMENTS = ("char_location", "page_location", "content_block_location")


def annotations_of(
    citations: Iterable[JsonObject] | None, start: int, end: int
) -> list[JsonObject]:
    """Annotations of the Responses API for the text that spans `start` to `end` (code points of the joined text): a
    `url_citation` for what is on the web, else a `file_citation`, which has no place for pages and quotations."""
    return [
        _url_citation(citation, start, end)
        if _is_on_the_web(citation)
        else _file_citation(citation, end)
        for citation in citations or ()
        if _is_on_the_web(citation)
        or citation.get("type") in (*_OF_DOCUMENTS, "search_result_location")
    ]


def url_citations(citations: Iterable[JsonObject] | None, start: int, end: int) -> list[JsonObject]:
    """Those that chat has a form for, without their type."""
    made = annotations_of(citations, start, end)
    return [
        {name: value for name, value in one.items() if name != "type"}
        for one in made
        if one["type"] == "url_citation"
    ]


def _is_on_the_web(citation: JsonObject) -> bool:
    source = citation.get("source")
    return citation.get("type") == "web_search_result_location" or (
        citation.get("type") == "search_result_location"
        and isinstance(source, str)
        and source.startswith(("https://", "http://"))
    )


def _url_citation(citation: JsonObject, start: int, end: int) -> JsonObject:
    return {
        "type": "url_citation",
        "start_index": start,
        "end_index": end,
        "title": citation.get("title") or "",
        "url": citation.get("url") or citation.get("source") or "",
    }


def _file_citation(citation: JsonObject, end: int) -> JsonObject:
    name = citation.get("document_title") or citation.get("title") or ""
    ident = citation.get("file_id") or citation.get("source")
    return {
        "type": "file_citation",
        "file_id": ident or f"document_{citation.get('document_index') or 0}",
        "filename": name,
        "index": end,
    }


class CitedText:
    """An open text block of a stream: its index, where its text starts in the joined text, and its citations."""

    __slots__ = ("_citations", "_start", "index")

    def __init__(self, index: int, block: JsonObject, start: int) -> None:
        self.index = index
        self._start = start
        self._citations: list[JsonObject] = list(block.get("citations") or ())

    def cite(self, citation: JsonObject) -> None:
        self._citations.append(citation)

    def annotations(self, end: int) -> list[JsonObject]:
        """Those of Responses, when the text has ended at `end`."""
        return annotations_of(self._citations, self._start, end)

    def url_citations(self, end: int) -> list[JsonObject]:
        """Those of chat."""
        return url_citations(self._citations, self._start, end)
