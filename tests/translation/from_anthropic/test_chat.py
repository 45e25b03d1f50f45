from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.core.errors import BadGateway, CCProxyError
from addon.translation.from_anthropic.chat import ChatStream, chat_completion
from addon.translation.message_stream import MessageStream
from addon.translation.types import Reply, ToolReply
from tests.cpu import cpu_below
from tests.translation.client import assembled_chat, chat_chunks, deltas, read_sse
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


def rendered(wire: bytes, reply: Reply = REPLY) -> bytes:
    stream, renderer = MessageStream(), ChatStream(reply, 1_700_000_000)
    return advance(stream, renderer, wire) + conclude(stream, renderer)


def calls_of(found: list[JsonObject]) -> list[JsonObject]:
    return [call for delta in found for call in delta.get("tool_calls", ())]


def joined(found: list[JsonObject], field: str) -> str:
    return "".join(delta[field] for delta in found if field in delta)


def comparable(answer: JsonObject) -> Any:
    """A chat answer without what legitimately differs between a stream and a whole: the spelling of JSON arguments,
    and null for text that is not there."""
    (choice,) = answer["choices"]
    said = choice["message"]
    calls = [
        (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"]))
        for c in said.get("tool_calls") or ()
    ]
    cited = [a["url_citation"] for a in said.get("annotations") or ()]
    reasoning = said.get("reasoning_content") or ""
    return (
        said["role"], said["content"] or "", said.get("refusal"), reasoning, calls, cited,
        choice["finish_reason"], answer["usage"]["total_tokens"], answer["id"], answer["model"],
    )  # fmt: skip


@given(messages(), st.integers(1, 20))
def test_the_openai_sdk_puts_together_what_the_whole_answer_says(
    whole: JsonObject, piece: int
) -> None:
    reply = Reply(model="m", stream=True, include_usage=True)
    streamed = assembled_chat(rendered(stream_of(whole, piece), reply))
    assert comparable(streamed) == comparable(chat_completion(whole, reply, 1))


def test_a_transcript_of_text() -> None:
    wire = stream_of(message(text("hello world")))
    chunks = chat_chunks(rendered(wire, Reply(model="m", include_usage=True)))
    assert [c["choices"][0]["delta"] for c in chunks[:-1]] == [
        {"role": "assistant", "content": ""}, {"content": "hello"}, {"content": " worl"}, {"content": "d"}, {},
    ]  # fmt: skip
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["prompt_tokens"] == 115
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert not any("usage" in chunk for chunk in chat_chunks(rendered(wire)))


def test_calls_are_numbered_among_themselves() -> None:
    whole = message(
        thinking("hm"),
        text("a"),
        tool("t1", "f", {"x": 1}),
        text("b"),
        tool("t2", "g", {"y": 2}),
        stop_reason="tool_use",
    )
    found = calls_of(deltas(rendered(stream_of(whole))))
    assert {call["index"] for call in found} == {0, 1}
    heads = [call for call in found if "id" in call]
    assert [(h["index"], h["id"], h["type"], h["function"]) for h in heads] == [
        (0, "t1", "function", {"name": "f", "arguments": ""}),
        (1, "t2", "function", {"name": "g", "arguments": ""}),
    ]


@pytest.mark.parametrize(
    ("pieces", "arguments"),
    [
        pytest.param([], ["{}"], id="no-piece"),
        pytest.param([""], ["{}"], id="empty-pieces-only"),
        pytest.param(["", '{"a"', ":1}"], ['{"a"', ":1}"], id="empty-piece-first"),
        pytest.param(['{"a": "cu'], ['{"a": "cu'], id="cut"),
    ],
)
def test_arguments_are_the_pieces_that_came(pieces: list[str], arguments: list[str]) -> None:
    stream = events(message(tool("t", "f", {}), stop_reason="max_tokens"))
    stream[3:3] = [
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": piece},
        }
        for piece in pieces
    ]
    wire = rendered(sse(*stream))
    found = [call["function"]["arguments"] for call in calls_of(deltas(wire))]
    assert found == ["", *arguments]
    assert chat_chunks(wire)[-1]["choices"][0]["finish_reason"] == "length"


