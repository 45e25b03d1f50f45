"""Fields without a counterpart."""

from __future__ import annotations

from typing import Any

import pytest

from addon.core.errors import BadRequest
from tests.translation.asking import OPUS, U, chat, responses, translated

IGNORED: dict[str, tuple[str, dict, list[str]]] = {
    "nothing": (OPUS, {"temperature": None, "tools": [], "stop": "x"}, []),
    "sampling-that-the-model-refuses": (
        OPUS,
        {"temperature": 0, "top_p": 0.9, "top_k": 1},
        ["temperature", "top_p", "top_k"],
    ),
    "the-one-of-two-that-is-dropped": (
        "claude-sonnet-4-5",
        {"temperature": 0, "top_p": 0.5},
        ["top_p"],
    ),
    "unknown": (OPUS, {"foo": 1}, ["foo"]),
    "fast-when-off": ("claude-opus-5", {"service_tier": "fast"}, ["service_tier"]),
    "flex": (OPUS, {"service_tier": "flex"}, []),
    "input-beside-messages": (OPUS, {"input": "x"}, ["input"]),
    "defaults-say-nothing": (
        OPUS,
        {
            "frequency_penalty": 0,
            "presence_penalty": 0.0,
            "logit_bias": {},
            "logprobs": False,
            "top_logprobs": 0,
            "store": False,
            "temperature": 1,
            "top_p": 1.0,
            "include": ["reasoning.encrypted_content"],
            "text": {"verbosity": "medium"},
            "reasoning": {"mode": "standard", "context": "auto", "effort": None},
            "verbosity": "medium",
            "service_tier": "auto",
            "speed": "standard",
        },
        [],
    ),
    "penalties": (
        OPUS,
        {"frequency_penalty": 0.5, "presence_penalty": -1},
        ["frequency_penalty", "presence_penalty"],
    ),
    "within-objects": (
        OPUS,
        {"text": {"verbosity": "low"}, "reasoning": {"effort": "low", "mode": "pro", "new": 1}},
        ["text.verbosity", "reasoning.mode", "reasoning.new"],
    ),
    "responses-fields": (
        OPUS,
        {
            "include": ["message.output_text.logprobs"],
            "truncation": "auto",
            "previous_response_id": "r",
        },
        ["include", "truncation", "previous_response_id"],
    ),
    "other-names-for-the-same": (
        OPUS,
        {"max_tokens": 5, "max_completion_tokens": 7, "stop": "x", "stop_sequences": "x"},
        ["max_tokens"],
    ),
    "moderation": (
        OPUS,
        {"moderation": {"model": "m", "policy": {"input": {"mode": "block"}}}},
        ["moderation.model", "moderation.policy"],
    ),
    "priority": ("claude-opus-5", {"service_tier": "priority"}, ["service_tier"]),
    "betas-in-the-body": (OPUS, {"betas": ["context-1m-2025-08-07"]}, ["betas"]),
}


@pytest.mark.parametrize(("model", "fields", "names"), IGNORED.values(), ids=IGNORED)
def test_ignored(model: str, fields: dict, names: list[str]) -> None:
    assert chat(U("a"), model=model, **fields).ignored == names


