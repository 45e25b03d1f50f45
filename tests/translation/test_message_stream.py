from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.core.errors import BadGateway
from addon.translation.message_stream import MessageStream, read_message
from tests.translation.strategies import cuts, messages
from tests.translation.upstream import JsonObject, events, message, sse, stream_of, text

ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
START, PING, BLOCK, DELTA, BLOCK_STOP, MESSAGE_DELTA, STOP = events(message(text("hello")))


def read(*stream: JsonObject) -> MessageStream:
    reader = MessageStream()
    reader.feed(sse(*stream))
    return reader


@given(st.data(), messages())
def test_any_split_gives_the_same_events_and_message(
    data: st.DataObject, whole: JsonObject
) -> None:
    wire = stream_of(whole)
    reader = MessageStream()
    found = [event for chunk in data.draw(cuts(wire)) for event in reader.feed(chunk)]
    assert found == MessageStream().feed(wire)
    assert (reader.message, reader.ended, reader.error) == (whole, True, None)
    assert b"".join(event.raw for event in found) == wire


@pytest.mark.parametrize(
    ("stream", "began"),
    [
        pytest.param([START], False, id="start-is-no-content"),
        pytest.param([START, PING], False, id="ping-is-no-content"),
        pytest.param([START, BLOCK], True, id="a-block-is-content"),
        pytest.param([START, MESSAGE_DELTA], True, id="an-empty-answer-is-content"),
    ],
)
def test_began_tells_whether_a_status_can_still_be_sent(
    stream: list[JsonObject], began: bool
) -> None:
    assert read(*stream).began is began


def test_an_error_event_first_counts_as_a_status() -> None:
    reader = read(START, ERROR)
    assert reader.error is not None
    assert (reader.began, reader.error.status, reader.error.message) == (False, 529, "Overloaded")


def test_events_before_an_error_are_given_and_none_after_it() -> None:
    reader = MessageStream()
    found = reader.feed(sse(START, BLOCK, DELTA, ERROR, BLOCK_STOP, MESSAGE_DELTA, STOP))
    assert [event.type for event in found] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
    ]
    assert reader.feed(sse(STOP)) == []
    assert reader.close() == []
    assert (reader.began, reader.ended) == (True, False)
    assert reader.usage["input_tokens"] == 10


def test_the_end_of_bytes_inside_a_block_is_an_error() -> None:
    reader = read(START, BLOCK, DELTA)
    reader.close()
    assert reader.error is not None
    assert (reader.error.status, reader.error.code) == (502, "upstream_disconnect")
    assert not reader.ended


def test_the_end_of_bytes_after_the_stop_reason_is_an_end() -> None:
    reader = read(START, BLOCK, DELTA, BLOCK_STOP, MESSAGE_DELTA)
    assert not reader.ended
    reader.close()
    assert (reader.ended, reader.error) == (True, None)
    assert reader.message == message(text("hello"))


def test_a_message_delta_without_stop_reason_is_no_end() -> None:
    reader = read(START, {**MESSAGE_DELTA, "delta": {}})
    reader.close()
    assert reader.error is not None


def test_an_empty_body_is_an_error_before_content() -> None:
    reader = MessageStream()
    reader.close()
    assert reader.error is not None
    assert not reader.began


def test_what_follows_the_end_is_not_read() -> None:
    reader = read(START, MESSAGE_DELTA, STOP)
    assert reader.feed(b"data: [DONE]\n\n") == []
    assert reader.error is None


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"data: nope\n\n", id="no-json"),
        pytest.param(b"data: [1]\n\n", id="no-object"),
        pytest.param(b'data: {"type":"ping"\xff}\n\n', id="no-utf-8"),
        pytest.param(b"data: " + b"[" * 100_000 + b"\n\n", id="nested-too-deep"),
        pytest.param(sse({"type": "content_block_delta", "index": 0}), id="delta-without-delta"),
        pytest.param(
            sse({"type": "content_block_start", "index": "0", "content_block": {}}),
            id="index-is-text",
        ),
        pytest.param(sse({"type": "message_start", "message": None}), id="start-without-message"),
        pytest.param(sse({**DELTA, "index": 5}), id="delta-of-no-block"),
    ],
)
def test_a_broken_event_is_one_error_and_the_end(wire: bytes) -> None:
    reader = MessageStream()
    found = reader.feed(sse(START) + wire + sse(BLOCK))
    assert [event.type for event in found] == ["message_start"]
    assert isinstance(reader.error, BadGateway)


@pytest.mark.parametrize("first", [BLOCK, DELTA, MESSAGE_DELTA], ids=lambda event: event["type"])
def test_content_before_the_start_is_an_error(first: JsonObject) -> None:
    reader = read(first)
    assert isinstance(reader.error, BadGateway)
    assert not reader.began


def test_unknown_events_are_passed_over() -> None:
    reader = read(
        START, {"type": "vortex", "index": None}, BLOCK, DELTA, BLOCK_STOP, MESSAGE_DELTA, STOP
    )
    assert (reader.ended, reader.error) == (True, None)


def test_the_event_name_stands_in_for_a_missing_type() -> None:
    reader = MessageStream()
    (event,) = reader.feed(b'event: ping\ndata: {"a":1}\n\n')
    assert event.type == "ping"


def test_a_whole_body_is_a_message_or_a_bad_gateway() -> None:
    assert read_message(b'{"content": []}') == {"content": []}
    for body in (b"<html>", b"[]", b"{}", b""):
        with pytest.raises(BadGateway):
            read_message(body)


@pytest.mark.parametrize(
    "delta",
    [
        b'"text_delta","text":"caf\xc3\xa9 \\u00e9 \\ud83d\\ude80 \\" \\\\ \\/ \\n"}',
        b'"text_delta","text":""}      ',
        b'"thinking_delta","thinking":"of another block"}',
        b'"input_json_delta","partial_json":"{\\"a\\": 1"} ',
        b'"text_delta","text":"half a pair: \\ud83d"}',
        b'"text_delta","thinking":"another field"}',
        b'"text_delta","text":null}',
        b'"text_delta","text":"a","text":"b"}',
        b'"text_delta","text":"a tab: \t"}',
        b'"text_delta","text":"a return: \r"}',
        b'"text_delta","text":"no UTF-8: \xff"}',
        b'"text_delta","text":"no escape: \\x"}',
        b'"text_delta","text":"no end}',
        b'"citations_delta","citation":{}}',
        b'"new_delta","text":"a"}',
    ],
)
@pytest.mark.parametrize("index", [b"0", b"1", b"00", b"-1", b"0.0", b"true"])
def test_a_delta_is_read_the_same_however_its_json_is_spaced(delta: bytes, index: bytes) -> None:
    spaced = b'{"type":%b"content_block_delta","index":%b,"delta":{"type":%b}'

    def read_with(space: bytes) -> object:
        data = spaced % (space, index, delta)
        reader = read(START, BLOCK)
        found = reader.feed(b"event: content_block_delta\ndata: %b\n\n" % data + sse(DELTA))
        return [event.data for event in found], reader.message, repr(reader.error)

    assert read_with(b"") == read_with(b" ")
