"""Tool definitions in every dialect."""

from __future__ import annotations

import re
from typing import Any

import pytest

from addon.core.errors import BadRequest
from addon.translation.types import ToolReply
from tests.cpu import cpu_below
from tests.translation.asking import (
    TC,
    A,
    T,
    U,
    assistant,
    chat,
    context,
    finished,
    function,
    responses,
    tu,
)

OBJECT = {"type": "object", "properties": {}}
CLOSED = {**OBJECT, "required": [], "additionalProperties": False}
TEXT_INPUT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
F = {"name": "f", "description": "d", "input_schema": OBJECT}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: X"}
GRAMMAR_WORDS = "Input format (lark):\nstart: X"
SEARCH = {"type": "web_search_20250305", "name": "web_search"}

DEFINED: dict[str, tuple[list, list]] = {
    "function": ([function(description="d", parameters=OBJECT)], [F]),
    "order-is-kept": (
        [function(n, parameters=OBJECT) for n in "cab"],
        [{"name": n, "input_schema": OBJECT} for n in "cab"],
    ),
    "no-parameters": ([function(description="d")], [F]),
    "null-parameters": ([function(description="d", parameters=None)], [F]),
    "empty-parameters": ([function(description="d", parameters={})], [F]),
    "twice-the-same": ([function(description="d")] * 2, [F]),
    "twice-with-another-schema": (
        [
            function(description="d", parameters={"required": ["x"]}),
            function("g"),
            function(description="d"),
        ],
        [F, {"name": "g", "input_schema": OBJECT}],
    ),
    "null-name": ([{"name": None, "input_schema": {}}, function(description="d")], [F]),
    "anthropics-form": ([{"name": "f", "description": "d", "input_schema": OBJECT}], [F]),
    "anthropics-form-with-type": ([{**F, "type": "custom"}], [F]),
    "flat": (
        [{"type": "function", "name": "f", "description": "d", "parameters": OBJECT}],
        [F],
    ),
    "custom": (
        [
            {
                "type": "custom",
                "custom": {"name": "P", "description": "d", "format": {"type": "text"}},
            }
        ],
        [{"name": "P", "description": "d", "input_schema": TEXT_INPUT}],
    ),
    "custom-with-grammar": (
        [{"type": "custom", "name": "P", "description": "d", "format": GRAMMAR}],
        [{"name": "P", "description": f"d\n\n{GRAMMAR_WORDS}", "input_schema": TEXT_INPUT}],
    ),
    "custom-with-nested-grammar": (
        [
            {
                "type": "custom",
                "custom": {
                    "name": "P",
                    "format": {
                        "type": "grammar",
                        "grammar": {"syntax": "lark", "definition": "start: X"},
                    },
                },
            }
        ],
        [{"name": "P", "description": GRAMMAR_WORDS, "input_schema": TEXT_INPUT}],
    ),
    "strict-for-as-many-as-anthropic-takes": (
        [function(f"f{i}", strict=True, parameters=CLOSED) for i in range(21)],
        [
            *({"name": f"f{i}", "strict": True, "input_schema": CLOSED} for i in range(20)),
            {"name": "f20", "input_schema": {**OBJECT, "additionalProperties": False}},
        ],
    ),
    "strict-but-open": (
        [function(strict=True, parameters={"type": "object", "additionalProperties": True})],
        [
            {
                "name": "f",
                "input_schema": {"type": "object", "additionalProperties": True, "properties": {}},
            }
        ],
    ),
    "what-anthropics-tools-have-besides": (
        [{**F, "eager_input_streaming": True, "input_examples": [{}]}],
        [{**F, "eager_input_streaming": True, "input_examples": [{}]}],
    ),
    "toolsets-have-no-name": (
        [{"type": "browser_toolset_20260801"}, {"type": "mcp_toolset", "mcp_server_name": "m"}],
        [{"type": "browser_toolset_20260801"}, {"type": "mcp_toolset", "mcp_server_name": "m"}],
    ),
    "built-ins-are-dropped": (
        [{"type": "file_search"}, {"type": "mcp"}, function(description="d")],
        [F],
    ),
    "anthropics-server-tools-pass": ([SEARCH], [SEARCH]),
    "a-tool-of-the-client-goes-before-a-server-tool": (
        [SEARCH, function("web_search")],
        [{"name": "web_search", "input_schema": OBJECT}],
    ),
    "also-when-it-comes-first": (
        [function("web_search"), SEARCH],
        [{"name": "web_search", "input_schema": OBJECT}],
    ),
    "null-description": ([function(description=None)], [{"name": "f", "input_schema": OBJECT}]),
    "a-cache-mark-stays": (
        [{**F, "cache_control": {"type": "ephemeral"}, "defer_loading": True}],
        [F | {"cache_control": {"type": "ephemeral"}}],
    ),
}