def test_an_input_given_at_the_start_of_a_block_is_the_arguments_when_no_piece_comes() -> None:
    start = {"type": "content_block_start", "index": 0, "content_block": tool("t", "f", {"a": "é"})}
    stream = events(message(tool("t", "f", {})))
    found = calls_of(deltas(rendered(sse(*stream[:2], start, *stream[3:]))))
    assert [call["function"]["arguments"] for call in found] == ["", '{"a":"é"}']


@pytest.mark.thorough
def test_a_megabyte_of_arguments_in_small_pieces_takes_linear_time() -> None:
    start, ping, opened, piece, *end = events(
        message(tool("t", "f", {"a": 1}), stop_reason="tool_use"), piece=99
    )
    head, middle, tail = (
        sse({**piece, "delta": {"type": "input_json_delta", "partial_json": part}})
        for part in ('{"text": "', "xxxx", '"}')
    )
    wire = sse(start, ping, opened) + head + middle * 250_000 + tail + sse(*end)
    with cpu_below():
        out = rendered(wire)
    sent = b"".join(re.findall(rb'"function":{"arguments":"((?:[^"\\]|\\.)*)"', out))
    assert json.loads(json.loads(b'"%b"' % sent)) == {"text": "x" * 1_000_000}


def test_what_is_unknown_is_not_shown() -> None:
    plain = events(message(text("hello")))
    odd = [
        *plain[:4],
        {"type": "vortex"},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "sparkle_delta", "sparkle": "*"},
        },
        {"type": "content_block_stop", "index": 0},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "sparkles", "text": "*"},
        },
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "*"}},
        {"type": "content_block_stop", "index": 1},
        *plain[5:],
    ]
    assert rendered(sse(*odd)) == rendered(sse(*plain))


def test_input_of_server_tools_never_reaches_client_calls() -> None:
    server = {
        "type": "server_tool_use",
        "id": "s",
        "name": "web_search",
        "input": {"query": "secret"},
    }
    out = rendered(
        stream_of(message(server, tool("t", "f", {"a": 1}), server, stop_reason="tool_use"))
    )
    assert b"query" not in out
    assert {call["index"] for call in calls_of(deltas(out))} == {0}


def test_signatures_and_empty_or_redacted_thinking_are_not_shown() -> None:
    whole = message(
        thinking("", "SIGNATURE"), {"type": "redacted_thinking", "data": "REDACTED"}, text("a")
    )
    stream = events(whole)
    stream.insert(
        3,
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "thinking_delta", "thinking": ""},
        },
    )
    assert deltas(rendered(sse(*stream))) == [
        {"role": "assistant", "content": ""},
        {"content": "a"},
        {},
    ]


def test_a_blank_line_parts_two_thoughts() -> None:
    whole = message(thinking("one"), thinking(""), text("a"), thinking("two"), text("b"))
    assert joined(deltas(rendered(stream_of(whole))), "reasoning_content") == "one\n\ntwo"


@pytest.mark.parametrize(
    "fields", [(), ("reasoning",), ("reasoning_content", "reasoning")], ids=str
)
def test_thinking_goes_into_the_fields_asked_for(fields: tuple[str, ...]) -> None:
    found = deltas(
        rendered(
            stream_of(message(thinking("hm"), text("a"))), Reply(model="m", reasoning_fields=fields)
        )
    )
    assert {key for delta in found for key in delta} == {"role", "content", *fields}
    assert all(joined(found, field) == "hm" for field in fields)


def test_a_refusal_after_text() -> None:
    whole = message(
        text("Sure, "),
        stop_reason="refusal",
        stop_details={"type": "refusal", "explanation": "No."},
    )
    out = rendered(stream_of(whole))
    assert deltas(out)[-2:] == [{"refusal": "No."}, {}]
    assert joined(deltas(out), "content") == "Sure, "
    assert chat_chunks(out)[-1]["choices"][0]["finish_reason"] == "content_filter"


