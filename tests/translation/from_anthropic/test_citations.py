from __future__ import annotations

from addon.translation.from_anthropic.citations import url_citations
from tests.translation.upstream import web_citation


def test_only_web_citations_have_an_openai_form() -> None:
    cited = [
        web_citation("https://a.example", "A"),
        {"type": "char_location"},
        {"type": "search_result_location"},
    ]
    assert url_citations(cited, 2, 5) == [
        {"start_index": 2, "end_index": 5, "title": "A", "url": "https://a.example"}
    ]
    assert url_citations(None, 0, 1) == []


def test_a_missing_title_is_empty_since_clients_expect_text() -> None:
    (cited,) = url_citations([{**web_citation("u", "t"), "title": None}], 0, 1)
    assert cited["title"] == ""
