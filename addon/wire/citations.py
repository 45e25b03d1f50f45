"""Web citations of a text block, as OpenAI's annotations."""

from __future__ import annotations

from collections.abc import Iterable

from addon.wire.types import JsonObject


def url_citations(citations: Iterable[JsonObject] | None, start: int, end: int) -> list[JsonObject]:
    """One `{start_index, end_index, title, url}` for each web citation of the text that spans `start` to `end`
    (code points of the joined answer). OpenAI has no words for places within a document: those are left out."""
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
