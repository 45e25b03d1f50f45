from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from addon.translation.from_anthropic.chat import chat_completion
from addon.translation.from_anthropic.code_fence import strip_fence
from addon.translation.types import Reply, ToolReply
from tests.translation.upstream import JsonObject, message, text, thinking, tool, web_citation


def completion(whole: JsonObject, **reply: Any) -> JsonObject:
    answer = chat_completion(whole, Reply(model="asked-for", **reply), 1_700_000_000)
    ChatCompletion.model_validate(answer, strict=True)
    return answer


def said(*content: JsonObject, reply: JsonObject | None = None, **more: Any) -> JsonObject:
    answer: JsonObject = completion(message(*content, **more), **(reply or {}))["choices"][0][
        "message"
    ]
    return answer


def test_the_frame_of_an_answer() -> None:
    answer = completion(message(text("a")))
    assert {key: answer[key] for key in ("id", "object", "created", "model")} == {
        "id": "chatcmpl-01abc", "object": "chat.completion", "created": 1_700_000_000, "model": "asked-for",
    }  # fmt: skip
    assert answer["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": "a", "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }


def test_texts_are_joined() -> None:
    assert said(text("a"), text("b"))["content"] == "ab"


def test_only_a_call() -> None:
    answer = completion(message(tool("t", "f", {"a": 1}), stop_reason="tool_use"))["choices"][0]
    assert answer["message"]["content"] is None
    assert answer["message"]["tool_calls"] == [
        {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    ]
    assert answer["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("value", "arguments"),
    [
        pytest.param({}, "{}", id="empty"),
        pytest.param({"z": "é😀", "a": [1]}, '{"z":"é😀","a":[1]}', id="utf-8-in-its-order"),
        pytest.param(None, "{}", id="null"),
    ],
)
def test_arguments(value: Any, arguments: str) -> None:
    assert said(tool("t", "f", value))["tool_calls"][0]["function"]["arguments"] == arguments


def test_no_content() -> None:
    assert said()["content"] == ""


def test_thinking_is_apart_and_redacted_thinking_invisible() -> None:
    answer = said(
        thinking("one"), {"type": "redacted_thinking", "data": "x"}, thinking("two"), text("a")
    )
    assert (answer["content"], answer["reasoning_content"]) == ("a", "one\n\ntwo")
    assert "reasoning_content" not in said(thinking(""), text("a"))


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason", "with_call"),
    [
        ("end_turn", "stop", "tool_calls"),
        ("stop_sequence", "stop", "tool_calls"),
        ("tool_use", "stop", "tool_calls"),
        ("max_tokens", "length", "length"),
        ("model_context_window_exceeded", "length", "length"),
        ("pause_turn", "stop", "tool_calls"),
        ("refusal", "content_filter", "content_filter"),
        ("compaction", "stop", "tool_calls"),
        ("new_reason", "stop", "tool_calls"),
        (None, "stop", "tool_calls"),
    ],
)
def test_finish_reasons(stop_reason: str | None, finish_reason: str, with_call: str) -> None:
    plain = completion(message(text("a"), stop_reason=stop_reason))
    called = completion(message(tool("t", "f", {}), stop_reason=stop_reason))
    assert plain["choices"][0]["finish_reason"] == finish_reason
    assert called["choices"][0]["finish_reason"] == with_call


def test_a_refusal_tells_why() -> None:
    answer = said(
        stop_reason="refusal", stop_details={"type": "refusal", "explanation": "Too risky."}
    )
    assert (answer["refusal"], answer["content"]) == ("Too risky.", "Too risky.")
    partial = said(text("So"), stop_reason="refusal")
    assert (partial["refusal"], partial["content"]) == ("The model declined to answer.", "So")


def test_usage() -> None:
    usage = {
        "input_tokens": 10, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 100, "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 3}, "service_tier": "batch",
    }  # fmt: skip
    answer = completion(message(text("a"), usage=usage))
    assert answer["usage"] == {
        "prompt_tokens": 115,
        "completion_tokens": 7,
        "total_tokens": 122,
        "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    assert answer["service_tier"] == "flex"


def test_null_counts_are_zero() -> None:
    usage = {
        "input_tokens": 1,
        "cache_read_input_tokens": None,
        "output_tokens": 2,
        "output_tokens_details": None,
    }
    told = completion(message(text("a"), usage=usage))["usage"]
    assert (told["prompt_tokens"], told["total_tokens"]) == (1, 3)
    assert told["completion_tokens_details"] == {"reasoning_tokens": 0}


def test_web_search_becomes_annotations() -> None:
    page = {"type": "char_location", "document_title": "d"}
    answer = said(
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        text("😀"),
        text("it is", citations=[web_citation("https://a.example", "A"), page]),
    )
    assert "tool_calls" not in answer
    place = {"start_index": 1, "end_index": 6, "title": "A", "url": "https://a.example"}
    assert answer["annotations"] == [{"type": "url_citation", "url_citation": place}]


def test_only_client_calls() -> None:
    server = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    assert [
        call["id"]
        for call in said(tool("t", "f", {}), server, stop_reason="tool_use")["tool_calls"]
    ] == ["t"]


def test_tools_go_back_under_the_client_s_names_and_unwrapped() -> None:
    tools = {
        "f": ToolReply(name="f with spaces"),
        "patch": ToolReply(name="ApplyPatch", custom=True),
        "many": ToolReply(name="many", wrapped=True),
    }
    content = [
        tool("t1", "f", {"a": 1}),
        tool("t2", "patch", {"input": "*** é"}),
        tool("t3", "many", {"input": [1]}),
    ]
    assert said(*content, reply={"tools": tools})["tool_calls"] == [
        {
            "id": "t1",
            "type": "function",
            "function": {"name": "f with spaces", "arguments": '{"a":1}'},
        },
        {"id": "t2", "type": "custom", "custom": {"name": "ApplyPatch", "input": "*** é"}},
        {"id": "t3", "type": "function", "function": {"name": "many", "arguments": "[1]"}},
    ]


def test_legacy_functions() -> None:
    answer = completion(message(tool("t", "f", {"a": 1})), legacy_functions=True)["choices"][0]
    assert answer["message"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert answer["finish_reason"] == "function_call"
    assert "tool_calls" not in answer["message"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ('\n```\n{"a": "```"}\n```\n', '{"a": "```"}'),
        ('{"a": 1}', '{"a": 1}'),
        ("see ```json\n{}\n```", "see ```json\n{}\n```"),
    ],
    ids=["json-fence", "bare-fence", "none", "text-before"],
)
def test_one_fence_around_a_json_object_is_taken_off(given: str, expected: str) -> None:
    assert strip_fence(given) == expected
    assert said(text(given), reply={"json_object": True})["content"] == expected
    assert said(text(given))["content"] == given
