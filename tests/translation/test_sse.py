from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.core.errors import BadGateway
from addon.translation.sse import ServerSentEvent, SSEDecoder, encode_comment, encode_event
from tests.cpu import cpu_below
from tests.translation.client import read_sse
from tests.translation.strategies import cuts, texts


def decode(*chunks: bytes) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events + decoder.close()


def pairs(*chunks: bytes) -> list[tuple[str, bytes]]:
    return [(event.event, event.data) for event in decode(*chunks)]


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        pytest.param(b"event: a\ndata: 1\n\n", [("a", b"1")], id="plain"),
        pytest.param(b"data: 1\ndata: 2\n\n", [("", b"1\n2")], id="several-data-lines-are-joined"),
        pytest.param(b"\xef\xbb\xbfdata: 1\n\n", [("", b"1")], id="byte-order-mark"),
        pytest.param(b": hi\n\ndata: 1\n\n", [("", b"1")], id="comment"),
        pytest.param(b": hi\nid: 7\nretry: 9\ndata: 1\n\n", [("", b"1")], id="id-and-retry"),
        pytest.param(b"data:1\n\n", [("", b"1")], id="no-space"),
        pytest.param(b"data:  1\n\n", [("", b" 1")], id="one-space-only-is-taken-off"),
        pytest.param(b"data\n\n", [("", b"")], id="field-without-colon"),
        pytest.param(b"event: a\n\n", [], id="no-data-no-event"),
        pytest.param(b"\n\n\n\ndata: 1\n\n\n\n", [("", b"1")], id="more-blank-lines"),
        pytest.param(b"event: a\r\ndata: 1\r\n\r\n", [("a", b"1")], id="crlf"),
        pytest.param(b"event: a\rdata: 1\r\rdata: 2\r\r", [("a", b"1"), ("", b"2")], id="bare-cr"),
        pytest.param(b"data: 1\r\n\ndata: 2\n\r\n", [("", b"1"), ("", b"2")], id="mixed-line-ends"),
        pytest.param(b"event: a\rdata: 1\n\n", [("a", b"1")], id="cr-inside-an-event"),
        pytest.param(
            "data: \u2028\u0085\x0b\x0c\n\n".encode(),
            [("", "\u2028\u0085\x0b\x0c".encode())],
            id="other-separators-are-text",
        ),
        pytest.param(b"data: 1\n\ndata: 2\n", [("", b"1")], id="unfinished-event-is-dropped"),
    ],
)
def test_reads_what_the_standard_says(wire: bytes, expected: list[tuple[str, bytes]]) -> None:
    assert pairs(wire) == expected
    assert pairs(*(wire[i : i + 1] for i in range(len(wire)))) == expected


@given(st.data(), st.lists(texts, min_size=1, max_size=4), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_split_gives_the_same_events(
    data: st.DataObject, values: list[str], end: bytes
) -> None:
    flat = [value.replace("\r", " ").replace("\n", " ").encode() for value in values]
    wire = b"".join(b"event: x%b: c%bdata: %b%b%b" % (end, end, value, end, end) for value in flat)
    whole = decode(wire)
    assert [event.data for event in whole] == flat
    assert decode(*data.draw(cuts(wire))) == whole


def test_raw_bytes_put_together_are_the_stream() -> None:
    wire = b"event: a\r\ndata: 1\r\n\r\ndata: 2\n\nid: 4\rdata: 3\r\r"
    assert b"".join(event.raw for event in decode(wire)) == wire


def test_a_long_event_in_small_chunks_takes_linear_time() -> None:
    wire = b"data: " + b"x" * 4_000_000 + b"\n\n"
    with cpu_below():
        (event,) = decode(*(wire[i : i + 16] for i in range(0, len(wire), 16)))
        assert len(event.data) == 4_000_000


def test_an_event_that_never_ends_is_refused() -> None:
    decoder = SSEDecoder(max_event_bytes=1000)
    decoder.feed(b"data: " + b"x" * 900)
    with pytest.raises(BadGateway, match="more than 1000 bytes"):
        decoder.feed(b"x" * 200)


def test_many_events_in_one_chunk_may_exceed_the_limit_of_one() -> None:
    assert len(SSEDecoder(max_event_bytes=100).feed(b"data: 12345678\n\n" * 50)) == 50


def test_what_is_encoded_is_read_back() -> None:
    assert read_sse(encode_event(b"{}", "ping") + encode_event(b"1")) == [
        ("ping", "{}"),
        (None, "1"),
    ]


def test_a_comment_cannot_become_an_event() -> None:
    assert encode_comment("a\r\n\ndata: [DONE]\rb") == b": a   data: [DONE] b\n\n"
