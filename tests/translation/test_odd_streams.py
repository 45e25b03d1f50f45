"""Whatever upstream sends, a client gets its answer or one error in its dialect: nothing raises."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from addon.claude.pricing import bill
from addon.core.json_codec import dumps
from addon.core.types import Dialect
from addon.exchange.answer import BufferedAnswer, StreamedAnswer
from addon.translation.from_anthropic.by_dialect import renderer_for, whole_response
from addon.translation.message_stream import MessageStream
from addon.translation.types import Reply, ToolReply
from tests.translation.asking import CATALOGUE
from tests.translation.client import assembled_chat, chat_chunks, read_sse, response_events
from tests.translation.strategies import cuts, messages
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

REPLY = Reply(
    model="asked",
    stream=True,
    include_usage=True,
    json_object=True,
    tools={"g": ToolReply(name="g", wrapped=True)},
)
DIALECTS: tuple[Dialect, ...] = ("chat", "responses", "messages")
ALL = message(
    thinking("hm"),
    text("Hello there", citations=[web_citation("https://a.example", "t")]),
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
    tool("toolu_1", "f", {"a": 1}),
    tool("toolu_2", "g", {"input": [1]}),
    stop_reason="tool_use",
)
ALL["usage"] |= {
    "cache_creation": {"ephemeral_1h_input_tokens": 3},
    "output_tokens_details": {"thinking_tokens": 2},
    "server_tool_use": {"web_search_requests": 1},
    "service_tier": "standard",
    "iterations": [{"input_tokens": 3}],
}
ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 10**30, "", "3", "x"),
    *([], [1], [{}], {}, {"a": 1}, {"type": "text"}),
)
type Places = list[tuple[str | int, ...]]


def ends(wire: bytes, dialect: Dialect) -> tuple[str, str]:
    """How the stream and the whole answer end: `error` or `complete`."""
    return streamed([wire], dialect)[1], whole(wire, dialect)


def streamed(pieces: list[bytes], dialect: Dialect) -> tuple[bytes, str]:
    answer = StreamedAnswer(renderer_for(dialect, REPLY, 1))
    shown = b"".join(map(answer.feed, pieces)) + answer.close()
    bill(answer.usage, CATALOGUE.get("claude-opus-4-8"), CATALOGUE.get)
    if answer.error is None:
        return shown, "complete"
    assert 400 <= answer.error.status < 600 and answer.error.message
    return shown + answer.fail(answer.error), "error"


def whole(wire: bytes, dialect: Dialect) -> str:
    renderer = renderer_for(dialect, REPLY, 1)
    answer = BufferedAnswer(renderer, lambda found: dumps(whole_response(dialect, found, REPLY, 1)))
    answer.feed(wire)
    body = answer.close()
    if answer.error is None:
        json.loads(body)
    return "error" if answer.error else "complete"


def places(value: Any, path: tuple[str | int, ...] = ()) -> Places:
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(place for key, part in inner for place in places(part, (*path, key)))]


def with_value(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    if not path:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = with_value(value[path[0]], path[1:], new)
    return changed


def encoded(stream: list[Any]) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in stream)


@pytest.mark.thorough
@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_value_of_another_type(dialect: Dialect) -> None:
    stream = events(ALL)
    for number, event in enumerate(stream):
        for path in places(event):
            for odd in ODD:
                changed = [*stream[:number], with_value(event, path, odd), *stream[number + 1 :]]
                ends(encoded(changed), dialect)


@given(st.data())
def test_several_values_of_another_type(data: st.DataObject) -> None:
    stream: list[Any] = events(ALL)
    names = st.sampled_from(
        ["type", "text", "id", "model", "usage", "content", "stop_reason", "thinking"]
    )
    for _ in range(data.draw(st.integers(1, 4))):
        number = data.draw(st.integers(0, len(stream) - 1))
        path = data.draw(st.sampled_from(places(stream[number])))
        stream[number] = with_value(stream[number], path, data.draw(st.sampled_from(ODD)))
        if isinstance(stream[number], dict):
            stream[number] = {**stream[number], data.draw(names): data.draw(st.sampled_from(ODD))}
    for dialect in DIALECTS:
        ends(encoded(stream), dialect)


@given(st.data())
def test_events_in_any_order(data: st.DataObject) -> None:
    stream = data.draw(st.lists(st.sampled_from([*events(ALL), *events(message(text("b")))])))
    for dialect in DIALECTS:
        ends(encoded([events(ALL)[0], *stream]), dialect)


COUNTS: Mapping[str, Any] = {
    "text": "12",
    "null": None,
    "negative": -5,
    "float": 1.5,
    "flag": True,
    "list": [1],
    "object": {"a": 1},
    "too_many": 10**12,
}


@pytest.mark.parametrize("value", COUNTS.values(), ids=COUNTS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_wrong_count_costs_no_answer(dialect: Dialect, value: Any) -> None:
    stream = events(ALL)
    counts = dict.fromkeys(("input_tokens", "output_tokens", "cache_creation"), value)
    start = with_value(stream[0], ("message", "usage"), counts | {"service_tier": value})
    last = with_value(stream[-2], ("usage",), counts)
    wire = encoded([start, *stream[1:-2], last, stream[-1]])
    assert ends(wire, dialect) == ("complete", "complete")
    reader = MessageStream()
    reader.feed(wire)
    kept = {name: kept for name, kept in reader.usage.items() if kept not in (None, "12")}
    assert kept == ({"cache_creation": {"a": 1}} if value == {"a": 1} else {})


FAULTS: Mapping[str, Callable[[list[JsonObject]], list[JsonObject]]] = {
    "a-second-start": lambda s: [*s[:4], s[0], *s[4:]],
    "another-response-within": lambda s: [*s[:4], *events(message(text("b"))), *s[4:]],
    "a-block-twice": lambda s: [*s[:3], s[2], *s[3:]],
    "a-delta-of-no-block": lambda s: [*s[:3], {**s[3], "index": 9}, *s[4:]],
    "a-null-delta": lambda s: [*s[:3], {**s[3], "delta": None}, *s[4:]],
    "a-list-for-a-block": lambda s: [*s[:2], {**s[2], "content_block": []}, *s[3:]],
    "a-block-without-a-type": lambda s: [*s[:2], {**s[2], "content_block": {}}, *s[3:]],
    "text-that-is-a-number": lambda s: [
        *s[:3],
        {**s[3], "delta": {"type": "thinking_delta", "thinking": 3}},
        *s[4:],
    ],
    "a-citation-that-is-text": lambda s: [
        *s[:3],
        {**s[3], "delta": {"type": "citations_delta", "citation": "x"}},
        *s[4:],
    ],
    "a-stop-reason-that-is-a-list": lambda s: [*s[:-2], {**s[-2], "delta": {"stop_reason": []}}],
    "no-end": lambda s: s[:-2],
    "nothing": lambda s: [],
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_fault_is_one_error_and_no_end(dialect: Dialect, fault: str) -> None:
    wire = encoded(FAULTS[fault](events(ALL)))
    shown, ended = streamed([wire], dialect)
    assert (ended, whole(wire, dialect)) == ("error", "error")
    kinds = [json.loads(data).get("type") for _, data in read_sse(shown) if data != "[DONE]"]
    match dialect:
        case "chat":
            assert shown.count(b'"error":{') == 1 and b"[DONE]" not in shown
        case "responses":
            assert kinds[-1] == "response.failed" and "response.completed" not in kinds
        case "messages":
            assert kinds[-1] == "error" and "message_stop" not in kinds


@given(st.data(), messages())
@example(None, ALL)
def test_any_pieces_give_the_same_bytes(data: st.DataObject | None, answer: JsonObject) -> None:
    wire = stream_of(answer)
    every_byte = [wire[i : i + 1] for i in range(len(wire))]
    pieces = data.draw(cuts(wire)) if data else every_byte
    for dialect in DIALECTS:
        expected, ended = streamed([wire], dialect)
        assert ended == "complete"
        assert streamed(pieces, dialect) == streamed(every_byte, dialect) == (expected, ended)
        match dialect:
            case "chat":
                assert chat_chunks(expected) and assembled_chat(expected)
            case "responses":
                response_events(expected)
            case "messages":
                assert expected.startswith(sse(events(answer)[0])[:20])