IMAGE = {"url": "https://example.com/a.png"}
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}
WITHIN: dict[str, tuple[dict, list[str]]] = {
    "an-image-in-few-pixels": (
        {"input": [U([{"type": "image_url", "image_url": {**IMAGE, "detail": "low"}}])]},
        ["content.image_url.detail"],
    ),
    "an-image-as-it-is": (
        {"input": [U([{"type": "image_url", "image_url": {**IMAGE, "detail": "auto"}}])]},
        [],
    ),
    "a-spoken-response": (
        {"input": [U("a"), {"role": "assistant", "content": "b", "audio": {"id": "audio_1"}}]},
        ["messages.assistant.audio"],
    ),
    "what-a-tool-may-do": (
        {
            "input": "a",
            "tools": [
                {
                    **TOOL,
                    "async": True,
                    "defer_loading": True,
                    "allowed_callers": ["programmatic"],
                    "output_schema": {"type": "string"},
                },
            ],
        },
        [
            f"tools.function.{name}"
            for name in ("async", "defer_loading", "allowed_callers", "output_schema")
        ],
    ),
    "what-is-so-anyway": (
        {"input": "a", "tools": [{**TOOL, "defer_loading": False, "allowed_callers": ["direct"]}]},
        [],
    ),
    "a-namespace's-description": (
        {
            "input": "a",
            "tools": [{"type": "namespace", "name": "n", "description": "d", "tools": [TOOL]}],
        },
        ["tools.namespace.description"],
    ),
    "who-called": (
        {
            "input": [
                U("a"),
                {**CALL, "caller": {"type": "program", "caller_id": "p"}},
                {**OUTPUT, "name": "f"},
            ]
        },
        ["input.function_call.caller", "input.function_call_output.name"],
    ),
    "a-limit-of-calls": ({"input": "a", "max_tool_calls": 3}, ["max_tool_calls"]),
    "unheard-of": (
        {"input": [U([{"type": "input_text", "text": "a", "new": 1}], new=2)]},
        [
            "messages.user.new",
            "content.input_text.new",
        ],
    ),
}


@pytest.mark.parametrize(("fields", "names"), WITHIN.values(), ids=WITHIN)
def test_what_is_ignored_within_messages_and_tools(fields: dict, names: list[str]) -> None:
    translation = responses(fields["input"], **{k: v for k, v in fields.items() if k != "input"})
    assert sorted(translation.ignored) == sorted(names)


@pytest.mark.parametrize("name", [name for name in WITHIN if WITHIN[name][1]])
def test_strict_refuses_what_is_ignored_within(name: str) -> None:
    fields, names = WITHIN[name]
    with pytest.raises(BadRequest) as error:
        translated({"model": OPUS, **fields}, strict=True)
    assert error.value.param in names


CHANGES_THE_ANSWER = {
    "seed": 1,
    "logit_bias": {"1": 2},
    "prediction": {},
    "verbosity": "low",
    "logprobs": True,
    "top_logprobs": 3,
    "frequency_penalty": 1,
    "presence_penalty": 1,
    "temperature": 0,
    "previous_response_id": "r",
    "foo": 1,
}


@pytest.mark.parametrize(("name", "value"), CHANGES_THE_ANSWER.items(), ids=CHANGES_THE_ANSWER)
def test_strict_refuses_what_changes_the_answer(name: str, value: Any) -> None:
    with pytest.raises(BadRequest) as error:
        chat(U("a"), strict=True, **{name: value})
    assert (error.value.param, error.value.code) == (name, "unsupported_parameter")


def test_strict_refuses_what_an_object_holds_in_vain() -> None:
    with pytest.raises(BadRequest) as error:
        chat(U("a"), strict=True, text={"verbosity": "low"})
    assert error.value.param == "text.verbosity"


def test_strict_lets_harmless_fields_pass() -> None:
    harmless = {
        "store": True,
        "metadata": {"a": "b"},
        "moderation": {"model": "m"},
        "prompt_cache_key": "k",
        "include": ["x"],
        "truncation": "auto",
        "frequency_penalty": 0,
    }
    body = {"model": "m", "messages": [U("a")], **harmless}
    assert translated(body, strict=True).request == translated(body).request


def test_names_are_fit_for_a_header() -> None:
    assert chat(U("a"), **{"a\r\nx-evil: 1": 1, "ü" * 99: 1}).ignored == ["a__x-evil__1", "_" * 64]


def test_a_flood_of_names_is_cut() -> None:
    assert len(chat(U("a"), **{f"x{i}": i for i in range(1000)}).ignored) == 50
