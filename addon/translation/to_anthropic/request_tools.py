"""The tools of a request: read from wherever a body declares them, and as the fields that Anthropic gets."""

from __future__ import annotations

from typing import Any

from addon.core.types import JsonObject
from addon.translation.to_anthropic.conversion_cache import Memo
from addon.translation.to_anthropic.fields import Fields
from addon.translation.to_anthropic.tool_fields import ToolChoice
from addon.translation.to_anthropic.tools import Toolbox, declare_functions, declare_tools
from addon.translation.types import RequestOptions


def read_tools(
    fields: Fields, added: list[Any], options: RequestOptions, memo: Memo, *, legacy: bool
) -> Toolbox:
    """`fields`: of the body; `added`: tools from elsewhere in it; `legacy`: it has `functions` instead. The toolbox may
    be one of an earlier request. Raises BadRequest, with `param` naming the tool."""
    if legacy:
        declared: JsonObject = {"functions": fields.items("functions") or []}
    else:
        declared = {"tools": [*(fields.items("tools") or []), *added]}
        if options.web_search and "web_search_options" in fields:
            declared["search"] = _web_search(fields.nested("web_search_options"))
    return memo.recall(_toolbox, declared, _toolbox)


def _toolbox(declared: JsonObject) -> Toolbox:
    if "functions" in declared:
        return declare_functions(declared["functions"])
    toolbox = declare_tools(declared["tools"])
    if "search" in declared:
        toolbox.add_server_tool(declared["search"])
    return toolbox


def _web_search(wanted: Fields) -> JsonObject:
    tool: JsonObject = {"type": "web_search_20250305", "name": "web_search"}
    place = wanted.nested("user_location").nested("approximate")
    named = {
        name: place.text(name)
        for name in ("city", "country", "region", "timezone")
        if name in place
    }
    return tool | ({"user_location": {"type": "approximate", **named}} if named else {})


def tool_fields(
    toolbox: Toolbox, choice: ToolChoice | None, messages: list[JsonObject]
) -> JsonObject:
    """`tools` and `tool_choice`. `messages`: Anthropic's; what they call must be declared even without `choice`."""
    if choice is None:
        return _stubs(messages)
    definitions = [
        definition
        for name, definition in toolbox.definitions.items()
        if choice.allowed is None or name in choice.allowed
    ]
    chosen = choice.as_json()
    return {"tools": definitions} | ({"tool_choice": chosen} if chosen else {})


def _stubs(messages: list[JsonObject]) -> JsonObject:
    """Some models refuse a history with tool calls when the request declares no tools."""
    names = dict.fromkeys(
        block["name"]
        for message in messages
        for block in message["content"]
        if block["type"] == "tool_use"
    )
    if not names:
        return {}
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in names]
    return {"tools": tools, "tool_choice": {"type": "none"}}
