"""What holds for every dialect: golden streams, any split, any cut, any text."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.core.types import Dialect
from addon.translation.from_anthropic.by_dialect import renderer_for, whole_response
from addon.translation.message_stream import MessageStream
from addon.translation.types import Reply
from tests.budget import some
from tests.translation.client import read_sse
from tests.translation.pipeline import advance, conclude
from tests.translation.strategies import cuts, messages
from tests.translation.upstream import JsonObject, message, stream_of, text, thinking, tool

STREAMS = Path(__file__).parents[2] / "fixtures" / "streams"
DIALECTS: tuple[Dialect, ...] = get_args(Dialect.__value__)
REPLY = Reply(model="asked-for", stream=True, include_usage=True)
dialects = pytest.mark.parametrize("dialect", DIALECTS)


def answered(dialect: Dialect, *chunks: bytes) -> bytes:
    stream, renderer = MessageStream(), renderer_for(dialect, REPLY, 1_700_000_000)
    sent = [advance(stream, renderer, chunk) for chunk in chunks]
    return b"".join(sent) + conclude(stream, renderer)


def ended_well(sent: bytes) -> bool:
    """Whether a client of any dialect takes the answer for complete."""
    events = read_sse(sent)
    kinds = {event for event, _ in events}
    complete = {"response.completed", "response.incomplete", "message_stop"} & kinds
    return bool(complete) or any(
        data == "[DONE]" or '"finish_reason":"' in data for _, data in events
    )


def errors_in(sent: bytes) -> int:
    events = [json.loads(data) for _, data in read_sse(sent) if data != "[DONE]"]
    return sum(
        e.get("type") in ("error", "response.failed") or ("choices" not in e and "type" not in e)
        for e in events
    )


@dialects
@pytest.mark.parametrize("source", sorted(STREAMS.glob("*.sse")), ids=lambda path: path.stem)
def test_golden(source: Path, dialect: Dialect, update_golden: bool) -> None:
    golden = STREAMS / "golden" / f"{source.stem}.{dialect}.txt"
    sent = answered(dialect, source.read_bytes())
    if update_golden:
        golden.write_bytes(sent)
    assert sent == golden.read_bytes()


@dialects
@pytest.mark.parametrize("source", sorted(STREAMS.glob("*.sse")), ids=lambda path: path.stem)
def test_byte_by_byte_gives_the_same(source: Path, dialect: Dialect) -> None:
    wire = source.read_bytes()
    assert answered(dialect, *(wire[i : i + 1] for i in range(len(wire)))) == answered(
        dialect, wire
    )


@dialects
@given(st.data(), messages())
def test_any_split_gives_the_same(dialect: Dialect, data: st.DataObject, whole: JsonObject) -> None:
    wire = stream_of(whole)
    assert answered(dialect, *data.draw(cuts(wire))) == answered(dialect, wire)


@dialects
def test_a_stream_cut_at_any_byte_is_one_error_and_never_looks_complete(
    dialect: Dialect,
) -> None:
    whole = message(
        thinking("Hm"), text("héllo"), tool("t", "f", {"a": "é"}), stop_reason="tool_use"
    )
    wire = stream_of(whole)
    complete = wire.index(b"event: message_stop")
    for cut in some(range(complete)):
        sent = answered(dialect, wire[:cut])
        assert (errors_in(sent), ended_well(sent)) == (1, False), cut
    for cut in some(range(complete, len(wire) + 1)):
        sent = answered(dialect, wire[:cut])
        assert (errors_in(sent), ended_well(sent)) == (0, True), cut


TOKENS = ["\n", "\r", "\r\n", "\n\n", "\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\0", "data: [DONE]", "data:",
          "event: error", ": x", "id: 1", "retry: 1", '"}', "\\", "{}", "\ufeff", "a"]  # fmt: skip


@dialects
def test_s21_no_text_can_make_or_break_an_event(dialect: Dialect) -> None:
    values = ["".join(tokens) for tokens in itertools.product(TOKENS, repeat=3)]
    assert len(set(values)) > 5000
    values = some(values)
    sent = read_sse(answered(dialect, stream_of(_carrying(values), 999)))
    plain = read_sse(answered(dialect, stream_of(_carrying(["x"] * len(values)), 999)))
    assert [event for event, _ in sent] == [event for event, _ in plain]
    came = {each for _, data in sent if data != "[DONE]" for each in _strings(json.loads(data))}
    came |= {json.loads(each)["k"] for each in came if each.startswith('{"k":')}
    came |= {each.removeprefix("\n\n") for each in came}  # chat puts it between two thoughts
    assert came >= {*values}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _carrying(values: list[str]) -> JsonObject:
    """A message with each value in a text, a thought or a tool input."""
    makers = (text, thinking, lambda value: tool("t", "f", {"k": value}))
    return message(*(makers[place % 3](value) for place, value in enumerate(values)))


@dialects
@given(messages())
def test_translating_leaves_the_message_alone(dialect: Dialect, whole: JsonObject) -> None:
    before = json.dumps(whole)
    answer = whole_response(dialect, whole, REPLY, 1_700_000_000)
    assert json.dumps(whole) == before
    assert answer["model"] == "asked-for"


@dialects
def test_an_error_ends_the_stream_for_good(dialect: Dialect) -> None:
    stream, renderer = MessageStream(), renderer_for(dialect, REPLY, 1)
    sent = advance(stream, renderer, b"data: nonsense\n\n")
    assert errors_in(sent) == 1
    assert advance(stream, renderer, stream_of(message(text("a")))) == b""
    assert conclude(stream, renderer) == b""


@dialects
def test_a_keepalive_between_any_two_events_is_read_over(dialect: Dialect) -> None:
    wire = stream_of(message(text("hello world")))
    keepalive = renderer_for(dialect, REPLY, 1).keepalive
    sent = answered(dialect, wire)
    spaced = b"".join(event + b"\n\n" + keepalive for event in sent.split(b"\n\n")[:-1])
    assert [event for event in read_sse(spaced) if event[0] != "ping"] == [
        e for e in read_sse(sent) if e[0] != "ping"
    ]
