"""Fields without a counterpart."""

from __future__ import annotations

from typing import Any

import pytest

from addon.core.errors import BadRequest
from tests.translation.asking import OPUS, U, chat, translated

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
        ["reasoning.mode", "reasoning.new", "text.verbosity"],
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
    "betas-in-the-body": (OPUS, {"betas": ["context-1m-2025-08-07"]}, ["betas"]),
}


@pytest.mark.parametrize(("model", "fields", "names"), IGNORED.values(), ids=IGNORED)
def test_ignored(model: str, fields: dict, names: list[str]) -> None:
    assert chat(U("a"), model=model, **fields).ignored == names


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