def test_a_refusal_without_text_is_also_the_content_since_cursor_shows_nothing_else() -> None:
    out = rendered(stream_of(message(stop_reason="refusal")))
    assert deltas(out)[1] == {
        "content": "The model declined to answer.",
        "refusal": "The model declined to answer.",
    }


def test_citations_follow_their_text_and_count_code_points() -> None:
    whole = message(text("😀 "), text("cited", citations=[web_citation("https://a.example", "A")]))
    (cited,) = [
        delta["annotations"]
        for delta in deltas(rendered(stream_of(whole)))
        if "annotations" in delta
    ]
    place = {"start_index": 2, "end_index": 7, "title": "A", "url": "https://a.example"}
    assert cited == [{"index": 0, "type": "url_citation", "url_citation": place}]


def test_custom_and_wrapped_tools_are_unwrapped_when_their_input_is_whole() -> None:
    reply = Reply(
        model="m",
        tools={
            "patch": ToolReply(name="ApplyPatch", custom=True),
            "many": ToolReply(name="many items", wrapped=True),
        },
    )
    whole = message(
        tool("t1", "patch", {"input": "*** é\n"}),
        tool("t2", "many", {"input": [1, 2]}),
        stop_reason="tool_use",
    )
    found = calls_of(deltas(rendered(stream_of(whole), reply)))
    assert [(c.get("type"), c["function"].get("name"), c["function"]["arguments"]) for c in found] == [
        ("function", "ApplyPatch", ""), (None, None, "*** é\n"), ("function", "many items", ""), (None, None, "[1,2]"),
    ]  # fmt: skip


def test_a_request_with_functions_gets_one_function_call() -> None:
    whole = message(tool("t1", "f", {"a": 1}), tool("t2", "g", {"b": 2}), stop_reason="tool_use")
    out = rendered(stream_of(whole), Reply(model="m", legacy_functions=True))
    found = [delta["function_call"] for delta in deltas(out) if "function_call" in delta]
    assert found[0] == {"name": "f", "arguments": ""}
    assert json.loads(joined(found, "arguments")) == {"a": 1}
    assert chat_chunks(out)[-1]["choices"][0]["finish_reason"] == "function_call"


def test_an_error_after_text_is_one_chunk_that_the_sdk_raises_and_no_end() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    out = rendered(sse(*events(message(text("hello")))[:4], error))
    *before, (_, last) = read_sse(out)
    assert json.loads(last) == {
        "error": {
            "message": "Overloaded",
            "type": "server_error",
            "param": None,
            "code": "overloaded",
        }
    }
    assert all('"finish_reason":null' in data for _, data in before)
    assert b"[DONE]" not in out


def test_a_stream_ends_once() -> None:
    ended = ChatStream(REPLY, 1)
    assert ended.finish()
    assert (ended.finish(), ended.fail(BadGateway("x")), ended.render([])) == (b"", b"", b"")
    failed = ChatStream(REPLY, 1)
    assert len(read_sse(failed.fail(CCProxyError("x")))) == 1
    assert (failed.fail(CCProxyError("x")), failed.finish()) == (b"", b"")


def test_an_answer_without_any_event_still_has_a_role_and_an_end() -> None:
    assert deltas(ChatStream(REPLY, 1).finish()) == [{"role": "assistant", "content": ""}, {}]


def test_the_keepalive_and_comments_are_no_events() -> None:
    renderer = ChatStream(REPLY, 1)
    assert read_sse(renderer.keepalive + renderer.comment("source=api_key\n\ndata: {}")) == []


def test_the_service_tier_is_told_in_openai_s_words() -> None:
    whole = message(text("a"))
    whole["usage"]["service_tier"] = "standard"
    assert {chunk["service_tier"] for chunk in chat_chunks(rendered(stream_of(whole)))} == {
        "default"
    }
