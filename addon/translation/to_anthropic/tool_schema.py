"""Converts tool parameters to an `input_schema`: Anthropic requires an object root without anyOf, oneOf or allOf."""

from __future__ import annotations

import json
from typing import Any

from addon.core.types import JsonObject
from addon.translation.to_anthropic.tool_arguments import WRAPPER

DEFINITIONS = ("$defs", "definitions")
UNIONS = ("anyOf", "oneOf")
_MAPS = ("properties", "patternProperties", "dependentSchemas", *DEFINITIONS)
"""Keywords whose value maps names to schemas."""
_DATA = ("enum", "const", "default", "example", "examples")
"""Keywords whose value is data, not a schema."""
_VALUE_KEYWORDS = frozenset({"enum", "const", "items", "prefixItems"})
"""A schema with one of these and no `type` does not describe an object."""
_MAX_REFERENCES = 50
"""The most nested references that are followed: stops cycles and attacks."""


def object_schema(schema: JsonObject) -> tuple[JsonObject, bool]:
    """The same schema with an object at its root, and whether it had to be wrapped, with the value in the property
    `input`. `schema` is JSON of bounded depth; it is not modified."""
    schema = _modern(schema)
    root = _Root(schema).as_object(schema)
    if root is not None:
        return root, False
    definitions = {name: schema.pop(name) for name in DEFINITIONS if name in schema}
    wrapper = {"type": "object", "properties": {WRAPPER: schema}, "required": [WRAPPER]}
    return wrapper | definitions, True


class _Root:
    """Flattens one schema document, resolving each of its local references once."""

    def __init__(self, document: JsonObject) -> None:
        self._document = document
        self._resolved: dict[str, JsonObject | None] = {}
        self._open = 0

    def as_object(self, schema: JsonObject) -> JsonObject | None:
        """`schema` as one object schema, with `$ref`, allOf, anyOf and oneOf of this level merged into it; None if it
        does not allow an object."""
        if not _allows_object(schema):
            return None
        merged = _Merged(schema)
        parts = [self._target(schema["$ref"])] if "$ref" in schema else []
        parts += [self.as_object(part) for part in _schemas(schema, "allOf")]
        for part in parts:
            if part is None:
                return None
            merged.add_all(part)
        for keyword in UNIONS:
            branches = [
                self.as_object(part)
                for part in _schemas(schema, keyword)
                if part.get("type") != "null"
            ]
            if None in branches:
                return None
            merged.add_alternatives([branch for branch in branches if branch is not None])
        return merged.schema()

    def _target(self, reference: Any) -> JsonObject | None:
        """None in a cycle, and for a target that is not an object."""
        if reference in self._resolved or self._open == _MAX_REFERENCES:
            return self._resolved.get(reference)
        self._resolved[reference] = None
        self._open += 1
        self._resolved[reference] = self.as_object(resolve(reference, self._document) or {})
        self._open -= 1
        return self._resolved[reference]


class _Merged:
    """An object schema that others are merged into."""

    def __init__(self, schema: JsonObject) -> None:
        self._schema = {
            key: value for key, value in schema.items() if key not in ("$ref", "allOf", *UNIONS)
        }
        properties = self._schema.pop("properties", None)
        self._properties: JsonObject = dict(properties) if isinstance(properties, dict) else {}
        self._required = dict.fromkeys(self._schema.pop("required", ()))

    def add_all(self, part: JsonObject) -> None:
        """For allOf: requires everything that any part requires."""
        self._properties.update(part["properties"])
        self._required.update(dict.fromkeys(part.get("required", ())))
        for key, value in part.items():
            self._schema.setdefault(key, value)

    def add_alternatives(self, branches: list[JsonObject]) -> None:
        """For anyOf and oneOf: requires only what all alternatives require; the description says what goes together."""
        if not branches:
            return
        kinds: dict[str, dict[str, Any]] = {}
        for branch in branches:
            for name, schema in branch["properties"].items():
                kinds.setdefault(name, {})[json.dumps(schema, sort_keys=True)] = schema
        for name, schemas in kinds.items():
            distinct = list(schemas.values())
            self._properties.setdefault(
                name, distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
            )
        common = set.intersection(*(set(branch.get("required", ())) for branch in branches))
        self._required.update(dict.fromkeys(sorted(common)))
        if len(branches) > 1:
            self._describe(
                "; ".join(", ".join(branch["properties"]) or "none" for branch in branches)
            )

    def schema(self) -> JsonObject:
        result = {**self._schema, "type": "object", "properties": self._properties}
        return result | {"required": list(self._required)} if self._required else result

    def _describe(self, alternatives: str) -> None:
        words = f"Give one of these sets of properties: {alternatives}."
        described = self._schema.get("description")
        self._schema["description"] = (
            f"{described}\n\n{words}" if isinstance(described, str) else words
        )


def resolve(reference: Any, document: JsonObject) -> JsonObject | None:
    """The schema that `#/$defs/X` names in `document`; None if there is none."""
    target: Any = document
    for key in str(reference).removeprefix("#").strip("/").split("/"):
        if key:
            target = (
                target.get(key.replace("~1", "/").replace("~0", "~"))
                if isinstance(target, dict)
                else None
            )
    return target if isinstance(target, dict) else None


def _allows_object(schema: JsonObject) -> bool:
    kind = schema.get("type")
    if isinstance(kind, list):
        return "object" in kind
    return kind == "object" or (kind is None and _VALUE_KEYWORDS.isdisjoint(schema))


def _schemas(schema: JsonObject, keyword: str) -> list[JsonObject]:
    value = schema.get(keyword)
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _modern(schema: Any) -> Any:
    """A copy without what is valid in older drafts but not in JSON Schema 2020-12, against which Anthropic
    validates."""
    if isinstance(schema, list):
        return [_modern(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _modern_value(key, value) for key, value in schema.items()}
    for keyword, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(result.get(keyword), bool) and result.pop(keyword) and limit in result:
            result[keyword] = result.pop(limit)
    if not _is_names(result.get("required", [])):
        del result["required"]
    if "$ref" in result and not str(result["$ref"]).startswith("#"):
        del result["$ref"]  # a remote schema, which is never fetched
    return result


def _modern_value(key: str, value: Any) -> Any:
    if key in _DATA:
        return value
    if key in _MAPS and isinstance(value, dict):
        return {name: _modern(part) for name, part in value.items()}
    return _modern(value)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
