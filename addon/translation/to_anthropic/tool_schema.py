"""Converts tool parameters to an `input_schema`: Anthropic requires an object root without anyOf, oneOf or allOf."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from itertools import chain, count
from typing import Any

from addon.core.types import JsonObject
from addon.translation.to_anthropic.tool_arguments import WRAPPER

DEFINITIONS = ("$defs", "definitions")
UNIONS = ("anyOf", "oneOf")
_COMBINING = frozenset({"$ref", "allOf", *UNIONS})
_MAPS = ("properties", "patternProperties", "dependentSchemas", *DEFINITIONS)
"""Keywords whose value maps names to schemas."""
_COUNTED = ("Length", "Items", "Contains", "Properties")
_VALUE_KEYWORDS = frozenset({"enum", "const", "items", "prefixItems"})
"""A schema with one of these and no `type` does not describe an object."""
_LEGAL_PROPERTY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
"""`input_schema.properties: Property keys should match pattern` (beautyfree/appstore-connect-mcp#2)"""
_ILLEGAL_IN_PROPERTY = re.compile(r"[^a-zA-Z0-9_.-]")
_MAX_REFERENCES = 50
"""The most nested references that are followed: stops cycles and attacks."""
_FREE_WORK, _WORK_PER_BYTE = 64 * 1024, 8
"""How much may be merged into a root, in bytes: each level of allOf and anyOf can double what is below it."""
_NODE = 32
"""The bytes that one schema counts for, however short it is."""


def object_schema(schema: JsonObject) -> tuple[JsonObject, bool]:
    """The same schema with an object at its root, and whether it had to be wrapped, with the value in the property
    `input`: it is no object, or what is combined at its root would grow far beyond its size. `schema` is JSON of
    bounded depth; it is not modified."""
    schema = _modern(schema)
    try:
        root = _Root(schema).as_object(schema)
    except _TooMuch:
        root = None
    if root is not None:
        return root, False
    definitions = {name: schema.pop(name) for name in DEFINITIONS if name in schema}
    wrapper = {"type": "object", "properties": {WRAPPER: schema}, "required": [WRAPPER]}
    return wrapper | definitions, True


def with_legal_names(root: JsonObject) -> tuple[JsonObject, tuple[tuple[str, str], ...]]:
    """`root` with property names that Anthropic accepts, and the pairs of old and new names. It looks at the root's
    alone: decocms/studio#6874. The description keeps the client's name, for the model to understand it."""
    properties: JsonObject = root["properties"]
    if all(_LEGAL_PROPERTY.fullmatch(name) for name in properties):
        return root, ()
    taken = {name for name in properties if _LEGAL_PROPERTY.fullmatch(name)}
    renamed: dict[str, str] = {}
    for name in properties:
        if not _LEGAL_PROPERTY.fullmatch(name):
            renamed[name] = _legal_property(name, taken, len(renamed) + 2)
            taken.add(renamed[name])
    result = root | {
        "properties": {
            renamed.get(name, name): _named_as(name, part) if name in renamed else part
            for name, part in properties.items()
        }
    }
    if "required" in root:
        result["required"] = [renamed.get(name, name) for name in root["required"]]
    return result, tuple(renamed.items())


def _legal_property(name: str, taken: set[str], number: int) -> str:
    legal = _ILLEGAL_IN_PROPERTY.sub("_", name)[:57] or "_"
    numbered = (f"{legal}_{free}" for free in count(number))
    return next(new for new in chain([legal], numbered) if new not in taken)


def _named_as(name: str, schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    described = schema.get("description")
    words = f"`{name}`: {described}" if described else f"`{name}`"
    return {**schema, "description": words}


class _TooMuch(Exception):
    """Merging would take more than `_Work` allows."""


class _Work:
    """What is left of the bytes that may be merged."""

    def __init__(self, document: JsonObject) -> None:
        combines = not _COMBINING.isdisjoint(document)
        size = len(json.dumps(document)) if combines else 0
        self._left = _FREE_WORK + _WORK_PER_BYTE * size

    def spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _TooMuch


class _Root:
    """Flattens one schema document, resolving each of its local references once."""

    def __init__(self, document: JsonObject) -> None:
        self._document = document
        self._resolved: dict[str, JsonObject | None] = {}
        self._open = 0
        self._work = _Work(document)

    def as_object(self, schema: JsonObject) -> JsonObject | None:
        """`schema` as one object schema, with `$ref`, allOf, anyOf and oneOf of this level merged into it; None if it
        does not allow an object."""
        if not _allows_object(schema):
            return None
        merged = _Merged(schema, self._work)
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

    def __init__(self, schema: JsonObject, work: _Work) -> None:
        self._work = work
        work.spend(_NODE)
        self._schema = {key: value for key, value in schema.items() if key not in _COMBINING}
        properties = self._schema.pop("properties", None)
        self._properties: JsonObject = dict(properties) if isinstance(properties, dict) else {}
        self._required = dict.fromkeys(self._schema.pop("required", ()))

    def add_all(self, part: JsonObject) -> None:
        """For allOf: requires everything that any part requires."""
        self._work.spend(sum(map(len, part["properties"])))
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
                written = json.dumps(schema, sort_keys=True)
                self._work.spend(len(name) + len(written))
                kinds.setdefault(name, {})[written] = schema
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


# ------------------------------------------------------------------------------------------- JSON Schema 2020-12


def _modern(schema: Any) -> Any:
    """A copy that fits the meta-schema of draft 2020-12: Anthropic rejects the whole request otherwise. Forms of older
    drafts are translated; a keyword whose value makes no sense is left out."""
    if not isinstance(schema, dict):
        return schema
    result: JsonObject = {}
    for key, value in _renamed(schema).items():
        read = _READERS.get(key)
        if read is None:
            result[key] = value
        elif (kept := read(value)) is not None:
            result[key] = kept
    if "$ref" in result and not result["$ref"].startswith("#"):
        del result["$ref"]  # a remote schema, which is never fetched
    return result


def _renamed(schema: JsonObject) -> JsonObject:
    """With the keywords of older drafts under their present names."""
    result = dict(schema)
    for keyword, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(result.get(keyword), bool) and result.pop(keyword) and limit in result:
            result[keyword] = result.pop(limit)
    if isinstance(result.get("items"), list):
        result["prefixItems"] = result.pop("items")
        if "additionalItems" in result:
            result["items"] = result.pop("additionalItems")
    return result


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _schema(value: Any) -> Any:
    return _modern(value) if _is_schema(value) else None


def _schema_list(value: Any) -> Any:
    parts = value if isinstance(value, list) else []
    return [_modern(part) for part in parts if _is_schema(part)] or None


def _named_schemas(value: Any) -> Any:
    if not isinstance(value, dict):
        return None
    return {name: _modern(part) if _is_schema(part) else {} for name, part in value.items()}


def _type(value: Any) -> Any:
    """One type or several; Gemini writes them in capitals."""
    kinds = [
        kind
        for name in (value if isinstance(value, list) else [value])
        if isinstance(name, str) and (kind := name.lower()) in _TYPES
    ]
    if isinstance(value, list):
        return list(dict.fromkeys(kinds)) or None
    return kinds[0] if kinds else None


def _names(value: Any) -> Any:
    is_names = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return list(dict.fromkeys(value)) if is_names else None


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _positive(value: Any) -> Any:
    return value if _number(value) is not None and value > 0 else None


def _count(value: Any) -> Any:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return value if whole and _number(value) is not None and value >= 0 else None


def _of(kind: type) -> Callable[[Any], Any]:
    return lambda value: value if isinstance(value, kind) else None


_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "type": _type,
    "required": _names,
    "enum": _of(list),
    "examples": _of(list),
    "multipleOf": _positive,
    **dict.fromkeys(_MAPS, _named_schemas),
    **dict.fromkeys(("prefixItems", "allOf", "anyOf", "oneOf"), _schema_list),
    **dict.fromkeys(
        (
            *("items", "contains", "additionalProperties", "propertyNames", "if", "then", "else"),
            *("not", "unevaluatedItems", "unevaluatedProperties", "contentSchema"),
        ),
        _schema,
    ),
    **dict.fromkeys(
        (
            *("$id", "$schema", "$ref", "$anchor", "$dynamicRef", "$comment", "title"),
            *("description", "pattern", "format", "contentEncoding", "contentMediaType"),
        ),
        _of(str),
    ),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _number),
    **dict.fromkeys(
        (f"{end}{what}" for end in ("min", "max") for what in _COUNTED),
        _count,
    ),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), _of(bool)),
}
"""How the value of a keyword is read, None where it can't be (https://json-schema.org/draft/2020-12/schema)."""
