"""Converts tool definitions, in every OpenAI form and Anthropic's own, to Anthropic tools with legal names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from addon.core.types import JsonObject
from addon.translation.decisions import FIELDS, ignored_in, ignored_names
from addon.translation.to_anthropic.cache_marks import native_mark
from addon.translation.to_anthropic.fields import Fields, expect_object, located, sanitized
from addon.translation.to_anthropic.structured_outputs import (
    MAX_OPTIONAL,
    MAX_STRICT_TOOLS,
    MAX_UNIONS,
    ClosedSchema,
    closed,
)
from addon.translation.to_anthropic.tool_arguments import WRAPPER
from addon.translation.to_anthropic.tool_schema import object_schema, with_legal_names
from addon.translation.types import ToolReply

_LEGAL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_LEGAL_ID = re.compile(r"[a-zA-Z0-9_-]+")
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")
_SERVER_TOOL = re.compile(
    r"(web_search|web_fetch|code_execution|bash|text_editor|memory|advisor|computer|(browser|computer)_toolset"
    r"|tool_search_tool_[a-z0-9]+)_20\d{6}|mcp_toolset|tool_search_tool_(bm25|regex)"
)
"""Anthropic's own tools carry the date of their version in `type`."""
_PASSED = [name for name, decision in FIELDS["tools.function"].items() if decision == "passed"]


@dataclass(eq=False, repr=False, slots=True)
class Toolbox:
    """The tools of a request. Shared with later requests that declare the same tools: not modified when complete."""

    definitions: dict[str, JsonObject] = field(default_factory=dict)
    """What is sent to Anthropic, by upstream name, in the client's order."""
    replies: dict[str, ToolReply] = field(default_factory=dict)
    """How calls are returned to the client, by upstream name; server tools are not in it."""
    notes: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    """As `ignored_names` says: also types of tools that have no counterpart at Anthropic."""
    _bare: dict[str, str] = field(default_factory=dict)
    _strict: list[ClosedSchema] = field(default_factory=list)

    def upstream_name(self, name: str, namespace: str | None = None) -> str:
        """The name of a tool at Anthropic, declared or not. Depends only on the tools and the name."""
        if namespace is not None and not self._is_declared(name, namespace):
            # A function that OpenAI's tool search has found comes back in a namespace of its own name.
            namespace = None if name in self._bare or name == namespace else namespace
        if namespace is None and name in self._bare:
            return self._bare[name]
        qualified = _qualified(name, namespace)
        upstream = legal_name(qualified)
        return upstream if self._is(upstream, name, namespace) else self._other(upstream)

    def fingerprint(self) -> bytes:
        """Equal for toolboxes with which each message is converted the same: descriptions don't matter."""
        return sha256(repr((self.replies, self._bare)).encode()).digest()

    def add(self, definition: JsonObject, reply: ToolReply) -> None:
        """`definition`: without its name. A second tool of the same name replaces the first: Anthropic rejects
        duplicates."""
        qualified = _qualified(reply.name, reply.namespace)
        upstream = legal_name(qualified)
        if upstream in self.replies and not self._is(upstream, reply.name, reply.namespace):
            upstream = hashed_name(upstream)
        definition = {"name": upstream, **definition}
        if upstream in self.definitions and self.definitions[upstream] != definition:
            self.notes.append(f"tools: {upstream} is declared twice; the last one is used")
        self.definitions[upstream] = definition
        self.replies[upstream] = reply
        if reply.namespace is None:
            self._bare[reply.name] = upstream
        else:
            self._bare.setdefault(reply.name, upstream)

    def add_server_tool(self, tool: JsonObject) -> None:
        """A tool that Anthropic defines. A client tool of the same name takes precedence. Toolsets have no name."""
        name = tool.get("name") or f"{tool['type']} {tool.get('mcp_server_name', '')}"
        if self.definitions.setdefault(name, tool) != tool:
            self.ignored.append(f"tools.{tool['type']}")

    def enforced(self, schema: JsonObject) -> JsonObject | None:
        """The schema for a strict tool; None if Anthropic can't enforce it, alone or together with those before it.

        Limits: https://platform.claude.com/docs/en/build-with-claude/structured-outputs."""
        found = closed(schema)
        if found is None:
            return None
        strict = [*self._strict, found]
        if (
            len(strict) > MAX_STRICT_TOOLS
            or sum(one.optional for one in strict) > MAX_OPTIONAL
            or sum(one.unions for one in strict) > MAX_UNIONS
        ):
            return None
        self._strict = strict
        return found.schema

    def _is(self, upstream: str, name: str, namespace: str | None) -> bool:
        reply = self.replies.get(upstream)
        return reply is not None and (reply.name, reply.namespace) == (name, namespace)

    def _is_declared(self, name: str, namespace: str) -> bool:
        upstream = legal_name(_qualified(name, namespace))
        return self._is(upstream, name, namespace) or self._is(
            self._other(upstream), name, namespace
        )

    def _other(self, upstream: str) -> str:
        """The name that `add` gave a tool whose name was already taken."""
        hashed = hashed_name(upstream)
        return hashed if hashed in self.replies else upstream


def declare_tools(tools: list[Any]) -> Toolbox:
    """The tools of a request, copied. Raises BadRequest with `param` `tools[i]…`."""
    toolbox = Toolbox()
    for index, tool in enumerate(tools):
        with located(f"tools[{index}]"):
            for fields, namespace in _flattened(expect_object(sanitized(tool))):
                _declare(toolbox, fields, namespace)
            toolbox.ignored += ignored_in("tools", tool)
    return toolbox


