"""Requests in Anthropic's own form: refused by name where a field has another type, else left as they are."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from addon.core.errors import BadRequest
from addon.translation.to_anthropic.native import native_translation
from tests.damaged import NATIVE
from tests.translation.asking import CATALOGUE, OPUS, text

MODEL = CATALOGUE.get(OPUS)


def with_block(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{**text("a"), **fields}]}]}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no messages": ({"messages": []}, "messages"),
    "messages as text": ({"messages": "x"}, "messages"),
    "a message as text": ({"messages": ["x"]}, "messages[0]"),
    "a role that is none": ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    "content as a number": ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    "a block as text": (
        {"messages": [{"role": "user", "content": ["x"]}]},
        "messages[0].content[0]",
    ),
    "a list for a type": (with_block(type=[]), "messages[0].content[0].type"),
    "a mark that is a list": (with_block(cache_control=[]), "messages[0].content[0].cache_control"),
    "a source as text": (with_block(source="x"), "messages[0].content[0].source"),
    "data as a number": (with_block(source={"data": 5}), "messages[0].content[0].source.data"),
    "a block within a result": (
        with_block(type="tool_result", content=[5]),
        "messages[0].content[0].content[0]",
    ),
    "system as a number": ({"system": 5}, "system"),
    "a system block as text": ({"system": ["x"]}, "system[0]"),
    "a tool as text": ({"tools": ["x"]}, "tools[0]"),
    "thinking as text": ({"thinking": "adaptive"}, "thinking"),
    "an effort that is a list": ({"output_config": {"effort": ["low"]}}, "output_config.effort"),
    "max_tokens as text": ({"max_tokens": "9"}, "max_tokens"),
    "max_tokens as true": ({"max_tokens": True}, "max_tokens"),
    "a temperature as text": ({"temperature": "0"}, "temperature"),
    "stream as a number": ({"stream": 1}, "stream"),
}


@pytest.mark.parametrize(("fields", "param"), REFUSED.values(), ids=REFUSED)
def test_a_field_of_another_type_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        native_translation({**NATIVE, **fields}, MODEL)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "fields",
    [{}, {"thinking": None, "system": None}, {"system": "s"}, {"unknown": [5]}, with_block(new=5)],
    ids=[
        "everything",
        "nulls",
        "system as text",
        "an unknown field",
        "an unknown field of a block",
    ],
)
def test_what_anthropic_may_take_is_left_alone(fields: dict[str, Any]) -> None:
    body = {**NATIVE, **fields}
    before = copy.deepcopy(body)
    translation = native_translation(body, MODEL)
    assert translation.request == before == body
    assert translation.notes == []
