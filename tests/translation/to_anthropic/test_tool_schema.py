"""Tool parameters whose root Anthropic would refuse."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.stand_in.rules_tools import PROPERTY, is_schema
from addon.translation.to_anthropic.tool_schema import object_schema, with_legal_names
from tests.cpu import assert_linear, cpu_below

A = {"type": "object", "properties": {"a": {"type": "string"}, "c": {}}, "required": ["a", "c"]}
B = {"type": "object", "properties": {"b": {"type": "string"}, "c": {}}, "required": ["c", "b"]}
EITHER = "Give one of these sets of properties: a, c; b, c."


def obj(**fields: Any) -> dict:
    return {"type": "object", "properties": {}, **fields}


OBJECTS: dict[str, tuple[dict, dict]] = {
    "empty": ({}, obj()),
    "no-type": ({"properties": {"a": {}}}, obj(properties={"a": {}})),
    "any-of": (
        {"anyOf": [A, B]},
        obj(
            properties={"a": {"type": "string"}, "c": {}, "b": {"type": "string"}},
            required=["c"],
            description=EITHER,
        ),
    ),
    "one-of-with-fields-of-its-own": (
        {
            "type": "object",
            "description": "d",
            "properties": {"x": {}},
            "required": ["x"],
            "oneOf": [A, B],
        },
        obj(
            properties={"x": {}, "a": {"type": "string"}, "c": {}, "b": {"type": "string"}},
            required=["x", "c"],
            description=f"d\n\n{EITHER}",
        ),
    ),
    "a-property-in-two-forms": (
        {"anyOf": [obj(properties={"k": {"const": 1}}), obj(properties={"k": {"const": 2}})]},
        obj(
            properties={"k": {"anyOf": [{"const": 1}, {"const": 2}]}},
            description="Give one of these sets of properties: k; k.",
        ),
    ),
    "null-is-no-alternative": ({"anyOf": [A, {"type": "null"}]}, A),
    "all-of": (
        {"allOf": [A, B], "title": "t"},
        obj(
            properties={"a": {"type": "string"}, "c": {}, "b": {"type": "string"}},
            required=["a", "c", "b"],
            title="t",
        ),
    ),
    "nullable": (
        {"type": ["object", "null"], "properties": {"a": {}}},
        obj(properties={"a": {}}),
    ),
    "draft-04-exclusive-minimum": (
        obj(properties={"a": {"minimum": 1, "exclusiveMinimum": True}}),
        obj(properties={"a": {"exclusiveMinimum": 1}}),
    ),
    "a-list-of-items": (
        obj(properties={"a": {"items": [{"type": "string"}], "additionalItems": False}}),
        obj(properties={"a": {"prefixItems": [{"type": "string"}], "items": False}}),
    ),
    "keywords-of-the-wrong-type": (
        obj(
            properties={
                "a": {"description": None, "enum": None, "items": None, "title": 1, "minimum": "1"},
                "b": {"not": {"properties": [], "anyOf": [], "maxLength": -1, "multipleOf": 0}},
                "c": None,
            }
        ),
        obj(properties={"a": {}, "b": {"not": {}}, "c": {}}),
    ),
    "types-that-are-none": (
        obj(
            properties={"a": {"type": "any"}, "b": {"type": "STRING"}, "c": {"type": ["X", "NULL"]}}
        ),
        obj(properties={"a": {}, "b": {"type": "string"}, "c": {"type": ["null"]}}),
    ),
    "a-name-twice-in-required": (
        obj(properties={"a": obj(required=["x", "x"])}),
        obj(properties={"a": obj(required=["x"])}),
    ),
    "draft-04-not-exclusive": (
        obj(properties={"a": {"maximum": 1, "exclusiveMaximum": False}}),
        obj(properties={"a": {"maximum": 1}}),
    ),
    "a-property-of-that-name": (
        obj(properties={"exclusiveMinimum": True}),
        obj(properties={"exclusiveMinimum": True}),
    ),
    "reference-at-the-root": (
        {"$ref": "#/$defs/X", "$defs": {"X": A}},
        {**A, "$defs": {"X": A}},
    ),
    "through-definitions": (
        {"$ref": "#/definitions/a~1b", "definitions": {"a/b": {"$ref": "#/definitions/X"}, "X": A}},
        {**A, "definitions": {"a/b": {"$ref": "#/definitions/X"}, "X": A}},
    ),
    "reference-with-fields-of-its-own": (
        {"$ref": "#/$defs/X", "$defs": {"X": A}, "properties": {"z": {}}},
        {
            "type": "object",
            "properties": {"z": {}, **A["properties"]},
            "required": ["a", "c"],
            "$defs": {"X": A},
        },
    ),
    "reference-to-nothing": ({"$ref": "#/$defs/X"}, obj()),
    "remote-references-are-dropped": (
        {"$ref": "https://example.com/s", "properties": {"a": {"$ref": "other.json"}}},
        obj(properties={"a": {}}),
    ),
    "what-is-valid-stays": (
        obj(
            **{"$schema": "https://json-schema.org/draft/2020-12/schema"},
            additionalProperties=False,
            properties={"a": {"type": ["string", "null"], "default": None, "pattern": "(?=x)"}},
        ),
        obj(
            **{"$schema": "https://json-schema.org/draft/2020-12/schema"},
            additionalProperties=False,
            properties={"a": {"type": ["string", "null"], "default": None, "pattern": "(?=x)"}},
        ),
    ),
    "draft-03-required": (obj(properties={"a": {"required": True}}), obj(properties={"a": {}})),
    "properties-null": ({"type": "object", "properties": None}, obj()),
    "data-is-no-schema": (
        obj(properties={"a": {"enum": [{"exclusiveMinimum": True}], "default": {"$ref": "x"}}}),
        obj(properties={"a": {"enum": [{"exclusiveMinimum": True}], "default": {"$ref": "x"}}}),
    ),
}


@pytest.mark.parametrize(("schema", "expected"), OBJECTS.values(), ids=OBJECTS)
def test_objects(schema: dict, expected: dict) -> None:
    before = copy.deepcopy(schema)
    assert object_schema(schema) == (expected, False)
    assert schema == before


WRAPPED: dict[str, dict] = {
    "a-list": {"type": "array", "items": {"type": "string"}},
    "a-string": {"type": "string"},
    "values": {"enum": ["a", "b"]},
    "object-or-string": {"anyOf": [A, {"type": "string"}]},
    "a-circle": {"$ref": "#"},
}


@pytest.mark.parametrize("schema", WRAPPED.values(), ids=WRAPPED)
def test_what_is_no_object_is_wrapped(schema: dict) -> None:
    wrapper = {"type": "object", "properties": {"input": schema}, "required": ["input"]}
    assert object_schema(schema) == (wrapper, True)


def test_definitions_stay_where_references_point() -> None:
    schema = {"type": "array", "items": {"$ref": "#/$defs/X"}, "$defs": {"X": A}}
    wrapped, _ = object_schema(schema)
    assert wrapped["$defs"] == {"X": A}
    assert wrapped["properties"]["input"] == {"type": "array", "items": {"$ref": "#/$defs/X"}}


def growing(levels: int, combined: str) -> dict:
    """Each level has the property of the level below twice, once within an alternative."""
    definitions: dict[str, dict] = {"0": obj(properties={"k": {"const": "0"}})}
    for level in range(1, levels):
        below = {"$ref": f"#/$defs/{level - 1}"}
        other = {"anyOf": [below, obj(properties={"k": {"const": str(level)}})]}
        definitions[str(level)] = {combined: [below, other]}
    return {"$ref": f"#/$defs/{levels - 1}", "$defs": definitions}


HOSTILE: dict[str, dict] = {
    "a-property-that-doubles": growing(40, "anyOf"),
    "a-property-that-doubles-in-one-of": growing(40, "oneOf"),
    "a-property-that-doubles-in-all-of": {
        "allOf": [growing(40, "anyOf")] * 2,
        **growing(40, "oneOf"),
    },
    "many-parts-of-many-properties": {
        "allOf": [{"$ref": "#/$defs/X"}] * 2000,
        "$defs": {"X": obj(properties={f"p{i}": {} for i in range(5000)})},
    },
    "one-part-under-many-names": {
        "allOf": [{"$ref": "#" + "/" * i + "$defs/X"} for i in range(1000)],
        "$defs": {"X": {"allOf": [A] * 1000}},
    },
    "references-that-double": {
        "allOf": [{"$ref": "#/$defs/0"}, {"$ref": "#/$defs/0"}],
        "$defs": {str(i): {"allOf": [{"$ref": f"#/$defs/{i + 1}"}] * 2} for i in range(40)},
    },
    "a-long-chain-of-references": {
        "$ref": "#/$defs/0",
        "$defs": {str(i): {"$ref": f"#/$defs/{i + 1}"} for i in range(5000)},
    },
    "many-alternatives": {
        "anyOf": [obj(properties={"k": {"const": i}, f"p{i}": {}}) for i in range(10_000)]
    },
}


@pytest.mark.parametrize("schema", HOSTILE.values(), ids=HOSTILE)
def test_hostile_schemas_end_soon(schema: dict) -> None:
    with cpu_below():
        root, _ = object_schema(schema)
        assert len(json.dumps(root)) < 10 * len(json.dumps(schema)) + 100_000


def test_what_grows_too_much_is_wrapped_whole() -> None:
    schema = growing(40, "anyOf")
    root, wrapped = object_schema(schema)
    assert wrapped
    assert root["properties"]["input"] == {"$ref": schema["$ref"]}
    assert root["$defs"] == schema["$defs"]
    assert object_schema(growing(5, "anyOf"))[1] is False


def test_many_names_are_made_legal_in_linear_time() -> None:
    def work(size: int) -> None:
        with_legal_names(obj(properties={"é" * (1 + i % 9) + f"{i}é": {} for i in range(size)}))

    assert_linear(work, 5_000)
    assert_linear(
        lambda size: with_legal_names(obj(properties={chr(0x4E00 + i): {} for i in range(size)})),
        5_000,
    )


keywords = st.sampled_from(
    [
        "type",
        "properties",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "$defs",
        "required",
        "items",
        "enum",
        "not",
        "prefixItems",
        "additionalItems",
        "description",
        "minLength",
        "multipleOf",
        "maximum",
        "exclusiveMaximum",
        "uniqueItems",
        "x",
    ]
)
values = st.recursive(
    st.sampled_from(
        [
            None,
            True,
            -1,
            1,
            1.5,
            10**400,
            "object",
            "STRING",
            "array",
            "#/$defs/x",
            "#/$defs",
            "#",
            "null",
            "x",
        ]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keywords, inner, max_size=4),
    max_leaves=25,
)


@given(st.dictionaries(keywords, values, max_size=6))
def test_any_schema_becomes_an_object_at_the_root(schema: dict) -> None:
    root, _ = object_schema(schema)
    assert root["type"] == "object"
    assert isinstance(root["properties"], dict)
    assert root.keys().isdisjoint({"anyOf", "oneOf", "allOf", "$ref"})
    assert is_schema(root)


@given(st.lists(st.text(max_size=70), max_size=6, unique=True))
def test_any_names_become_legal_and_stay_apart(names: list[str]) -> None:
    root, renamed = with_legal_names(obj(properties={name: {} for name in names}, required=names))
    new = list(root["properties"])
    assert root["required"] == new
    assert len(set(new)) == len(names)
    assert all(PROPERTY.fullmatch(name) for name in new)
    back = {legal: name for name, legal in renamed}
    assert [back.get(name, name) for name in new] == names
