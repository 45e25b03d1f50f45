"""Tool arguments as clients and models write them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from addon.translation.to_anthropic.tool_arguments import parse_arguments
from addon.translation.types import ToolReply
from tests.cpu import cpu_below

DEEP = "[" * 10_000 + "]" * 10_000

PARSED: dict[str, tuple[Any, Any]] = {
    "an-object": ('{"a":1}', {"a": 1}),
    "empty": ("", {}),
    "null": (None, {}),
    "blank": (" \n", {}),
    "cut-off": ('{"a":', {"_raw_arguments": '{"a":'}),
    "an-empty-list": ("[]", {}),
    "an-empty-list-already": ([], {}),
    "a-list": ("[1,2]", {"input": [1, 2]}),
    "a-string": ('"x"', {"input": "x"}),
    "a-number": ("5", {"input": 5}),
    "json-null": ("null", {}),
    "encoded-twice": ('"{\\"a\\":1}"', {"a": 1}),
    "encoded-three-times": (json.dumps(json.dumps('{"a":1}')), {"input": '"{\\"a\\":1}"'}),
    "an-object-already": ({"a": 1}, {"a": 1}),
    "a-list-already": ([1], {"input": [1]}),
    "two-objects": ('{"a":1}{"b":2}', {"a": 1}),
    "prose-after": ('{"a":1} done.', {"a": 1}),
    "prose-after-a-list": ("[1] done.", {"_raw_arguments": "[1] done."}),
    "nan": ('{"a":NaN}', {"_raw_arguments": '{"a":NaN}'}),
    "a-big-integer": ('{"n":12345678901234567890}', {"n": 12345678901234567890}),
    "too-big-a-float": ('{"e":1e400}', {"_raw_arguments": '{"e":1e400}'}),
    "too-many-digits": ("9" * 5000, {"_raw_arguments": "9" * 5000}),
    "too-deep": (DEEP, {"_raw_arguments": DEEP}),
    "an-object-too-deep": ('{"a":' * 10_000, {"_raw_arguments": '{"a":' * 10_000}),
    "deeper-than-can-be-sent": (
        "[" * 150 + "]" * 150,
        {"_raw_arguments": "[" * 150 + "]" * 150},
    ),
    "a-raw-newline-in-a-string": ('{"a":"b\nc"}', {"a": "b\nc"}),
    "a-key-twice": ('{"a":1,"a":2}', {"a": 2}),
    "half-an-emoji": ('{"a":"\\ud83d"}', {"a": "\ufffd"}),
    "half-an-emoji-unreadable": ("{\ud83d", {"_raw_arguments": "{\ufffd"}),
    "prose": ("hello", {"_raw_arguments": "hello"}),
}


@pytest.mark.parametrize(("arguments", "expected"), PARSED.values(), ids=PARSED)
def test_parsed(arguments: Any, expected: Any) -> None:
    assert parse_arguments(arguments) == expected


def test_a_float_stays_one() -> None:
    assert json.dumps(parse_arguments('{"f":1.0,"i":1}')) == '{"f": 1.0, "i": 1}'


PATCH = "*** Begin Patch\n{}"
CUSTOM: dict[str, tuple[Any, Any]] = {
    "raw-text": (PATCH, {"input": PATCH}),
    "text-that-is-json": ('{"a":1}', {"input": '{"a":1}'}),
    "nothing": (None, {"input": ""}),
    "a-number": (5, {"input": "5"}),
    "anthropics-own-form": ({"input": PATCH}, {"input": PATCH}),
}


@pytest.mark.parametrize(("arguments", "expected"), CUSTOM.values(), ids=CUSTOM)
def test_custom_tools_take_raw_text(arguments: Any, expected: Any) -> None:
    assert parse_arguments(arguments, ToolReply(name="f", custom=True)) == expected


WRAPPED: dict[str, tuple[Any, Any]] = {
    "a-list": ("[1]", {"input": [1]}),
    "an-object": ('{"a":1}', {"input": {"a": 1}}),
    "a-string-that-holds-json": ('"{}"', {"input": "{}"}),
    "nothing": ("", {}),
    "unreadable": ("[1", {"_raw_arguments": "[1"}),
}


@pytest.mark.parametrize(("arguments", "expected"), WRAPPED.values(), ids=WRAPPED)
def test_values_of_wrapped_schemas_are_wrapped(arguments: Any, expected: Any) -> None:
    assert parse_arguments(arguments, ToolReply(name="f", wrapped=True)) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        '{"a":"' + "x" * 2_000_000 + '"}',
        json.dumps([{"a": i} for i in range(100_000)]),
        "{" * 2_000_000,
    ],
    ids=["one-long-string", "many-values", "unreadable"],
)
def test_two_megabytes_take_less_than_a_second(arguments: str) -> None:
    with cpu_below():
        parse_arguments(arguments)
