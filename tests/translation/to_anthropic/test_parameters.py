"""The options of a request."""

from __future__ import annotations

import hashlib
import json

import pytest

from addon.claude.thinking_request import ThinkingRequest
from addon.core.errors import BadRequest
from tests.translation.asking import (
    CATALOGUE,
    MODELS,
    OPUS,
    A,
    U,
    assistant,
    chat,
    finished,
    responses,
    text,
    translated,
)

BARE = {"model": OPUS, "max_tokens": 64_000, "messages": chat(U("a")).request["messages"]}


def sha(value: str) -> dict:
    return {"user_id": hashlib.sha256(value.encode()).hexdigest()}


S45, O45, HAIKU = "claude-sonnet-4-5", "claude-opus-4-5", "claude-haiku-4-5"

SENT: dict[str, tuple[str, dict, dict]] = {
    "stop-a-string": (OPUS, {"stop": "X"}, {"stop_sequences": ["X"]}),
    "blank-stops-are-dropped": (OPUS, {"stop": ["\n", "END"]}, {"stop_sequences": ["END"]}),
    "no-stops": (OPUS, {"stop": []}, {}),
    "null": (OPUS, {"stop": None}, {}),
    "only-blank-stops": (OPUS, {"stop": ["\n"]}, {}),
    "more-than-four-stops": (OPUS, {"stop": list("abcde")}, {"stop_sequences": list("abcde")}),
    "stops-twice": (OPUS, {"stop": ["a", "b", "a"]}, {"stop_sequences": ["a", "b"]}),
    "anthropics-stops": (OPUS, {"stop_sequences": ["a"]}, {"stop_sequences": ["a"]}),
    "temperature-is-clamped": (S45, {"temperature": 1.7}, {"temperature": 1}),
    "temperature-below-zero": (S45, {"temperature": -1}, {"temperature": 0}),
    "refused-by-new-models": (OPUS, {"temperature": 1.7, "top_p": 0.5, "top_k": 5}, {}),
    "even-zero": ("claude-opus-5-5", {"temperature": 0}, {}),
    "temperature-or-top-p": (S45, {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5}),
    "top-p-alone": (S45, {"top_p": 1.5}, {"top_p": 1}),
    "top-k": (S45, {"top_k": 40}, {"top_k": 40}),
    "top-k-of-others-for-all": (S45, {"top_k": -1}, {}),
    "clamped-to-the-model": (O45, {"max_tokens": 200_000}, {"max_tokens": 64_000}),
    "the-newer-name-wins": (
        OPUS,
        {"max_completion_tokens": 10, "max_tokens": 99},
        {"max_tokens": 10},
    ),
    "responses-name": (OPUS, {"max_output_tokens": 10}, {"max_tokens": 10}),
    "default-of-a-model-with-64k": (HAIKU, {}, {"max_tokens": 64_000}),
    "default-of-a-model-with-128k": ("claude-opus-5", {}, {"max_tokens": 64_000}),
    "one-answer": (OPUS, {"n": 1}, {}),
    "no-number-of-answers": (OPUS, {"n": None}, {}),
    "user": (OPUS, {"user": "a@b.c"}, {"metadata": sha("a@b.c")}),
    "safety-identifier-wins": (
        OPUS,
        {"user": "a@b.c", "safety_identifier": "s"},
        {"metadata": sha("s")},
    ),
    "anthropics-user": (OPUS, {"metadata": {"user_id": "u"}}, {"metadata": sha("u")}),
    "metadata-of-openai": (OPUS, {"metadata": {"k": "v"}}, {}),
    "unknown-fields": (OPUS, {"foo": 1}, {}),
    "flex": (OPUS, {"service_tier": "flex"}, {"service_tier": "standard_only"}),
    "default": (OPUS, {"service_tier": "default"}, {"service_tier": "standard_only"}),
    "priority": (OPUS, {"service_tier": "priority"}, {}),
    "auto": (OPUS, {"service_tier": "auto"}, {}),
    "fast-when-off": ("claude-opus-5", {"service_tier": "fast"}, {}),
    "stream": (OPUS, {"stream": True}, {"stream": True}),
    "no-stream": (OPUS, {"stream": False}, {"stream": False}),
    "modalities-text": (OPUS, {"modalities": ["text"]}, {}),
    "audio-with-text-only": (OPUS, {"modalities": ["text"], "audio": {"voice": "x"}}, {}),
    "a-cache-mark-for-the-whole": (
        OPUS,
        {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ),
    "a-cache-mark-that-is-none": (OPUS, {"cache_control": "yes"}, {}),
    "context-management": (
        OPUS,
        {"context_management": {"edits": []}},
        {"context_management": {"edits": []}},
    ),
    "context-management-of-openai": (OPUS, {"context_management": [{"type": "compaction"}]}, {}),
}


@pytest.mark.parametrize(("model", "fields", "expected"), SENT.values(), ids=SENT)
def test_sent(model: str, fields: dict, expected: dict) -> None:
    translation = chat(U("a"), model=model, **fields)
    assert translation.request == {**BARE, "model": model, **expected}
    finished(translation)


REFUSED: dict[str, tuple[dict, str]] = {
    "stop-a-number": ({"stop": 5}, "stop"),
    "stops-of-numbers": ({"stop": ["a", 5]}, "stop[1]"),
    "temperature-a-string": ({"temperature": "hot"}, "temperature"),
    "temperature-a-bool": ({"temperature": True}, "temperature"),
    "not-a-number": ({"temperature": float("nan")}, "temperature"),
    "a-string": ({"max_tokens": "100"}, "max_tokens"),
    "zero": ({"max_tokens": 0}, "max_tokens"),
    "negative": ({"max_completion_tokens": -1}, "max_completion_tokens"),
    "a-fraction": ({"max_tokens": 1.5}, "max_tokens"),
    "a-bool": ({"max_tokens": True}, "max_tokens"),
    "two-answers": ({"n": 2}, "n"),
    "no-answer": ({"n": 0}, "n"),
    "a-bool-of-answers": ({"n": True}, "n"),
    "audio-wanted": ({"modalities": ["text", "audio"]}, "modalities"),
    "audio-wanted-by-field": ({"audio": {"voice": "x"}}, "audio"),
    "modalities-no-list": ({"modalities": "text"}, "modalities"),
    "unknown-effort": ({"reasoning_effort": "ultra"}, "reasoning_effort"),
    "unknown-effort-of-responses": ({"reasoning": {"effort": "ultra"}}, "reasoning.effort"),
    "unknown-effort-of-anthropic": (
        {"output_config": {"effort": "x"}},
        "output_config.effort",
    ),
    "effort-a-number": ({"reasoning_effort": 5}, "reasoning_effort"),
    "reasoning-a-string": ({"reasoning": "high"}, "reasoning"),
    "reasoning-budget-zero": ({"reasoning": {"max_tokens": 0}}, "reasoning.max_tokens"),
    "thinking-a-bool": ({"thinking": True}, "thinking"),
    "stream-a-string": ({"stream": "yes"}, "stream"),
    "include-usage-a-string": (
        {"stream_options": {"include_usage": "yes"}},
        "stream_options.include_usage",
    ),
    "model-blank": ({"model": " "}, "model"),
    "model-a-number": ({"model": 5}, "model"),
    "background": ({"background": True}, "background"),
    "user-a-number": ({"user": 5}, "user"),
    "too-deep": ({"foo": json.loads("[" * 200 + "]" * 200)}, "foo"),
}


@pytest.mark.parametrize(("fields", "param"), REFUSED.values(), ids=REFUSED)
def test_refused(fields: dict, param: str) -> None:
    with pytest.raises(BadRequest) as error:
        translated({"messages": [U("a")], **fields})
    assert error.value.param == param


OPTIONAL = [
    "audio",
    "background",
    "cache_control",
    "context_management",
    "conversation",
    "frequency_penalty",
    "function_call",
    "functions",
    "include",
    "input",
    "instructions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "metadata",
    "modalities",
    "moderation",
    "n",
    "output_config",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "previous_response_id",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "speed",
    "stop",
    "stop_sequences",
    "store",
    "stream",
    "stream_options",
    "system",
    "temperature",
    "text",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
    "verbosity",
    "web_search_options",
]


def test_null_is_absent_everywhere() -> None:
    nulls = chat(U("a"), **dict.fromkeys(OPTIONAL))
    plain = chat(U("a"))
    assert (nulls.request, nulls.ignored, nulls.thinking_request) == (
        plain.request,
        plain.ignored,
        plain.thinking_request,
    )


WITHOUT_COUNTERPART = {
    "seed": 1,
    "logit_bias": {"50256": -100},
    "store": True,
    "prediction": {"type": "content", "content": "x"},
    "verbosity": "low",
    "logprobs": True,
    "metadata": {"a": "b"},
}


def test_what_has_no_counterpart_is_listed() -> None:
    translation = chat(U("a"), **WITHOUT_COUNTERPART, prompt_cache_key="k")
    assert translation.request == BARE
    assert translation.ignored == list(WITHOUT_COUNTERPART)
    assert translation.conversation == "k"


@pytest.mark.parametrize(
    ("fields", "thinking_request"),
    [
        ({"reasoning_effort": "high"}, {"effort": "high"}),
        ({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}, {"effort": "low"}),
        (
            {"reasoning_effort": "high", "output_config": {"effort": "low"}},
            {"effort": "high"},
        ),
        ({"output_config": {"effort": "low"}}, {"effort": "low"}),
        ({"thinking": {"type": "disabled"}}, {"thinking": {"type": "disabled"}}),
        ({"reasoning": {"max_tokens": 5000}}, {"budget": 5000}),
        ({"reasoning": {"summary": "auto"}}, {"display": "summarized"}),
        ({"reasoning": {"generate_summary": "concise"}}, {"display": "summarized"}),
        ({"reasoning": {"summary": "none"}}, {}),
        ({"reasoning": {"exclude": True, "summary": "auto"}}, {"display": "omitted"}),
        ({"reasoning": {"enabled": False}}, {"enabled": False}),
        ({"reasoning_effort": None, "reasoning": None}, {}),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_said_of_thinking(fields: dict, thinking_request: dict) -> None:
    translation = chat(U("a"), **fields)
    assert translation.thinking_request == ThinkingRequest(**thinking_request)
    assert translation.request == BARE
    finished(translation)


def test_thinking_that_is_excluded_is_not_shown() -> None:
    assert chat(U("a"), reasoning={"exclude": True}).reply.reasoning_fields == ()
    assert chat(U("a"), reasoning={"summary": "auto"}).reply.reasoning_fields == (
        "reasoning_content",
    )


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "effort", [None, "none", "minimal", "low", "medium", "high", "xhigh", "max"]
)
def test_every_model_takes_every_effort(model: str, effort: str | None) -> None:
    fields = {
        "temperature": 0.3,
        "top_p": 0.8,
        "top_k": 3,
        "max_tokens": 5,
        "reasoning_effort": effort,
    }
    finished(chat(U("a"), model=model, **fields))


@pytest.mark.parametrize(
    ("fields", "given"),
    [({}, False), ({"max_tokens": 5}, True), ({"max_output_tokens": 5}, True)],
    ids=["silent", "chat", "responses"],
)
def test_whether_the_client_named_a_limit(fields: dict, given: bool) -> None:
    assert chat(U("a"), **fields).max_tokens_given is given


CACHE = {
    "nothing": ({}, None),
    "24-hours": ({"prompt_cache_retention": "24h"}, "1h"),
    "in-memory": ({"prompt_cache_retention": "in_memory"}, None),
    "12-hours": ({"prompt_cache_options": {"mode": "implicit", "ttl": "12h"}}, "1h"),
    "30-minutes": ({"prompt_cache_options": {"mode": "explicit", "ttl": "30m"}}, None),
}


@pytest.mark.parametrize(("fields", "ttl"), CACHE.values(), ids=CACHE)
def test_how_long_the_cache_is_wanted(fields: dict, ttl: str | None) -> None:
    translation = chat(U("a"), **fields)
    assert (translation.cache_ttl, translation.ignored) == (ttl, [])


def test_fast_if_configured() -> None:
    body = {"messages": [U("a")], "service_tier": "fast"}
    fast = next(m.id for m in CATALOGUE.models.values() if m.fast)
    slow = next(m.id for m in CATALOGUE.models.values() if not m.fast)
    assert translated(body, fast, fast=True).request["speed"] == "fast"
    assert (
        translated(body | {"service_tier": None, "speed": "fast"}, fast, fast=True).request["speed"]
        == "fast"
    )
    assert "speed" not in translated(body, slow, fast=True).request
    assert "speed" not in translated(body, fast).request


WEB_SEARCH = {
    "search_context_size": "low",
    "user_location": {"type": "approximate", "approximate": {"city": "Oslo", "country": "NO"}},
}


def test_web_search_is_off_by_default() -> None:
    translation = chat(U("a"), web_search_options=WEB_SEARCH)
    assert (translation.request, translation.ignored) == (BARE, ["web_search_options"])


def test_betas_follow_from_the_body() -> None:
    assert chat(U("a"), context_management={"edits": []}).betas == {"context-management-2025-06-27"}
    assert chat(U("a")).betas == set()
    tools = [
        {"type": "computer_20251124", "name": "computer"},
        {"type": "computer_toolset_20260801"},
    ]
    assert chat(U("a"), tools=tools).betas == {"computer-use-2025-11-24"}
    call = {"type": "mcp_tool_use", "id": "m1", "name": "n", "server_name": "s", "input": {}}
    result = {"type": "mcp_tool_result", "tool_use_id": "m1", "content": []}
    asked = chat(U("a"), A([call, result, text("b")]), U("c"), mcp_servers=[{"name": "s"}])
    assert asked.betas == {"mcp-client-2025-11-20"}
    assert asked.request["messages"][1] == assistant(call, result, "b")
    assert asked.request["mcp_servers"] == [{"name": "s"}]


@pytest.mark.parametrize("tier", ["fast", "priority", "ultrafast"])
def test_tiers_that_ask_for_speed(tier: str) -> None:
    """`fast` and `priority` are the same at OpenAI."""
    body = {"model": "claude-opus-5", "messages": [U("a")], "service_tier": tier}
    assert translated(body, "claude-opus-5", fast=True).request["speed"] == "fast"
    assert translated(body, "claude-opus-5").ignored == ["service_tier"]


def test_where_data_is_processed_is_passed_on() -> None:
    assert chat(U("a"), inference_geo="us").request["inference_geo"] == "us"


def test_a_strict_schema_that_falls_back_to_words_is_named() -> None:
    opened = {"type": "object", "additionalProperties": True}
    for strict, names in ((True, ["format.json_schema.strict"]), (False, [])):
        form = {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": opened, "strict": strict},
        }
        assert chat(U("a"), response_format=form).ignored == names


REPLIES: dict[str, tuple[dict, dict]] = {
    "the-name-as-asked": (
        {"model": "ak-claude-opus-4.8-high"},
        {"model": "ak-claude-opus-4.8-high"},
    ),
    "no-name": ({}, {"model": OPUS}),
    "stream": ({"stream": True}, {"stream": True}),
    "no-stream": ({}, {"stream": False}),
    "usage": ({"stream_options": {"include_usage": True}}, {"include_usage": True}),
    "no-usage": ({"stream_options": {"include_obfuscation": True}}, {"include_usage": False}),
    "chat-repeats-nothing": ({"user": "u"}, {"echo": {}}),
}


@pytest.mark.parametrize(("fields", "expected"), REPLIES.values(), ids=REPLIES)
def test_reply(fields: dict, expected: dict) -> None:
    reply = translated({"messages": [U("a")], **fields}).reply
    assert {name: getattr(reply, name) for name in expected} == expected


def test_a_prefill_stays_with_sampling() -> None:
    finished(chat(U("a"), A("b"), model=S45, temperature=0.2))


def test_responses_read_the_same_options() -> None:
    assert responses("a", temperature=1.7, max_output_tokens=9, model=S45).request == {
        **BARE,
        "model": S45,
        "temperature": 1,
        "max_tokens": 9,
    }
