"""response_format, text.format and output_config.format."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.core.errors import BadRequest
from addon.translation.to_anthropic.structured_outputs import (
    JSON_INSTRUCTION,
    SCHEMA_INSTRUCTION,
    closed_schema,
)
from tests.cpu import cpu_below
from tests.translation.asking import S, U, chat, finished, responses, text

POINT = {
    "type": "object",
    "properties": {"x": {"type": "number"}},
    "required": ["x"],
    "additionalProperties": False,
}


def obj(required: list[str] | None = None, **properties: Any) -> dict:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }


def closed(required: list[str] | None = None, **properties: Any) -> dict:
    return obj(required, **properties) | {"additionalProperties": False}


def response_format(schema: Any, **fields: Any) -> dict:
    return {"type": "json_schema", "json_schema": {"name": "point", "schema": schema, **fields}}


CLOSED: dict[str, tuple[dict, dict]] = {
    "objects-are-closed": (obj(x={"type": "number"}), closed(x={"type": "number"})),
    "inner-objects-too": (
        obj(x=obj(y={"type": "null"})),
        closed(x=closed(y={"type": "null"})),
    ),
    "empty-objects-stay-empty": (obj(x=closed()), closed(x=closed())),
    "open-objects-are-closed": (
        obj(x={"type": "null"}) | {"additionalProperties": True},
        closed(x={"type": "null"}),
    ),
    "a-constraint-becomes-words": (
        obj(x={"type": "string", "minLength": 3, "description": "d"}),
        closed(x={"type": "string", "description": "d\n\n{minLength: 3}"}),
    ),
    "one-of-is-any-of": (
        obj(x={"oneOf": [{"type": "string"}, {"type": "null"}]}),
        closed(x={"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ),
    "a-list-of-types-is-any-of": (
        obj(x={"type": ["string", "null"], "description": "d", "format": "date"}),
        closed(
            x={
                "anyOf": [{"type": "string", "format": "date"}, {"type": "null"}],
                "description": "d",
            }
        ),
    ),
    "values": (obj(x={"type": "string", "enum": ["a"]}), closed(x={"enum": ["a"]})),
    "values-of-two-types": (
        obj(x={"type": ["string", "null"], "enum": ["a", None]}),
        closed(x={"enum": ["a", None]}),
    ),
    "one-value": (obj(x={"const": 1}), closed(x={"const": 1})),
    "known-formats-stay": (
        obj(x={"type": "string", "format": "uuid"}),
        closed(x={"type": "string", "format": "uuid"}),
    ),
    "other-formats-become-words": (
        obj(x={"type": "string", "format": "iban"}),
        closed(x={"type": "string", "description": "{format: iban}"}),
    ),
    "lists": (
        obj(
            x={
                "type": "array",
                "items": {"type": "string", "pattern": "a"},
                "minItems": 1,
                "maxItems": 3,
            }
        ),
        closed(
            x={
                "type": "array",
                "items": {"type": "string", "description": "{pattern: a}"},
                "minItems": 1,
                "description": "{maxItems: 3}",
            }
        ),
    ),
    "definitions": (
        obj(x={"$ref": "#/definitions/P"}) | {"definitions": {"P": obj(y={"type": "null"})}},
        closed(x={"$ref": "#/$defs/P"}) | {"$defs": {"P": closed(y={"type": "null"})}},
    ),
    "a-reference-at-the-root": (
        {"$ref": "#/$defs/P", "$defs": {"P": obj(y={"type": "null"})}},
        closed(y={"type": "null"}) | {"$defs": {"P": closed(y={"type": "null"})}},
    ),
    "a-described-reference": (
        obj(x={"allOf": [{"$ref": "#/$defs/P"}], "description": "d"}) | {"$defs": {"P": POINT}},
        closed(x={"$ref": "#/$defs/P"}) | {"$defs": {"P": POINT}},
    ),
    "all-of": (
        obj(x={"allOf": [{"type": "string"}, {"const": "a"}]}),
        closed(x={"allOf": [{"type": "string"}, {"const": "a"}]}),
    ),
    "titles-and-defaults-stay": (
        obj(x={"type": "null", "title": "t", "default": None}) | {"$schema": "s"},
        closed(x={"type": "null", "title": "t", "default": None}),
    ),
}


@pytest.mark.parametrize(("schema", "expected"), CLOSED.values(), ids=CLOSED)
def test_closed(schema: dict, expected: dict) -> None:
    before = copy.deepcopy(schema)
    assert closed_schema(schema) == expected
    assert schema == before


P_OF_P = {"P": obj(y={"$ref": "#/$defs/P"})}
OUTSIDE: dict[str, dict] = {
    "recursion": {**obj(x={"$ref": "#/$defs/P"}), "$defs": P_OF_P},
    "recursion-of-the-root": obj(x={"$ref": "#"}),
    "recursion-by-two": obj(x={"$ref": "#/$defs/A"})
    | {"$defs": {"A": obj(b={"$ref": "#/$defs/B"}), "B": obj(a={"$ref": "#/$defs/A"})}},
    "a-reference-to-itself": {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},
    "a-reference-into-properties": {
        "$ref": "#/properties/a",
        "properties": {"a": {"$ref": "#/properties/a"}},
    },
    "a-root-that-is-a-list": {"type": "array", "items": {"type": "string"}},
    "a-root-of-alternatives": {"anyOf": [obj(), obj()]},
    "a-free-form-map": obj(x={"type": "object", "additionalProperties": {"type": "string"}}),
    "any-object": obj(x={"type": "object", "additionalProperties": True}),
    "any-object-by-default": obj(x={"type": "object"}),
    "a-list-of-any-objects": obj(
        x={"type": "array", "items": {"type": "object", "properties": {}}}
    ),
    "any-object-or-null": obj(x={"anyOf": [{"type": "object"}, {"type": "null"}]}),
    "any-object-at-the-root": {"type": "object"},
    "patterns-of-names": obj(x={"type": "object", "patternProperties": {"a": {}}}),
    "anything": obj(x={}),
    "a-description-that-is-no-text": obj(x={"type": "null", "description": {"oneOf": []}}),
    "no-type-at-all": obj(x={"type": []}),
    "no-alternative-at-all": obj(x={"anyOf": []}),
    "true": obj(x=True),
    "an-unknown-type": obj(x={"type": "hologram"}),
    "a-value-that-is-a-list": obj(x={"enum": [[1]]}),
    "properties-beside-alternatives": obj(x=obj(y={"type": "null"}) | {"anyOf": [obj()]}),
    "all-of-with-references": obj(x={"allOf": [{"$ref": "#/$defs/P"}, obj()]})
    | {"$defs": {"P": obj()}},
    "a-remote-reference": obj(x={"$ref": "https://example.com/s"}),
    "25-optional-properties": obj([], **{f"p{i}": {"type": "null"} for i in range(25)}),
    "17-unions": obj(**{f"p{i}": {"anyOf": [{"type": "null"}]} for i in range(17)}),
    "something-required-that-is-not-there": obj(["y"], x={"type": "null"}),
}


@pytest.mark.parametrize("schema", OUTSIDE.values(), ids=OUTSIDE)
def test_outside_the_subset_the_schema_is_an_instruction(schema: dict) -> None:
    assert closed_schema(schema) is None
    translation = chat(S("s"), U("a"), response_format=response_format(schema))
    assert "output_config" not in translation.request
    last = translation.request["system"][-1]["text"]
    assert last.startswith(SCHEMA_INSTRUCTION)
    assert translation.reply.json_object
    finished(translation)


@pytest.mark.parametrize("count", [24, 16], ids=["24-optional-properties", "16-unions"])
def test_the_limits_themselves_are_inside(count: int) -> None:
    union = {"anyOf": [{"type": "null"}]}
    kind = {"type": "null"} if count == 24 else union
    properties = {f"p{i}": kind for i in range(count)}
    assert closed_schema(obj([] if count == 24 else None, **properties)) is not None


def test_in_the_request() -> None:
    translation = chat(
        U("a"), response_format=response_format(obj(x={"type": "number"}), strict=True)
    )
    assert translation.request["output_config"] == {
        "format": {"type": "json_schema", "schema": {**POINT, "description": "point"}}
    }
    assert "system" not in translation.request
    assert not translation.reply.json_object
    finished(translation)


def test_the_description_tells_what_it_is_for() -> None:
    schema = {**POINT, "description": "in metres"}
    form = response_format(schema, description="where it is")
    request = chat(U("a"), response_format=form).request
    described = request["output_config"]["format"]["schema"]["description"]
    assert described == "point: where it is: in metres"


def test_json_object_is_an_instruction() -> None:
    translation = chat(S("s"), U("a"), response_format={"type": "json_object"})
    assert translation.request["system"] == [text("s"), text(JSON_INSTRUCTION)]
    assert "output_config" not in translation.request
    assert translation.reply.json_object


@pytest.mark.parametrize("form", [None, {"type": "text"}], ids=["null", "text"])
def test_text_is_the_default(form: Any) -> None:
    assert chat(U("a"), response_format=form).request == chat(U("a")).request


def test_the_responses_form() -> None:
    form = {"type": "json_schema", "name": "point", "schema": POINT}
    request = responses("a", text={"format": form, "verbosity": "low"}).request
    assert request["output_config"]["format"]["schema"]["additionalProperties"] is False


def test_anthropics_form() -> None:
    config = {"effort": "low", "format": {"type": "json_schema", "schema": POINT}}
    translation = chat(U("a"), output_config=config)
    assert translation.request["output_config"] == {
        "format": {"type": "json_schema", "schema": POINT}
    }
    assert translation.thinking_request.effort == "low"
    assert finished(translation)["output_config"] == {**config, "effort": "low"}


REFUSED: dict[str, tuple[Any, str]] = {
    "no-schema": (
        {"type": "json_schema", "json_schema": {"name": "n"}},
        "response_format.json_schema.schema",
    ),
    "unknown-type": ({"type": "xml"}, "response_format.type"),
    "no-object": ("json", "response_format"),
    "schema-a-string": (response_format("x"), "response_format.json_schema.schema"),
}


@pytest.mark.parametrize(("form", "param"), REFUSED.values(), ids=REFUSED)
def test_refused(form: Any, param: str) -> None:
    with pytest.raises(BadRequest) as error:
        chat(U("a"), response_format=form)
    assert error.value.param == param


def test_many_definitions_in_a_second() -> None:
    chain = {f"d{i}": obj(x={"$ref": f"#/$defs/d{i + 1}"}) for i in range(5000)}
    schema = obj(x={"$ref": "#/$defs/d0"}) | {"$defs": {**chain, "d5000": obj(x={"type": "null"})}}
    with cpu_below():
        assert closed_schema(schema) is not None


def test_types_that_are_named_twice_end_soon() -> None:
    part: dict = {"type": "string"}
    for _ in range(30):
        part = {"type": ["array", "array", "null"], "items": part}
    with cpu_below():
        closed_schema(obj(x=part))


keywords = st.sampled_from(
    ["type", "properties", "anyOf", "oneOf", "allOf", "$ref", "$defs", "required", "items", "enum", "format",
     "const", "minItems", "additionalProperties", "description", "x"]
)  # fmt: skip
values = st.recursive(
    st.sampled_from([None, True, 1, "object", "array", "string", "#/$defs/x", "#", "null", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keywords, inner, max_size=4),
    max_leaves=25,
)


@given(st.dictionaries(keywords, values, max_size=5))
def test_any_schema_gives_a_request_that_anthropic_takes(inner: dict) -> None:
    form = response_format({"type": "object", "properties": {"x": inner}, "$defs": {"x": inner}})
    try:
        translation = chat(U("a"), response_format=form)
    except BadRequest:
        return
    finished(translation)
