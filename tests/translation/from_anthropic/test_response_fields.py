"""What a Responses object says of its request: what was asked for where it was heeded, else what was done instead."""

from __future__ import annotations

from typing import Any

import pytest

from addon.translation.from_anthropic.response_fields import DEFAULTS, response_fields
from addon.translation.to_anthropic.tools import legal_name

THINKS = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
SCHEMA = {"type": "object"}
FUNCTION = {"type": "function", "name": "f", "description": None, "parameters": SCHEMA}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "as-asked": (
        {"instructions": "i", "metadata": {"a": "b"}, "user": "u", "store": True},
        {},
        {"instructions": "i", "metadata": {"a": "b"}, "user": "u", "store": True},
    ),
    "sampling-as-sent": (
        {},
        {"temperature": 0.2, "top_p": 0.9},
        {"temperature": 0.2, "top_p": 0.9},
    ),
    "sampling-not-sent": ({"temperature": 0.2}, {}, {"temperature": 1.0, "top_p": 1.0}),
    "a-limit-as-sent": ({"max_output_tokens": 10**6}, {"max_tokens": 9}, {"max_output_tokens": 9}),
    "no-limit-asked": ({}, {"max_tokens": 9}, {"max_output_tokens": None}),
    "the-effort-used": (
        {"reasoning": {"effort": "xhigh", "summary": "detailed"}},
        THINKS,
        {"reasoning": {"effort": "high", "summary": "detailed"}},
    ),
    "an-effort-by-budget": (
        {"reasoning": {"effort": "low"}},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"reasoning": {"effort": "low", "summary": None}},
    ),
    "thinking-taken-off": (
        {"reasoning": {"effort": "low", "summary": "auto"}},
        {},
        {"reasoning": {"effort": None, "summary": None}},
    ),
    "no-thinking-asked": (
        {"reasoning": {"effort": "none"}},
        {"thinking": {"type": "disabled"}},
        {"reasoning": {"effort": "none", "summary": None}},
    ),
    "a-schema-in-words": (
        {
            "text": {
                "format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}
            }
        },
        {},
        {
            "text": {
                "format": {
                    "type": "json_schema",
                    "name": "n",
                    "description": None,
                    "schema": SCHEMA,
                    "strict": False,
                }
            }
        },
    ),
    "json": (
        {"text": {"format": {"type": "json_object"}, "verbosity": "low"}},
        {},
        {"text": {"format": {"type": "json_object"}}},
    ),
    "one-call-at-most": (
        {},
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        {"parallel_tool_calls": False, "tool_choice": "auto"},
    ),
    "a-choice-in-chats-form": (
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {},
        {"tool_choice": {"type": "function", "name": "f"}},
    ),
    "a-choice-in-anthropics-form": (
        {"tool_choice": {"type": "any"}},
        {"tool_choice": {"type": "any"}},
        {"tool_choice": "required"},
    ),
    "anthropics-named-tool": (
        {"tool_choice": {"type": "tool", "name": "f"}},
        {"tool_choice": {"type": "tool", "name": "f"}},
        {"tool_choice": {"type": "function", "name": "f"}},
    ),
    "tools-in-every-form": (
        {
            "tools": [
                {"type": "function", "function": {"name": "f", "parameters": SCHEMA}},
                {"name": "f", "input_schema": SCHEMA},
                {"type": "custom", "name": "c"},
                {"type": "file_search"},
                {"type": "web_search_20250305", "name": "web_search"},
            ]
        },
        {"tools": [{"name": "f", "strict": True}, {"type": "web_search_20250305"}]},
        {
            "tools": [
                {**FUNCTION, "strict": True},
                {**FUNCTION, "strict": True},
                {"type": "custom", "name": "c"},
                {"type": "web_search_20250305", "name": "web_search"},
            ]
        },
    ),
    "strict-under-another-name": (
        {"tools": [{**FUNCTION, "name": "f!"}]},
        {"tools": [{"name": legal_name("f!"), "strict": True}]},
        {"tools": [{**FUNCTION, "name": "f!", "strict": True}]},
    ),
    "strict-was-not-sent": (
        {"tools": [{**FUNCTION, "strict": True}]},
        {"tools": [{"name": "f"}]},
        {"tools": [{**FUNCTION, "strict": False}]},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_done(case: str) -> None:
    asked, sent, told = CASES[case]
    fields = response_fields(asked, sent)
    assert {name: fields[name] for name in told} == told
    others = fields.keys() - told.keys() - {"tool_choice"}
    assert {name: fields[name] for name in others} == {name: DEFAULTS[name] for name in others}
