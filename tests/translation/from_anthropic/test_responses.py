from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response

from addon.core.errors import BadGateway, RateLimited
from addon.translation.from_anthropic.responses import ResponsesStream, responses_object
from addon.translation.message_stream import MessageStream
from addon.translation.types import Reply, ToolReply
from tests.translation.client import assembled_response, read_sse, response_events
from tests.translation.pipeline import advance, conclude
from tests.translation.strategies import messages
from tests.translation.upstream import (
    JsonObject,
    events,
    message,
    sse,
    stream_of,
    text,
    thinking,
    tool,
    web_citation,
)

REPLY = Reply(model="gpt-claude", stream=True)
SERVER = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "secret"}}


def rendered(wire: bytes, reply: Reply = REPLY) -> bytes:
    stream, renderer = MessageStream(), ResponsesStream(reply, 1_700_000_000)
    return advance(stream, renderer, wire) + conclude(stream, renderer)


def types(stream: bytes) -> list[str]:
    return [event["type"].removeprefix("response.") for event in response_events(stream)]


def final(stream: bytes) -> JsonObject:
    response: JsonObject = response_events(stream)[-1]["response"]
    return response


def with_parsed_arguments(response: JsonObject) -> JsonObject:
    """The spelling of JSON arguments may differ between a stream and a whole; their value may not."""
    output = [
        {**item, "arguments": json.loads(item["arguments"])} if "arguments" in item else item
        for item in response["output"]
    ]
    return {**response, "output": output}


def decoded(item: JsonObject) -> Any:
    return json.loads(base64.b64decode(item["encrypted_content"].removeprefix("ccp1:")))


@given(messages(), st.integers(1, 20))
def test_the_stream_says_what_the_whole_answer_says(whole: JsonObject, piece: int) -> None:
    answer = responses_object(whole, REPLY, 1_700_000_000)
    Response.model_validate(answer, strict=True)
    assert with_parsed_arguments(final(rendered(stream_of(whole, piece)))) == with_parsed_arguments(
        answer
    )


@given(messages(), st.integers(1, 20))
def test_the_openai_sdk_puts_the_deltas_together_to_the_final_items(
    whole: JsonObject, piece: int
) -> None:
    out = rendered(stream_of(whole, piece))
    from_deltas = [said(item) for item in assembled_response(out)["output"]]
    assert from_deltas == [said(item) for item in final(out)["output"]]


def said(item: JsonObject) -> Any:
    """What the SDK's helper takes from deltas: text and arguments."""
    match item["type"]:
        case "message":
            return [part["text"] for part in item["content"] if part["type"] == "output_text"]
        case "function_call":
            return (item["name"], item["call_id"], item["arguments"])
    return item["type"]


@given(messages())
def test_items_and_parts_open_and_close_once_and_in_order(whole: JsonObject) -> None:
    open_items: list[int] = []
    closed: list[JsonObject] = []
    for event in response_events(rendered(stream_of(whole))):
        match event["type"]:
            case "response.output_item.added":
                assert event["output_index"] == len(closed)
                assert not open_items
                open_items.append(event["output_index"])
            case "response.output_item.done":
                assert [event["output_index"]] == open_items
                closed.append(event["item"])
                open_items.clear()
            case _:
                assert event.get("output_index") in (*open_items, None)
    assert not open_items
    assert final(rendered(stream_of(whole)))["output"] == closed
    assert len({item["id"] for item in closed}) == len(closed)


def test_the_events_of_text() -> None:
    out = rendered(stream_of(message(text("hello!"))))
    assert types(out) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    part = {"type": "output_text", "text": "hello!", "annotations": [], "logprobs": []}
    assert final(out)["output"] == [
        {
            "id": "msg_01abc_0",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [part],
        }
    ]


def test_the_response_object_repeats_the_request_and_names_its_own() -> None:
    reply = Reply(
        model="asked-for",
        echo={"instructions": "Be kind", "tool_choice": "required", "id": "forged"},
    )
    created, *_, completed = response_events(rendered(stream_of(message(text("a"))), reply))
    assert created["response"]["status"] == "in_progress"
    assert created["response"]["usage"] is None
    expected = {
        "id": "resp_01abc", "object": "response", "created_at": 1_700_000_000, "model": "asked-for",
        "status": "completed", "instructions": "Be kind", "tool_choice": "required", "tools": [],
    }  # fmt: skip
    assert expected.items() <= completed["response"].items()
    assert completed["response"]["usage"] == {
        "input_tokens": 115,
        "input_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 5},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 122,
    }


def test_thinking_is_a_reasoning_item_with_all_that_anthropic_wants_back() -> None:
    blocks = [
        thinking("one", "sig1"),
        {"type": "redacted_thinking", "data": "AAA="},
        thinking("two", "sig2"),
    ]
    out = rendered(stream_of(message(*blocks, text("a"))))
    reasoning, answer = final(out)["output"]
    assert reasoning["summary"] == [
        {"type": "summary_text", "text": "one"},
        {"type": "summary_text", "text": "two"},
    ]
    assert decoded(reasoning) == blocks
    assert answer["type"] == "message"
    assert (
        types(out).count("reasoning_summary_part.added")
        == types(out).count("reasoning_summary_part.done")
        == 2
    )


