"""Answers on their way to the client."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from addon.claude.pricing import Tokens
from addon.core.errors import BadGateway
from addon.core.json_codec import dumps
from addon.core.types import Dialect, JsonObject
from addon.exchange.answer import BufferedAnswer, PassthroughAnswer, StreamedAnswer
from addon.exchange.client import Client
from addon.stand_in.openai import chunks, completion, response, response_events
from addon.stand_in.script import Answer, broken, say
from addon.stand_in.stream import encode
from addon.translation.from_anthropic.by_dialect import renderer_for
from addon.translation.sse import MAX_EVENT_BYTES
from addon.translation.types import Reply
from tests.translation.client import response_events as response_events_of
from tests.translation.upstream import message, stream_of, text

RENDERER_OF = {"dialect": "chat", "reply": Reply(model="m"), "created": 0}


def streamed() -> StreamedAnswer:
    return StreamedAnswer(renderer_for(**RENDERER_OF))  # type: ignore[arg-type]


def whole() -> BufferedAnswer:
    return BufferedAnswer(renderer_for(**RENDERER_OF), lambda message: b"{}")  # type: ignore[arg-type]


def test_what_is_kept_is_kept_before_the_client_knows_the_end() -> None:
    answer, kept = streamed(), list[Any]()
    answer.keep = kept.append
    *head, end = stream_of(message(text("hi"))).split(b"\n\n")[:-1]
    for event in head:
        answer.feed(event + b"\n\n")
    assert not kept
    assert b"[DONE]" in answer.feed(end + b"\n\n")
    assert [m["content"] for m in kept] == [[text("hi")]], "upstream's connection is still open"


@pytest.mark.parametrize("answer", [streamed(), whole()], ids=["streamed", "whole"])
def test_an_answer_is_kept_once(answer: StreamedAnswer) -> None:
    kept: list[Any] = []
    answer.keep = kept.append
    answer.feed(stream_of(message(text("hi"))))
    answer.close()
    assert len(kept) == 1


@pytest.mark.parametrize("answer", [streamed(), whole()], ids=["streamed", "whole"])
def test_half_an_answer_is_not_kept(answer: StreamedAnswer) -> None:
    kept: list[Any] = []
    answer.keep = kept.append
    answer.feed(stream_of(message(text("hi")))[:-300])
    answer.close()
    assert answer.error and not kept


# ---- another API's


def passed_on(dialect: Dialect = "responses", streaming: bool = True) -> PassthroughAnswer:
    return PassthroughAnswer(streaming, Client(dialect).error_event)


def responses(answer: Answer | None = None) -> list[bytes]:
    return response_events({"model": "gpt-5"}, answer or Answer())


ENDS = {
    "completed": (responses(), None),
    "incomplete": (responses(say(stop_reason="max_tokens")), None),
    "failed": (responses(broken("server_error", "Sorry")), (500, "server_error")),
    "limited": (responses(broken("rate_limit_exceeded")), (429, "rate_limit_exceeded")),
    "the client's fault": (responses(broken("invalid_prompt")), (400, "invalid_prompt")),
    "an error alone": (responses(broken("server_error"))[:-1], (500, "server_error")),
    "an error after the SDK's type": (
        [encode({"type": "error", "code": None, "message": "Sorry", "sequence_number": 0})],
        (500, None),
    ),
}
"""How a Responses stream ends, and the status and code that it is recorded with."""


@pytest.mark.parametrize("piece", [1, 1000])
@pytest.mark.parametrize(("events", "recorded"), ENDS.values(), ids=ENDS)
def test_a_responses_stream_ends_as_openai_ends_it(
    events: list[bytes], recorded: tuple[int, str | None] | None, piece: int
) -> None:
    answer, stream = passed_on(), b"".join(events)
    out = b"".join(answer.feed(bytes(part)) for part in itertools.batched(stream, piece))
    assert answer.complete and answer.error is None, "the rest of upstream's bytes may follow"
    assert out + answer.close() == stream
    told = answer.error and (answer.error.status, answer.error.code)
    assert told == recorded
    assert answer.error is None or answer.fail(answer.error) == b"", "the client has been told"


@pytest.mark.parametrize("count", range(1, len(responses())))
def test_a_responses_stream_that_breaks_off_ends_in_response_failed(count: int) -> None:
    answer, events = passed_on(), responses()[:count]
    stream = answer.feed(b"".join(events)) + answer.close()
    assert answer.error and not answer.complete
    told = response_events_of(stream + answer.fail(answer.error), ours=False)
    assert [event["type"] for event in told].count("response.failed") == 1
    assert told[-1]["response"]["id"] == told[0]["response"]["id"]
    assert told[-1]["response"]["status"] == "failed"


def test_an_event_behind_the_end_does_not_take_it_back() -> None:
    for end in (b"data: [DONE]\n\n", responses()[-1]):
        answer = passed_on()
        answer.feed(end + b'data: {"kept": true}\n\n')
        answer.close()
        assert answer.complete and not answer.error


@pytest.mark.parametrize(
    ("chunk", "status"),
    [
        ({"error": {"message": "Sorry", "type": "server_error"}}, 500),
        ({"id": "x", "error": {"code": 502, "message": "Sorry"}, "choices": []}, 502),
        ({"error": {"code": "insufficient_quota", "message": "Sorry"}}, 429),
        ({"error": {"type": "invalid_request_error", "code": None, "message": "Sorry"}}, 400),
        ({"error": "Sorry"}, 500),
    ],
    ids=str,
)
def test_an_error_in_a_chat_stream_is_an_end_and_is_recorded(
    chunk: JsonObject, status: int
) -> None:
    answer = passed_on("chat")
    event = b"data: " + dumps(chunk) + b"\n\n"
    assert answer.feed(event) == event and answer.complete
    answer.close()
    assert answer.error and (answer.error.status, answer.error.message) == (status, "Sorry")
    assert answer.fail(answer.error) == b""


USED = Tokens(input=7, cache_read=4, output=5, thinking=2)


@pytest.mark.parametrize(
    "answer", [None, say(stop_reason="max_tokens")], ids=["completed", "incomplete"]
)
def test_the_usage_of_a_response_is_read_streamed_and_plain(answer: Answer | None) -> None:
    streamed, plain = passed_on(), passed_on(streaming=False)
    streamed.feed(b"".join(responses(answer)))
    plain.feed(dumps(response({"model": "gpt-5"}, answer or Answer())))
    plain.close()
    assert Tokens.from_usage(streamed.usage) == Tokens.from_usage(plain.usage) == USED


def test_the_usage_of_a_completion_is_read_streamed_and_plain() -> None:
    body = {"model": "gpt-5", "stream_options": {"include_usage": True}}
    streamed, plain = passed_on("chat"), passed_on("chat", streaming=False)
    streamed.feed(b"".join(chunks(body, Answer())))
    plain.feed(dumps(completion(body)))
    plain.close()
    assert Tokens.from_usage(streamed.usage) == Tokens.from_usage(plain.usage) == USED


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[1]", b"null", b'"text"', b"{", b"[" * 100_000, b'{"usage":7}', b'{"response":7}',
        b'{"type":[1]}', b'{"usage":{"input_tokens":"9","input_tokens_details":[]}}',
        b'{"type":"response.failed","response":{"error":7},"sequence_number":"x"}',
        b'{"error":{"code":[],"type":{},"message":null}}', b'{"error":{"code":99}}',
    ],
    ids=range(13),
)  # fmt: skip
def test_nothing_that_another_api_says_breaks_the_answer(data: bytes) -> None:
    event = b"data: " + data + b"\n\n"
    streamed, plain = passed_on(), passed_on(streaming=False)
    assert streamed.feed(event) + streamed.close() == event
    assert plain.feed(data) + plain.close() == data
    error = streamed.error or BadGateway("x")
    assert 400 <= error.status < 600
    streamed.fail(error)


def test_an_event_beyond_all_bounds_is_an_error() -> None:
    answer = passed_on()
    answer.feed(b"data: " + b"x" * (MAX_EVENT_BYTES + 10))
    assert answer.error and answer.error.code == "upstream_invalid"
