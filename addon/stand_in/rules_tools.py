"""Tool definitions and `tool_choice`.

Sources: the anthropic SDK's `ToolUnionParam` and `BetaToolUnionParam`, and JSON Schema's draft 2020-12.
"""

from __future__ import annotations

import re

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
    for key in ("exclusiveMinimum", "exclusiveMaximum"):
        if _holds_boolean(schema, key):
            raise invalid(
                "JSON schema is invalid. It must match JSON Schema draft 2020-12 "
                "(https://json-schema.org/draft/2020-12).",
                at,
            )


def _holds_boolean(schema: object, key: str) -> bool:
    if isinstance(schema, dict):
        return isinstance(schema.get(key), bool) or any(
            _holds_boolean(value, key) for value in schema.values()
        )
    return isinstance(schema, list) and any(_holds_boolean(item, key) for item in schema)


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
