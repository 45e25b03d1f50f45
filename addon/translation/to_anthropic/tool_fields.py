"""Reads the tools and tool choice of a request, and makes Anthropic's `tools` and `tool_choice` of them."""

from __future__ import annotations

from typing import Any

from addon.core.errors import BadRequest
from addon.core.frozen import frozen
from addon.core.types import JsonObject
from addon.translation.to_anthropic.conversion_cache import ConversionCache
from addon.translation.to_anthropic.fields import Fields, expect_object, located
from addon.translation.to_anthropic.tools import Toolbox, declare_functions, declare_tools

_WORDS = {"auto": "auto", "none": "none", "required": "any"}
_NATIVE = ("auto", "any", "none")
_NAMED = ("function", "custom", "tool")


@frozen
class ToolChoice:
    """`type` and `name` as at Anthropic; `allowed`: upstream names to which the tools are limited; `single`: no
    parallel calls."""

    type: str = "auto"
    name: str | None = None
    allowed: frozenset[str] | None = None
    single: bool = False

    def as_json(self) -> JsonObject | None:
        """None for the default. Anthropic rejects the flag together with `none`."""
        choice: JsonObject = {"type": self.type}
        if self.name is not None:
            choice["name"] = self.name
        if self.single and self.type != "none":
            choice["disable_parallel_tool_use"] = True
        return None if choice == {"type": "auto"} else choice


def read_tools(
    fields: Fields,
    added: list[Any],
    cache: ConversionCache,
    *,
    legacy: bool,
) -> Toolbox:
    """`fields`: the body; `added`: tools from elsewhere in it; `legacy`: it has `functions` instead. The toolbox may be
    shared with an earlier request. Raises BadRequest, with `param` naming the tool."""
    if legacy:
        declared: JsonObject = {"functions": fields.items("functions") or []}
    else:
        declared = {"tools": [*(fields.items("tools") or []), *added]}
    return cache.recall(_toolbox, declared, _toolbox)


def read_tool_choice(fields: Fields, toolbox: Toolbox, *, legacy: bool) -> ToolChoice | None:
    """None without tools. `legacy`: the request uses `functions`, whose choice is `function_call` and whose response
    can hold one call only. Raises BadRequest with `param` `tool_choice` or `function_call`."""
    name = "function_call" if legacy else "tool_choice"
    given = fields.get(name)
    choice = _parsed(given, toolbox, name, legacy=legacy)
    if not toolbox.definitions:
        if choice.type not in ("auto", "none") or choice.allowed is not None:
            raise fields.error(name, "a tool call is required, but the request has no usable tools")
        return None
    single = legacy or fields.flag("parallel_tool_calls") is False or _disables_parallel(given)
    return ToolChoice(choice.type, choice.name, choice.allowed, single)


def tool_fields(
    toolbox: Toolbox, choice: ToolChoice | None, messages: list[JsonObject]
) -> JsonObject:
    """`tools` and `tool_choice`. `messages`: Anthropic's; tools that they call must be declared even without
    `choice`."""
    if choice is None:
        return _stubs(messages)
    definitions = [
        definition
        for name, definition in toolbox.definitions.items()
        if choice.allowed is None or name in choice.allowed
    ]
    chosen = choice.as_json()
    return {"tools": definitions} | ({"tool_choice": chosen} if chosen else {})


def _parsed(given: Any, toolbox: Toolbox, name: str, *, legacy: bool) -> ToolChoice:
    if given is None:
        return ToolChoice()
    if isinstance(given, str) and given in _WORDS:
        return ToolChoice(_WORDS[given])
    if not isinstance(given, dict):
        raise BadRequest("expected none, auto, required or an object", param=name)
    kind = "function" if legacy else given.get("type")
    if kind in _NATIVE:
        return ToolChoice(kind)
    if kind in _NAMED:
        return ToolChoice("tool", _declared_name(given, toolbox, name))
    if kind == "allowed_tools":
        return _allowed(given, toolbox, name)
    raise BadRequest(f"a choice of type {str(kind)[:80]} is not supported", param=name)


def _declared_name(given: JsonObject, toolbox: Toolbox, param: str) -> str:
    upstream = _upstream_name(given, toolbox)
    if upstream not in toolbox.definitions:
        raise BadRequest("the tool is not among the tools of the request", param=param)
    return upstream


def _allowed(given: JsonObject, toolbox: Toolbox, param: str) -> ToolChoice:
    nested = given.get("allowed_tools")
    spec = Fields(nested if isinstance(nested, dict) else given, param)
    tools = spec.items("tools") or []
    with located(spec.path("tools")):
        names = [_upstream_name(expect_object(tool), toolbox) for tool in tools]
    allowed = frozenset(name for name in names if name in toolbox.definitions)
    if not allowed:
        raise BadRequest("none of the allowed tools is among the tools of the request", param=param)
    return ToolChoice("any" if spec.get("mode") == "required" else "auto", allowed=allowed)


def _upstream_name(tool: JsonObject, toolbox: Toolbox) -> str:
    """`{function: {name}}`, `{custom: {name}}` or, in the Responses API and at Anthropic, `{name}`."""
    nested = tool.get("function") or tool.get("custom")
    named = nested if isinstance(nested, dict) else tool
    name, namespace = named.get("name"), named.get("namespace")
    if not isinstance(name, str):
        return ""
    return toolbox.upstream_name(name, namespace if isinstance(namespace, str) else None)


def _disables_parallel(given: Any) -> bool:
    return isinstance(given, dict) and given.get("disable_parallel_tool_use") is True


def _toolbox(declared: JsonObject) -> Toolbox:
    if "functions" in declared:
        return declare_functions(declared["functions"])
    return declare_tools(declared["tools"])


def _stubs(messages: list[JsonObject]) -> JsonObject:
    """Some models reject a history with tool calls if the request declares no tools."""
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
