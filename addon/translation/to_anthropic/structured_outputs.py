"""Converts `response_format` and `text.format` to Anthropic's structured outputs, or to an instruction if it must."""

from __future__ import annotations

import json
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

from addon.claude.model import Model
from addon.core.frozen import frozen
from addon.core.types import JsonObject
from addon.translation.to_anthropic.fields import Fields
from addon.translation.to_anthropic.tool_schema import DEFINITIONS

JSON_INSTRUCTION = "Reply with exactly one JSON object, no prose, no code fence."
SCHEMA_INSTRUCTION = (
    "Reply with exactly one JSON value that matches this JSON Schema, no prose, no code fence.\n"
)

MAX_STRICT_TOOLS = 20
MAX_OPTIONAL = 24
MAX_UNIONS = 16
_STRING_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_HANDLED = ("type", "anyOf", "oneOf", "allOf", "$ref", "$schema", "$id", *DEFINITIONS)
_KEPT = ("description", "title", "default")


@frozen
class OutputFormat:
    """At most one of the two is set. `loose`: the model may put a code fence around its JSON anyway."""

    format: JsonObject | None = None
    """For `output_config.format`."""
    instruction: str | None = None
    """For the end of `system`."""
    ignored: tuple[str, ...] = ()
    """What the client asked for and an instruction can't guarantee, as `ignored_names` names it."""

    @property
    def loose(self) -> bool:
        return self.instruction is not None


def output_format(fields: Fields, model: Model) -> OutputFormat:
    """Reads `response_format` (chat), `text.format` (Responses) or `output_config.format` (Anthropic)."""
    form = _given(fields)
    kind = form.get("type")
    if kind in (None, "text"):
        return OutputFormat()
    if kind == "json_object":
        return OutputFormat(instruction=JSON_INSTRUCTION)
    if kind != "json_schema":
        raise form.error("type", "expected text, json_object or json_schema")
    spec = form.nested("json_schema") if "json_schema" in form else form
    schema = spec.mapping("schema")
    if schema is None:
        raise spec.error("schema", "expected a JSON Schema")
    strict = closed_schema(schema) if model.structured_outputs else None
    if strict is None:
        words = SCHEMA_INSTRUCTION + json.dumps(schema, ensure_ascii=False)
        enforced = ("format.json_schema.strict",) if spec.get("strict") is True else ()
        return OutputFormat(instruction=words, ignored=enforced)
    described = ": ".join(
        filter(None, (spec.text("name"), spec.text("description"), strict.get("description")))
    )
    return OutputFormat(
        {
            "type": "json_schema",
            "schema": strict | ({"description": described} if described else {}),
        }
    )


class ClosedSchema(NamedTuple):
    schema: JsonObject
    optional: int
    """Optional properties."""
    unions: int


def closed(schema: JsonObject) -> ClosedSchema | None:
    """`schema` in the subset that Anthropic supports: objects closed, unions as anyOf, other constraints as text in the
    description. None if it can't be expressed there: recursion, free-form maps, a root that is not an object, too many
    optional properties or unions. `schema` is JSON of bounded depth.

    Limits: https://docs.claude.com/en/docs/build-with-claude/structured-outputs."""
    closing = _Closing(schema)
    try:
        return ClosedSchema(closing.root(), closing.optional, closing.unions)
    except _Unsupported:
        return None


def closed_schema(schema: JsonObject) -> JsonObject | None:
    """As `closed`, without the counts."""
    found = closed(schema)
    return found and found.schema


def _given(fields: Fields) -> Fields:
    if "response_format" in fields:
        return fields.nested("response_format")
    text = fields.nested("text")
    return (
        text.nested("format")
        if "format" in text
        else fields.nested("output_config").nested("format")
    )


class _Unsupported(Exception):
    """The schema is outside the subset."""