@pytest.mark.parametrize(("tools", "definitions"), DEFINED.values(), ids=DEFINED)
def test_defined(tools: list, definitions: list) -> None:
    translation = chat(U("a"), tools=tools)
    assert translation.request["tools"] == definitions
    finished(translation)


def test_when_every_tool_is_dropped_none_is_sent() -> None:
    request = chat(
        U("a"), tools=[{"name": None}], tool_choice="auto", parallel_tool_calls=False
    ).request
    assert request.keys().isdisjoint({"tools", "tool_choice"})


NOTED = {
    "a-name-twice": ([function("f"), function("f", description="d")], "declared twice"),
    "no-name": ([{"name": ""}], "without a name"),
    "a-built-in": ([{"type": "file_search"}], "'file_search' has no counterpart"),
}


@pytest.mark.parametrize(("tools", "words"), NOTED.values(), ids=NOTED)
def test_what_is_dropped_is_noted(tools: list, words: str) -> None:
    assert any(words in note for note in chat(U("a"), tools=tools).notes)


def test_identical_tools_are_not_noted() -> None:
    assert chat(U("a"), tools=[function(), function()]).notes == []


NAMES = {
    "illegal-characters": ("my tool!", r"my_tool__[0-9a-f]{8}"),
    "of-64": ("x" * 64, "x{64}"),
    "of-128": ("x" * 128, "x{128}"),
    "of-129": ("x" * 129, "x{119}_[0-9a-f]{8}"),
    "not-latin": ("搜索", r"___[0-9a-f]{8}"),
    "a-newline-at-the-end": ("f\n", r"f__[0-9a-f]{8}"),
}


@pytest.mark.parametrize(("name", "pattern"), NAMES.values(), ids=NAMES)
def test_names(name: str, pattern: str) -> None:
    choice = {"type": "function", "function": {"name": name}}
    translation = chat(
        U("a"), A(None, TC("c1", name)), T("c1", "x"), tools=[function(name)], tool_choice=choice
    )
    (tool,) = translation.request["tools"]
    assert re.fullmatch(pattern, tool["name"])
    assert translation.request["messages"][1]["content"][0]["name"] == tool["name"]
    assert translation.request["tool_choice"]["name"] == tool["name"]
    assert translation.reply.tools[tool["name"]].name == name
    finished(translation)


def test_names_that_look_alike_once_cleaned() -> None:
    translation = chat(U("a"), tools=[function("a.b"), function("a_b"), function("a b")])
    names = [tool["name"] for tool in translation.request["tools"]]
    assert len(set(names)) == 3
    assert [translation.reply.tools[name].name for name in names] == ["a.b", "a_b", "a b"]


def test_a_name_made_to_collide() -> None:
    cleaned = context(function("a.b")).upstream_name("a.b")
    translation = chat(
        U("a"),
        A(None, TC("c1", "a.b"), TC("c2", cleaned)),
        tools=[function(cleaned), function("a.b"), function("a b")],
    )
    names = [tool["name"] for tool in translation.request["tools"]]
    assert next(translation.reply.tools[name].name for name in names) == cleaned
    calls = [b["name"] for b in translation.request["messages"][1]["content"]]
    assert calls[1] == cleaned
    finished(translation)


def test_a_wrapped_root() -> None:
    parameters = {"type": "array", "items": {"type": "string"}}
    translation = chat(
        U("a"),
        A(None, TC("c1", "f", '["x"]')),
        T("c1", "ok"),
        tools=[function(parameters=parameters)],
    )
    assert translation.request["tools"][0]["input_schema"]["properties"] == {"input": parameters}
    assert translation.request["messages"][1] == assistant(tu("c1", "f", input=["x"]))
    assert translation.reply.tools["f"] == ToolReply(name="f", wrapped=True)


ODD = {
    "filter[id]": {"type": "string"},
    "filter_id_": {"description": "d"},
    "名前": {"description": "who"},
}
RENAMED = (("filter[id]", "filter_id__2"), ("名前", "__"))


def test_properties_that_anthropic_rejects_go_under_other_names() -> None:
    parameters = {"type": "object", "properties": ODD, "required": ["名前", "filter_id_"]}
    translation = chat(
        U("a"),
        A(None, TC("c1", "f", '{"filter[id]": "x", "filter_id_": 1, "名前": {"名前": 2}}')),
        T("c1", "ok"),
        tools=[function(parameters=parameters)],
    )
    assert translation.request["tools"][0]["input_schema"] == {
        "type": "object",
        "properties": {
            "filter_id__2": {"type": "string", "description": "`filter[id]`"},
            "filter_id_": {"description": "d"},
            "__": {"description": "`名前`: who"},
        },
        "required": ["__", "filter_id_"],
    }
    called = tu("c1", "f", filter_id__2="x", filter_id_=1, __={"名前": 2})
    assert translation.request["messages"][1] == assistant(called)
    assert translation.reply.tools["f"] == ToolReply(name="f", renamed=RENAMED)


