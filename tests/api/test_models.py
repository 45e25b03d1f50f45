"""The lists of models, as the SDKs' types have them."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import ModelInfo
from openai.types import Model as OpenAIModel

from addon.api.models import anthropic_list, anthropic_model, display_name, openai_list
from addon.core.errors import BadRequest
from tests.claude.support import CATALOGUE

ALIASES = {"big": "claude-opus-5-5-high", "mini": "gpt-5.5-mini"}
NAMES = [*ALIASES, *CATALOGUE.ids]


def listed(**query: str) -> dict[str, Any]:
    return anthropic_list(CATALOGUE, ALIASES, query)


def test_every_model_is_as_the_sdk_types_it() -> None:
    for told in listed()["data"]:
        ModelInfo.model_validate(told, strict=False)
        assert ModelInfo.model_fields.keys() <= told.keys()
    for told in openai_list(NAMES)["data"]:
        OpenAIModel.model_validate(told)


def test_what_a_model_can_do_is_told() -> None:
    told = anthropic_model("claude-sonnet-4-5", CATALOGUE.get("claude-sonnet-4-5"))
    assert (told["display_name"], told["line"]) == ("Claude Sonnet 4.5", "sonnet")
    assert (told["lifecycle"], told["retires_at"]) == ("deprecated", "2026-11-30T00:00:00Z")
    assert (told["max_input_tokens"], told["max_tokens"]) == (200_000, 64_000)
    assert told["description"] == "200K context, 64K output"
    types = told["capabilities"]["thinking"]["types"]
    assert types["enabled"]["supported"] and not types["adaptive"]["supported"]
    assert not told["capabilities"]["effort"]["supported"]
    newest = anthropic_model("claude-opus-5-5", CATALOGUE.get("claude-opus-5-5"))
    assert newest["lifecycle"] == "active" and newest["description"].startswith("1M context")
    assert newest["capabilities"]["effort"]["xhigh"]["supported"]


def test_aliases_are_listed_with_what_they_stand_for() -> None:
    big, mini = listed()["data"][:2]
    assert (big["id"], big["display_name"]) == ("big", "big (Claude Opus 5.5)")
    assert big["max_tokens"] == CATALOGUE.get("claude-opus-5-5").max_output
    assert (mini["id"], mini["max_tokens"]) == ("mini", None)


@pytest.mark.parametrize(
    ("query", "shown", "more"),
    [
        ({}, NAMES, False),
        ({"limit": "3"}, NAMES[:3], True),
        ({"limit": "3", "after_id": NAMES[2]}, NAMES[3:6], True),
        ({"limit": "1000", "after_id": NAMES[2]}, NAMES[3:], False),
        ({"limit": "2", "before_id": NAMES[5]}, NAMES[3:5], True),
        ({"limit": "9", "before_id": NAMES[2]}, NAMES[:2], False),
        ({"after_id": NAMES[-1]}, [], False),
    ],
)
def test_the_list_comes_in_pages(query: dict[str, str], shown: list[str], more: bool) -> None:
    page = listed(**query)
    assert [model["id"] for model in page["data"]] == shown
    assert page["has_more"] is more
    ends = (shown[0], shown[-1]) if shown else (None, None)
    assert (page["first_id"], page["last_id"]) == ends


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "x"},
        {"limit": "1001"},
        {"limit": "9" * 5000},  # more digits than Python reads
        {"limit": ""},
        {"after_id": "x"},
    ],
)
def test_a_page_that_is_none_is_refused_by_name(query: dict[str, str]) -> None:
    with pytest.raises(BadRequest) as refused:
        listed(**query)
    assert refused.value.param in query


@pytest.mark.parametrize(
    ("model_id", "shown"),
    [
        ("claude-opus-4-8", "Claude Opus 4.8"),
        ("claude-opus-5", "Claude Opus 5"),
        ("claude-mythos-preview", "Claude Mythos Preview"),
    ],
)
def test_models_have_names_for_people(model_id: str, shown: str) -> None:
    assert display_name(model_id) == shown