class _Closing:
    def __init__(self, document: JsonObject) -> None:
        self._document = document
        self.optional = 0
        self.unions = 0
        self._definitions: JsonObject = {}
        for name in DEFINITIONS:
            found = document.get(name)
            self._definitions |= found if isinstance(found, dict) else {}

    def root(self) -> JsonObject:
        self._reject_recursion()
        schema: Any = self._document
        while isinstance(schema, dict) and "$ref" in schema:  # ends, because cycles were rejected
            schema = self._definitions[self._definition_name(schema["$ref"])]
        if not isinstance(schema, dict) or schema.get("type") != "object":
            raise _Unsupported
        closed = self._closed(schema)
        definitions = {name: self._closed(part) for name, part in self._definitions.items()}
        return closed | ({"$defs": definitions} if definitions else {})

    def _check_limits(self) -> None:
        if self.optional > MAX_OPTIONAL or self.unions > MAX_UNIONS:
            raise _Unsupported

    def _reject_recursion(self) -> None:
        graph = {name: set(_references(part)) for name, part in self._definitions.items()}
        try:
            TopologicalSorter(graph).prepare()
        except CycleError:
            raise _Unsupported from None

    def _closed(self, schema: Any) -> JsonObject:
        if not isinstance(schema, dict):
            raise _Unsupported
        if "$ref" in schema:
            return {"$ref": f"#/$defs/{self._definition_name(schema['$ref'])}"}
        kind = schema.get("type")
        if isinstance(kind, list) and kind:
            return self._closed(_without_type_list(schema, kind))
        closed = {key: schema[key] for key in _KEPT if key in schema}
        if not all(isinstance(closed.get(key, ""), str) for key in ("description", "title")):
            raise _Unsupported
        rest = {key: value for key, value in schema.items() if key not in (*_HANDLED, *_KEPT)}
        combined = self._combined(schema)
        if "$ref" in combined:
            return combined
        closed |= combined or _literals(rest) or self._typed(kind, rest)
        return _with_words(closed, rest)

    def _definition_name(self, reference: Any) -> str:
        for prefix in DEFINITIONS:
            name = str(reference).removeprefix(f"#/{prefix}/")
            if name in self._definitions:
                return name
        raise _Unsupported

    def _combined(self, schema: JsonObject) -> JsonObject:
        for keyword in ("anyOf", "oneOf"):
            parts = schema.get(keyword)
            if isinstance(parts, list) and parts:
                self.unions += 1
                self._check_limits()
                return {"anyOf": [self._closed(part) for part in parts]}
        parts = schema.get("allOf")
        if not isinstance(parts, list) or not parts:
            return {}
        if len(parts) == 1:
            return self._closed(parts[0])
        if any(isinstance(part, dict) and "$ref" in part for part in parts):
            raise _Unsupported
        return {"allOf": [self._closed(part) for part in parts]}

    def _typed(self, kind: Any, rest: JsonObject) -> JsonObject:
        """Moves from `rest` what can be kept unchanged."""
        if kind not in _TYPES:
            raise _Unsupported
        if kind == "object":
            return self._object(rest)
        typed: JsonObject = {"type": kind}
        if kind == "string" and str(rest.get("format")) in _STRING_FORMATS:
            typed["format"] = rest.pop("format")
        if kind == "array":
            if "items" in rest:
                typed["items"] = self._closed(rest.pop("items"))
            if rest.get("minItems") in (0, 1):
                typed["minItems"] = rest.pop("minItems")
        return typed

    def _object(self, rest: JsonObject) -> JsonObject:
        properties = rest.pop("properties", None) or {}
        free = rest.pop("additionalProperties", None)
        if not isinstance(properties, dict) or "patternProperties" in rest:
            raise _Unsupported
        if isinstance(free, dict) or (free is not False and not properties):
            raise _Unsupported  # closed, it could hold nothing
        required = rest.pop("required", [])
        if not isinstance(required, list) or not all(
            name in properties for name in map(str, required)
        ):
            raise _Unsupported
        self.optional += len(properties.keys() - set(map(str, required)))
        self._check_limits()
        return {
            "type": "object",
            "properties": {name: self._closed(part) for name, part in properties.items()},
            "required": list(map(str, required)),
            "additionalProperties": False,
        }


def _literals(rest: JsonObject) -> JsonObject:
    if "const" in rest and _is_scalar(rest["const"]):
        return {"const": rest.pop("const")}
    values = rest.get("enum")
    if isinstance(values, list) and values and all(map(_is_scalar, values)):
        return {"enum": rest.pop("enum")}
    return {}


def _without_type_list(schema: JsonObject, kinds: list[Any]) -> JsonObject:
    """`type: [string, null]` as a union: the subset allows single types only."""
    if "enum" in schema or "const" in schema:
        return {key: value for key, value in schema.items() if key != "type"}
    outside = {key: value for key, value in schema.items() if key in _KEPT}
    inside = {key: value for key, value in schema.items() if key not in ("type", *_KEPT)}
    return outside | {
        "anyOf": [
            {"type": "null"} if kind == "null" else {**inside, "type": kind}
            for kind in dict.fromkeys(map(str, kinds))
        ]
    }


def _with_words(closed: JsonObject, rest: JsonObject) -> JsonObject:
    """Constraints outside the subset go into the description, which the model mostly follows."""
    if not rest:
        return closed
    if "properties" in rest:
        raise _Unsupported
    words = "{" + ", ".join(f"{key}: {value}" for key, value in rest.items()) + "}"
    described = closed.get("description")
    return closed | {"description": f"{described}\n\n{words}" if described else words}


def _references(schema: Any) -> Iterator[str]:
    """The names of the definitions that a schema refers to, at any depth."""
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference.rpartition("/")[2]
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)
