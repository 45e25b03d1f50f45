"""Tool definitions and `tool_choice`.

Sources: the anthropic SDK's `ToolUnionParam` and `BetaToolUnionParam`, and JSON Schema's draft 2020-12.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from addon.stand_in.models import FakeModel
from addon.stand_in.record import JsonObject
from addon.stand_in.refusal import invalid

NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
KEYS = {
    "type", "name", "description", "input_schema", "cache_control", "strict", "defer_loading",
    "allowed_callers", "eager_input_streaming", "input_examples",
}  # fmt: skip
SERVER_TOOL = re.compile(
    r"(web_search|web_fetch|code_execution|bash|text_editor|memory|computer|browser_toolset|computer_toolset"
    r"|advisor|tool_search_tool_\w+?)_20\d{6}|mcp_toolset"
)
"""Tools that Anthropic defines; their fields are not looked at."""
PROPERTY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


def check_tools(body: JsonObject) -> None:
    names: set[str] = set()
    for index, tool in enumerate(body.get("tools", ())):
        if SERVER_TOOL.fullmatch(tool.get("type") or "custom"):
            continue
        _check_tool(tool, f"tools.{index}.custom")
        if tool["name"] in names:
            raise invalid("Tool names must be unique.", "tools")
        names.add(tool["name"])


def _check_tool(tool: JsonObject, at: str) -> None:
    if tool.get("type") not in (None, "custom"):
        raise invalid(
            f"Input tag '{tool['type']}' found using 'type' does not match any of the expected tags",
            at.removesuffix(".custom"),
        )
    for key in tool:
        if key not in KEYS:
            raise invalid("Extra inputs are not permitted", f"{at}.{key}")
    if not isinstance(tool.get("name"), str):
        raise invalid("Field required", f"{at}.name")
    if not NAME.fullmatch(tool["name"]):
        raise invalid("String should match pattern '^[a-zA-Z0-9_-]{1,128}$'", f"{at}.name")
    if "description" in tool and not isinstance(tool["description"], str):
        raise invalid("Input should be a valid string", f"{at}.description")
    _check_schema(tool.get("input_schema"), f"{at}.input_schema")


def _check_schema(schema: object, at: str) -> None:
    if schema is None:
        raise invalid("Field required", at)
    if not isinstance(schema, dict):
        raise invalid("Input should be a valid dictionary", at)
    if schema.keys() & {"anyOf", "oneOf", "allOf"}:  # anthropics/claude-code#40075
        raise invalid("input_schema does not support oneOf, allOf, or anyOf at the top level", at)
    if "type" not in schema:
        raise invalid("Field required", f"{at}.type")
    if schema["type"] != "object":
        raise invalid("Input should be 'object'", f"{at}.type")
    if not is_schema(schema):
        # kintone/mcp-server#553: `items` as a list, with the meta-schema's verdict on it
        raise invalid(
            "JSON schema is invalid. It must match JSON Schema draft 2020-12 "
            "(https://json-schema.org/draft/2020-12).",
            at,
        )

    # beautyfree/appstore-connect-mcp#2. Keys below the root are not looked at: decocms/studio#6874 and
    # aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws#709 measured it.
    if not all(PROPERTY.fullmatch(key) for key in schema.get("properties", {})):
        raise invalid(
            "Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'", f"{at}.properties"
        )


# The keywords of https://json-schema.org/draft/2020-12/schema by what their value has to be.
SCHEMA = {
    "items", "contains", "additionalProperties", "propertyNames", "if", "then", "else", "not",
    "unevaluatedItems", "unevaluatedProperties", "contentSchema",
}  # fmt: skip
SCHEMAS = {"prefixItems", "allOf", "anyOf", "oneOf"}
NAMED_SCHEMAS = {"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"}
STRING = {
    "$id", "$schema", "$ref", "$anchor", "$dynamicRef", "$comment", "title", "description",
    "pattern", "format", "contentEncoding", "contentMediaType",
}  # fmt: skip
NUMBER = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
COUNT = {
    "minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains",
    "minProperties", "maxProperties",
}  # fmt: skip
BOOLEAN = {"uniqueItems", "deprecated", "readOnly", "writeOnly"}
TYPES = {"array", "boolean", "integer", "null", "number", "object", "string"}


def is_schema(root: object) -> bool:
    """Whether a schema, with all that is inside, fits the meta-schema of draft 2020-12."""
    left = [root]
    while left:
        schema = left.pop()
        if isinstance(schema, bool):
            continue
        if not isinstance(schema, dict):
            return False
        for key, value in schema.items():
            if not _fits(key, value):
                return False
            if key in SCHEMA:
                left.append(value)
            elif key in SCHEMAS or key in NAMED_SCHEMAS:
                left.extend(value.values() if key in NAMED_SCHEMAS else value)
    return True


def _fits(key: str, value: Any) -> bool:
    """Whether a keyword's value has the form that it needs; what is inside is looked at later."""
    if key == "type":
        return value in TYPES if isinstance(value, str) else _is_set(value, TYPES)
    if key == "required":
        return value == [] or _is_set(value)
    if key in NAMED_SCHEMAS:
        return isinstance(value, dict)
    if key in SCHEMAS or key in ("enum", "examples"):
        return isinstance(value, list) and (bool(value) or key not in SCHEMAS)
    if key in STRING:
        return isinstance(value, str)
    if key in BOOLEAN:
        return isinstance(value, bool)
    if key in NUMBER | COUNT:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and (
            value > 0
            if key == "multipleOf"
            else key in NUMBER or (value >= 0 and (isinstance(value, int) or value.is_integer()))
        )
    return True


def _is_set(value: Any, of: Collection[str] = ()) -> bool:
    """A list of one string or more, none twice."""
    strings = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return strings and 0 < len(set(value)) == len(value) and (not of or set(value) <= set(of))


CHOICE_KEYS = {
    "auto": {"type", "disable_parallel_tool_use"},
    "any": {"type", "disable_parallel_tool_use"},
    "tool": {"type", "name", "disable_parallel_tool_use"},
    "none": {"type"},
}


def check_tool_choice(body: JsonObject, model: FakeModel) -> None:
    choice = body.get("tool_choice")
    if choice is None:
        return
    kind = choice.get("type") if isinstance(choice, dict) else choice
    if kind not in CHOICE_KEYS:
        raise invalid(
            f"Input tag '{kind}' found using 'type' does not match any of the expected tags: "
            "'any', 'auto', 'none', 'tool'",
            "tool_choice",
        )
    for key in choice:
        if key not in CHOICE_KEYS[kind]:
            raise invalid("Extra inputs are not permitted", f"tool_choice.{kind}.{key}")
    if not body.get("tools") and kind != "none":
        raise invalid("tool_choice may only be specified while providing tools.")
    if kind in ("any", "tool"):
        _check_forced(choice, body, model)


def _check_forced(choice: JsonObject, body: JsonObject, model: FakeModel) -> None:
    if not model.forced_tools:
        raise invalid('tool_choice: type "tool" and "any" are not supported for this model.')
    if (body.get("thinking") or {}).get("type") == "enabled":  # mastra-ai/mastra#7507
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")
    names = [tool.get("name") for tool in body["tools"]]
    if choice["type"] == "tool" and choice.get("name") not in names:
        raise invalid(f"Tool '{choice.get('name')}' not found in provided tools", "tool_choice")
