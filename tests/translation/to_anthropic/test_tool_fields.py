"""tool_choice and parallel_tool_calls."""

from __future__ import annotations

from typing import Any

import pytest

from addon.core.errors import BadRequest
from tests.translation.asking import U, chat, finished, function

TOOLS = [function("f"), function("g")]
SINGLE = {"disable_parallel_tool_use": True}


def named(name: str, kind: str = "function") -> dict:
    return {"type": kind, kind: {"name": name}}


CHOICES: dict[str, tuple[dict, dict | None]] = {
    "absent": ({}, None),
    "auto": ({"tool_choice": "auto"}, None),
    "none": ({"tool_choice": "none"}, {"type": "none"}),
    "required": ({"tool_choice": "required"}, {"type": "any"}),
    "named": ({"tool_choice": named("g")}, {"type": "tool", "name": "g"}),
    "named-flat": (
        {"tool_choice": {"type": "function", "name": "g"}},
        {"type": "tool", "name": "g"},
    ),
    "named-custom": ({"tool_choice": named("g", "custom")}, {"type": "tool", "name": "g"}),
    "anthropics-auto": ({"tool_choice": {"type": "auto"}}, None),
    "anthropics-any": ({"tool_choice": {"type": "any"}}, {"type": "any"}),
    "anthropics-none": ({"tool_choice": {"type": "none"}}, {"type": "none"}),
    "anthropics-tool": (
        {"tool_choice": {"type": "tool", "name": "g"}},
        {"type": "tool", "name": "g"},
    ),
    "anthropics-flag": ({"tool_choice": {"type": "any", **SINGLE}}, {"type": "any", **SINGLE}),
    "one-call-only": ({"parallel_tool_calls": False}, {"type": "auto", **SINGLE}),
    "one-call-only-required": (
        {"parallel_tool_calls": False, "tool_choice": "required"},
        {"type": "any", **SINGLE},
    ),
    "no-flag-with-none": (
        {"parallel_tool_calls": False, "tool_choice": "none"},
        {"type": "none"},
    ),
    "true-says-nothing": ({"parallel_tool_calls": True}, None),
    "null-says-nothing": ({"parallel_tool_calls": None}, None),
}


@pytest.mark.parametrize(("fields", "expected"), CHOICES.values(), ids=CHOICES)
def test_choices(fields: dict, expected: dict | None) -> None:
    translation = chat(U("a"), tools=TOOLS, **fields)
    assert translation.request.get("tool_choice") == expected
    assert [tool["name"] for tool in translation.request["tools"]] == ["f", "g"]
    finished(translation)


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5-1"])
@pytest.mark.parametrize(
    ("choice", "words"),
    [("required", "You must call one of the tools."), (named("f"), "You must call the tool `f`.")],
    ids=["required", "named"],
)
def test_models_that_refuse_force_are_asked(model: str, choice: Any, words: str) -> None:
    request = finished(chat(U("a"), tools=TOOLS, tool_choice=choice, model=model))
    assert request["tool_choice"] == {"type": "auto"}
    assert request["messages"][-1]["content"][-1]["text"] == words


def test_manual_thinking_refuses_force_too() -> None:
    translation = chat(
        U("a"),
        tools=TOOLS,
        tool_choice="required",
        reasoning_effort="high",
        model="claude-opus-4-5",
    )
    assert translation.request["tool_choice"] == {"type": "any"}
    request = finished(translation)
    assert request["tool_choice"] == {"type": "auto"}
    assert request["thinking"]["type"] == "enabled"


def allowed(mode: str, *names: str, nested: bool = True) -> dict:
    spec = {"mode": mode, "tools": [{"type": "function", "function": {"name": n}} for n in names]}
    if nested:
        return {"type": "allowed_tools", "allowed_tools": spec}
    return {
        "type": "allowed_tools",
        **spec,
        "tools": [{"type": "function", "name": n} for n in names],
    }


ALLOWED = {
    "required": (allowed("required", "f"), ["f"], {"type": "any"}),
    "auto": (allowed("auto", "g"), ["g"], None),
    "flat": (allowed("required", "g", "f", nested=False), ["f", "g"], {"type": "any"}),
    "unknown-ones-are-skipped": (allowed("auto", "f", "x"), ["f"], None),
}


@pytest.mark.parametrize(("choice", "names", "expected"), ALLOWED.values(), ids=ALLOWED)
def test_allowed_tools_cut_the_tools_down(choice: dict, names: list, expected: dict | None) -> None:
    translation = chat(U("a"), tools=TOOLS, tool_choice=choice)
    assert [tool["name"] for tool in translation.request["tools"]] == names
    assert translation.request.get("tool_choice") == expected
    finished(translation)


LEGACY: dict[str, tuple[Any, dict]] = {
    "auto": ("auto", {"type": "auto", **SINGLE}),
    "none": ("none", {"type": "none"}),
    "named": ({"name": "f"}, {"type": "tool", "name": "f", **SINGLE}),
    "absent": (None, {"type": "auto", **SINGLE}),
}


@pytest.mark.parametrize(("choice", "expected"), LEGACY.values(), ids=LEGACY)
def test_function_call(choice: Any, expected: dict) -> None:
    translation = chat(U("a"), functions=[{"name": "f"}], function_call=choice)
    assert translation.request["tool_choice"] == expected
    assert translation.reply.legacy_functions
    finished(translation)


def test_tools_win_over_functions() -> None:
    translation = chat(U("a"), functions=[{"name": "x"}], function_call="none", tools=TOOLS)
    assert [tool["name"] for tool in translation.request["tools"]] == ["f", "g"]
    assert "tool_choice" not in translation.request
    assert not translation.reply.legacy_functions


NO_TOOLS = {"auto": "auto", "none": "none"}


@pytest.mark.parametrize("choice", NO_TOOLS.values(), ids=NO_TOOLS)
def test_without_tools_a_harmless_choice_is_dropped(choice: str) -> None:
    translation = chat(U("a"), tool_choice=choice, parallel_tool_calls=False)
    assert translation.request.keys().isdisjoint({"tools", "tool_choice"})


REFUSED: dict[str, dict] = {
    "unknown-name": {"tools": TOOLS, "tool_choice": named("x")},
    "no-name": {"tools": TOOLS, "tool_choice": {"type": "function"}},
    "none-allowed": {"tools": TOOLS, "tool_choice": allowed("auto", "x")},
    "required-without-tools": {"tool_choice": "required"},
    "named-without-tools": {"tool_choice": named("f")},
    "an-unknown-word": {"tools": TOOLS, "tool_choice": "perhaps"},
    "an-unknown-type": {"tools": TOOLS, "tool_choice": {"type": "web_search_preview"}},
    "a-number": {"tools": TOOLS, "tool_choice": 5},
}


@pytest.mark.parametrize("fields", REFUSED.values(), ids=REFUSED)
def test_refused(fields: dict) -> None:
    with pytest.raises(BadRequest) as error:
        chat(U("a"), **fields)
    assert error.value.param == "tool_choice"