PATCH = "*** Begin Patch"


@pytest.mark.parametrize(
    "call",
    [TC("c1", "P", PATCH), {"id": "c1", "type": "custom", "custom": {"name": "P", "input": PATCH}}],
    ids=["in-a-function-envelope", "as-a-custom-call"],
)
def test_calls_of_a_custom_tool(call: Any) -> None:
    translation = chat(
        U("a"),
        A(None, call),
        T("c1", "ok"),
        tools=[{"type": "custom", "name": "P", "format": GRAMMAR}],
    )
    assert translation.request["messages"][1] == assistant(tu("c1", "P", input=PATCH))
    assert translation.reply.tools["P"] == ToolReply(name="P", custom=True)
    finished(translation)


def test_unreadable_arguments_are_noted() -> None:
    translation = chat(U("a"), A(None, TC("c1", "f", "{")), T("c1", "x"), tools=[function()])
    assert translation.notes == [
        "messages[1]: arguments of f are not a JSON object; passed on as _raw_arguments"
    ]


REFUSED = {
    "no-object": (["f"], "tools[0]"),
    "no-list": ({}, "tools"),
    "name-a-number": ([function(5)], "tools[0].function.name"),
    "parameters-a-list": ([function(parameters=[])], "tools[0].function.parameters"),
    "description-a-number": ([function(description=5)], "tools[0].function.description"),
    "function-a-string": ([{"type": "function", "function": "f"}], "tools[0].function"),
    "namespace-of-strings": (
        [{"type": "namespace", "name": "n", "tools": ["f"]}],
        "tools[0].tools[0]",
    ),
}


@pytest.mark.parametrize(("tools", "param"), REFUSED.values(), ids=REFUSED)
def test_refused(tools: Any, param: str) -> None:
    with pytest.raises(BadRequest) as error:
        chat(U("a"), tools=tools)
    assert error.value.param == param


@pytest.mark.parametrize(
    ("call", "param"),
    [
        (TC("c1", ""), "messages[1].tool_calls[0].function.name"),
        ({"id": "c1", "type": "function"}, "messages[1].tool_calls[0].function.name"),
        ("c1", "messages[1].tool_calls[0]"),
        ({"id": "c1", "custom": "x"}, "messages[1].tool_calls[0].custom"),
    ],
    ids=["no-name", "no-function", "no-object", "custom-no-object"],
)
def test_calls_that_name_nothing(call: Any, param: str) -> None:
    with pytest.raises(BadRequest) as error:
        chat(U("a"), A(None, call))
    assert error.value.param == param


def test_namespaces_are_flattened() -> None:
    inner = [{"type": "function", "name": "find"}, {"type": "custom", "name": "edit"}]
    spaces = [
        {"type": "namespace", "name": name, "description": "d", "tools": inner}
        for name in ("crm", "erp")
    ]
    items = [
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "find",
            "namespace": "erp",
            "arguments": "{}",
        },
        {"type": "function_call", "call_id": "c2", "name": "find", "arguments": "{}"},
    ]
    translation = responses(items, tools=[*spaces, {"type": "function", "name": "solo"}])
    names = [tool["name"] for tool in translation.request["tools"]]
    assert names == ["crm__find", "crm__edit", "erp__find", "erp__edit", "solo"]
    assert translation.reply.tools["erp__edit"] == ToolReply(
        name="edit", custom=True, namespace="erp"
    )
    calls = [block["name"] for block in translation.request["messages"][1]["content"]]
    assert calls == ["erp__find", "crm__find"]
    finished(translation)


@pytest.mark.parametrize("declared", [[{"type": "function", "name": "find"}], []], ids=len)
def test_a_namespace_of_the_functions_own_name_is_none(declared: list) -> None:
    """So OpenAI returns a function that its tool search has found."""
    call = {"type": "function_call", "call_id": "c1", "name": "find", "namespace": "find"}
    translation = responses([{**call, "arguments": "{}"}], tools=declared)
    assert translation.request["messages"][1]["content"][0]["name"] == "find"


def test_a_call_in_a_namespace_that_is_not_declared_is_the_functions() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "find", "namespace": "x"}
    tools = [{"type": "function", "name": "find"}]
    translation = responses([{**call, "arguments": "{}"}], tools=tools)
    assert translation.request["messages"][1]["content"][0]["name"] == "find"


def test_a_megabyte_of_tools_in_a_second() -> None:
    properties = {f"p{i}": {"type": "string", "description": "x" * 50} for i in range(130)}
    tools = [
        function(f"f{i}", parameters={"type": "object", "properties": properties})
        for i in range(100)
    ]
    with cpu_below():
        chat(U("a"), tools=tools)