@pytest.mark.parametrize(
    ("block", "reply"),
    [
        pytest.param(thinking("", "sig"), REPLY, id="omitted-by-upstream"),
        pytest.param({"type": "redacted_thinking", "data": "AAA="}, REPLY, id="redacted"),
        pytest.param(thinking("hm", "sig"), Reply(model="m", reasoning_fields=()), id="not-wanted"),
    ],
)
def test_thinking_that_is_not_shown_is_still_given_back(block: JsonObject, reply: Reply) -> None:
    out = rendered(stream_of(message(block, text("a"))), reply)
    assert final(out)["output"][0]["summary"] == []
    assert decoded(final(out)["output"][0]) == [block]
    assert not [kind for kind in types(out) if "reasoning" in kind]


def test_the_events_of_a_call() -> None:
    out = rendered(
        stream_of(
            message(tool("t", "f", {"a": 1}), tool("u", "g", {}), stop_reason="tool_use"), piece=99
        )
    )
    call = [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    assert types(out) == ["created", "in_progress", *call, *call, "completed"]
    first, second = final(out)["output"]
    assert first == {
        "id": "fc_01abc_0", "type": "function_call", "status": "completed", "call_id": "t", "name": "f",
        "arguments": '{"a": 1}',
    }  # fmt: skip
    assert second["arguments"] == "{}"


def test_custom_and_wrapped_tools_and_namespaces() -> None:
    reply = Reply(
        model="m",
        tools={
            "patch": ToolReply(name="apply_patch", custom=True),
            "many": ToolReply(name="many items", wrapped=True, namespace="crm"),
        },
    )
    whole = message(tool("t1", "patch", {"input": "*** é\n"}), tool("t2", "many", {"input": [1]}))
    out = rendered(stream_of(whole), reply)
    custom, wrapped = final(out)["output"]
    assert (custom["type"], custom["name"], custom["input"]) == (
        "custom_tool_call",
        "apply_patch",
        "*** é\n",
    )
    assert (wrapped["name"], wrapped["namespace"], wrapped["arguments"]) == (
        "many items",
        "crm",
        "[1]",
    )
    assert {"custom_tool_call_input.delta", "custom_tool_call_input.done"} <= set(types(out))


def test_server_tools_leave_no_trace_and_do_not_part_the_text() -> None:
    out = rendered(
        stream_of(message(text("a"), SERVER, text("b"), tool("t", "f", {"x": 1}), SERVER))
    )
    assert b"secret" not in out
    assert [item["type"] for item in final(out)["output"]] == ["message", "function_call"]
    assert final(out)["output"][0]["content"][0]["text"] == "ab"


def test_citations() -> None:
    whole = message(text("😀 "), text("cited", citations=[web_citation("https://a.example", "A")]))
    out = rendered(stream_of(whole))
    annotation = {
        "type": "url_citation",
        "start_index": 2,
        "end_index": 7,
        "title": "A",
        "url": "https://a.example",
    }
    assert final(out)["output"][0]["content"][0]["annotations"] == [annotation]
    assert types(out).count("output_text.annotation.added") == 1


@pytest.mark.parametrize(
    ("stop_reason", "reason"),
    [
        ("max_tokens", "max_output_tokens"),
        ("model_context_window_exceeded", "max_output_tokens"),
        ("refusal", "content_filter"),
    ],
)
def test_an_incomplete_answer_says_so(stop_reason: str, reason: str) -> None:
    out = rendered(stream_of(message(text("a"), tool("t", "f", {"a": 1}), stop_reason=stop_reason)))
    assert types(out)[-1] == "incomplete"
    assert final(out)["incomplete_details"] == {"reason": reason}
    assert final(out)["output"][0]["status"] == "completed"
    assert final(out)["output"][-1]["status"] == "incomplete"


def test_cut_arguments_are_sent_as_they_are() -> None:
    stream = events(message(tool("t", "f", {"a": 1}), stop_reason="max_tokens"), piece=99)
    stream[3]["delta"]["partial_json"] = '{"a": "cu'
    assert final(rendered(sse(*stream)))["output"][0]["arguments"] == '{"a": "cu'


def test_a_refusal_follows_the_text() -> None:
    whole = message(
        text("Sure"), stop_reason="refusal", stop_details={"type": "refusal", "explanation": "No."}
    )
    out = rendered(stream_of(whole))
    assert [part["type"] for part in final(out)["output"][0]["content"]] == [
        "output_text",
        "refusal",
    ]
    assert types(out)[-7:] == [
        "refusal.delta", "refusal.done", "content_part.done", "output_text.done", "content_part.done",
        "output_item.done", "incomplete",
    ]  # fmt: skip


def test_a_refusal_without_text_has_an_item_of_its_own() -> None:
    (item,) = final(rendered(stream_of(message(SERVER, stop_reason="refusal"))))["output"]
    assert item["content"] == [{"type": "refusal", "refusal": "The model declined to answer."}]


def test_a_failure_is_one_event_with_what_was_said_before() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    out = rendered(sse(*events(message(text("hello"), text("world")))[:4], error))
    assert types(out)[-1] == "failed"
    failed = final(out)
    assert failed["status"] == "failed"
    assert failed["error"] == {
        "message": "Overloaded",
        "type": "server_error",
        "param": None,
        "code": "overloaded",
    }
    assert "completed" not in types(out)


def test_a_failure_before_the_start_is_that_of_a_response_that_was_created() -> None:
    renderer = ResponsesStream(REPLY, 1)
    out = renderer.fail(RateLimited("Wait."))
    assert types(out) == ["created", "in_progress", "failed"]
    assert final(out)["error"]["code"] == "rate_limit_exceeded"
    assert (renderer.fail(BadGateway("x")), renderer.finish(), renderer.render([])) == (
        b"",
        b"",
        b"",
    )


def test_the_keepalive_is_a_comment() -> None:
    assert read_sse(ResponsesStream(REPLY, 1).keepalive) == []
