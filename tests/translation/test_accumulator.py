from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from hypothesis import given
from hypothesis import strategies as st

from addon.core.errors import BadGateway
from addon.translation.accumulator import MessageAccumulator
from tests.translation.strategies import messages
from tests.translation.upstream import JsonObject, events, message, text, thinking, tool


def folded(stream: list[JsonObject]) -> JsonObject:
    accumulator = MessageAccumulator()
    for event in stream:
        accumulator.add(event)
    return accumulator.message


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value


@given(messages(), st.integers(1, 20))
def test_equals_the_anthropic_sdk(whole: JsonObject, piece: int) -> None:
    stream = events(whole, piece)
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in stream:
        if event["type"] != "ping":  # the SDK takes it out before
            snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)  # type: ignore[arg-type]
    assert without_nulls(folded(stream)) == without_nulls(snapshot.to_dict())


@given(messages(), st.integers(1, 20))
def test_gives_back_the_message_the_stream_describes(whole: JsonObject, piece: int) -> None:
    assert folded(events(whole, piece)) == whole


def test_null_counts_do_not_replace_known_ones() -> None:
    stream = events(message(text("a")))
    stream[-2]["usage"] = {
        "input_tokens": None,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 4},
    }
    usage = folded(stream)["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (10, 9)
    assert usage["output_tokens_details"] == {"thinking_tokens": 4}


def test_unknown_blocks_deltas_and_fields_are_kept() -> None:
    stream = events(message({"type": "compaction", "content": None, "x": 1}, note="hello"))
    stream.insert(
        3,
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "compaction_delta", "content": "sum"},
        },
    )
    stream[-2]["context_management"] = {"applied_edits": []}
    whole = folded(stream)
    assert whole["content"] == [{"type": "compaction", "content": "sum", "x": 1}]
    assert (whole["note"], whole["context_management"]) == ("hello", {"applied_edits": []})


def test_thinking_and_signature_are_kept_to_the_byte() -> None:
    blocks = [
        thinking("hm\u2028", "sig+/="),
        {"type": "redacted_thinking", "data": "AAA="},
        text("a"),
    ]
    assert folded(events(message(*blocks), piece=1))["content"] == blocks


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('{"a": 1, "b": [1, 2], "c": {"d": "x"', {"a": 1, "b": [1, 2], "c": {}}),
        ('{"a": "}],{", "b": "cut \\', {"a": "}],{"}),
        ('{"a": [{"b": 1}, {"c": tr', {"a": [{"b": 1}, {}]}),
        ('{"a', {}),
        ('{"a": 1', {}),
        ("nonsense", "nonsense"),
    ],
)
def test_a_cut_tool_input_is_given_up_to_its_last_complete_member(written: str, read: Any) -> None:
    stream = events(message(tool("t", "f", {"x": 1})), piece=99)
    stream[3]["delta"]["partial_json"] = written
    assert folded(stream)["content"][0]["input"] == read


@given(st.text(max_size=200), st.integers(0, 200))
def test_any_prefix_of_json_is_read(value: str, cut: int) -> None:
    stream = events(message(tool("t", "f", {"x": 1})), piece=999)
    stream[3]["delta"]["partial_json"] = json.dumps({"a": [value, {"b": value}]})[: cut + 1]
    assert isinstance(folded(stream)["content"][0]["input"], dict)


@pytest.mark.parametrize(
    "delta",
    [
        {"type": "text_delta"},
        {"type": "input_json_delta", "partial_json": 1},
        {"type": "citations_delta"},
    ],
    ids=str,
)
def test_a_delta_without_its_content_is_refused(delta: JsonObject) -> None:
    accumulator = MessageAccumulator()
    for event in events(message(text("a")))[:3]:
        accumulator.add(event)
    with pytest.raises(BadGateway):
        accumulator.add({"type": "content_block_delta", "index": 0, "delta": delta})


def test_a_delta_of_a_block_that_never_started_is_refused() -> None:
    with pytest.raises(BadGateway, match="never started"):
        MessageAccumulator().add(
            {
                "type": "content_block_delta",
                "index": 3,
                "delta": {"type": "text_delta", "text": "a"},
            }
        )


def test_a_delta_of_another_kind_of_block_is_left_out_as_in_the_sdk() -> None:
    stream = events(message(text("ab")))
    stream.insert(
        4,
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": "{"},
        },
    )
    assert folded(stream)["content"] == [text("ab")]


def test_a_second_message_start_is_another_response() -> None:
    stream = events(message(text("a")))
    with pytest.raises(BadGateway, match="second message_start"):
        folded([*stream, stream[0]])


def test_before_the_start_there_is_nothing() -> None:
    assert (MessageAccumulator().message, MessageAccumulator().usage) == ({}, {})