def declare_functions(functions: list[Any]) -> Toolbox:
    """`declare_tools` for the deprecated `functions`."""
    toolbox = Toolbox()
    for index, function in enumerate(functions):
        with located(f"functions[{index}]"):
            _declare_function(toolbox, Fields(expect_object(sanitized(function))), None, {})
            toolbox.ignored += ignored_names("tools.function", function)
    return toolbox


def legal_name(name: str) -> str:
    """`name` if Anthropic accepts it (`^[a-zA-Z0-9_-]{1,128}$`), else `hashed_name(name)`."""
    return name if _LEGAL_NAME.fullmatch(name) else hashed_name(name)


def hashed_name(name: str) -> str:
    """A legal name that is unique to `name` and still readable."""
    return f"{_ILLEGAL.sub('_', name)[:119]}_{_digest(name, 8)}"


def legal_id(call_id: str) -> str:
    """`call_id` with illegal characters replaced; a hash if it is longer than 64, as Cursor's ids can be; "" stays."""
    replaced = _ILLEGAL.sub("_", call_id)
    return replaced if len(replaced) <= 64 else f"call_{_digest(call_id, 24)}"


def is_legal_id(call_id: object) -> bool:
    """Whether Anthropic accepts it unchanged; no maximum length is documented."""
    return isinstance(call_id, str) and _LEGAL_ID.fullmatch(call_id) is not None


def _digest(text: str, length: int) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:length]


def _flattened(tool: JsonObject) -> Iterator[tuple[Fields, str | None]]:
    """Tools with their namespace: the Responses API groups tools under `{type: namespace, name, tools}`."""
    fields = Fields(tool)
    if fields.get("type") != "namespace":
        yield fields, None
        return
    namespace = fields.text("name")
    for index, inner in enumerate(fields.items("tools") or []):
        with located(f"tools[{index}]"):
            yield Fields(expect_object(inner)), namespace


def _declare(toolbox: Toolbox, tool: Fields, namespace: str | None) -> None:
    kind = tool.get("type")
    mark = native_mark(tool.get("cache_control"))
    if kind in (None, "function") or "input_schema" in tool:
        function = tool.nested("function") if "function" in tool else tool
        mark = mark or native_mark(function.get("cache_control"))
        _declare_function(toolbox, function, namespace, _marked(mark))
    elif kind == "custom":
        custom = tool.nested("custom") if "custom" in tool else tool
        _declare_custom(toolbox, custom, namespace, _marked(mark))
    elif isinstance(kind, str) and _SERVER_TOOL.fullmatch(kind):
        given = {name: tool.get(name) for name in tool if name != "cache_control"}
        toolbox.add_server_tool(given | _marked(mark))
    else:
        toolbox.ignored.append(f"tools.{str(kind)[:80]}")
        toolbox.notes.append(
            f"tools: {str(kind)[:80]!r} has no counterpart at Anthropic and was left out"
        )


def _marked(mark: JsonObject | None) -> JsonObject:
    return {} if mark is None else {"cache_control": mark}


def _declare_function(
    toolbox: Toolbox, function: Fields, namespace: str | None, marked: JsonObject
) -> None:
    name = _name(toolbox, function)
    if name is None:
        return
    source = "parameters" if "parameters" in function else "input_schema"
    schema, wrapped = object_schema(function.mapping(source) or {})
    schema, renamed = with_legal_names(schema)
    definition = _described(function)
    if function.get("strict") is True:
        enforced = toolbox.enforced(schema)
        if enforced is None:
            toolbox.ignored.append("tools.function.strict")
        else:
            schema, definition["strict"] = enforced, True
    definition["input_schema"] = schema
    definition |= {key: value for key in _PASSED if (value := function.get(key)) is not None}
    toolbox.add(
        definition | marked,
        ToolReply(name=name, wrapped=wrapped, renamed=renamed, namespace=namespace),
    )


def _declare_custom(
    toolbox: Toolbox, custom: Fields, namespace: str | None, marked: JsonObject
) -> None:
    name = _name(toolbox, custom)
    if name is None:
        return
    definition = _described(custom)
    grammar = _grammar(custom)
    if grammar:
        definition["description"] = "\n\n".join(
            filter(None, (definition.get("description"), grammar))
        )
    properties = {WRAPPER: {"type": "string"}}
    definition["input_schema"] = {"type": "object", "properties": properties, "required": [WRAPPER]}
    toolbox.add(definition | marked, ToolReply(name=name, custom=True, namespace=namespace))


def _name(toolbox: Toolbox, tool: Fields) -> str | None:
    """None, with a note, for a missing or empty name: Cursor sends such placeholders."""
    name = tool.text("name")
    if not name:
        toolbox.notes.append("tools: a tool without a name was left out")
    return name or None


def _described(tool: Fields) -> JsonObject:
    description = tool.text("description")
    return {"description": description} if description else {}


def _grammar(custom: Fields) -> str | None:
    """Anthropic can't enforce a grammar; the description states it, and Claude mostly follows it."""
    form = custom.nested("format")
    if form.get("type") != "grammar":
        return None
    grammar = form.nested("grammar") if "grammar" in form else form
    return f"Input format ({grammar.text('syntax')}):\n{grammar.text('definition')}"


def _qualified(name: str, namespace: str | None) -> str:
    return name if namespace is None else f"{namespace}__{name}"
