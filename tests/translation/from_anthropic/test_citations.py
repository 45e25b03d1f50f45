from __future__ import annotations

import pytest

from addon.translation.from_anthropic.citations import annotations_of, url_citations
from tests.translation.upstream import JsonObject, web_citation

PAGE = {"type": "page_location", "document_index": 1, "document_title": "a.pdf", "file_id": None}
CITED: dict[str, tuple[JsonObject, JsonObject]] = {
    "the-web": (
        web_citation("https://a.example", "A"),
        {
            "type": "url_citation",
            "start_index": 2,
            "end_index": 5,
            "title": "A",
            "url": "https://a.example",
        },
    ),
    "a-search-result-on-the-web": (
        {"type": "search_result_location", "source": "https://a.example", "title": None},
        {
            "type": "url_citation",
            "start_index": 2,
            "end_index": 5,
            "title": "",
            "url": "https://a.example",
        },
    ),
    "a-search-result": (
        {"type": "search_result_location", "source": "kb-7", "title": "Seven"},
        {"type": "file_citation", "file_id": "kb-7", "filename": "Seven", "index": 5},
    ),
    "a-page": (
        PAGE,
        {"type": "file_citation", "file_id": "document_1", "filename": "a.pdf", "index": 5},
    ),
    "characters-of-a-file": (
        {"type": "char_location", "document_title": None, "file_id": "file_1"},
        {"type": "file_citation", "file_id": "file_1", "filename": "", "index": 5},
    ),
}


@pytest.mark.parametrize("case", CITED)
def test_citations_become_annotations(case: str) -> None:
    given, expected = CITED[case]
    assert annotations_of([given], 2, 5) == [expected]


def test_chat_has_a_form_for_the_web_alone() -> None:
    (cited,) = url_citations([web_citation("https://a.example", "A"), PAGE], 2, 5)
    assert cited == {"start_index": 2, "end_index": 5, "title": "A", "url": "https://a.example"}
    assert url_citations(None, 0, 1) == annotations_of(None, 0, 1) == []


def test_unknown_citations_are_left_out() -> None:
    assert annotations_of([{"type": "new_location"}], 0, 1) == []


def test_a_missing_title_is_empty_since_clients_expect_text() -> None:
    (cited,) = url_citations([{**web_citation("u", "t"), "title": None}], 0, 1)
    assert cited["title"] == ""
