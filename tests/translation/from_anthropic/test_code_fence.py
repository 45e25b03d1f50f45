"""A fence around JSON comes off, however the text is cut and in whatever form it is told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.translation.from_anthropic.chat import ChatStream, chat_completion
from addon.translation.from_anthropic.code_fence import CodeFence, strip_fence
from addon.translation.from_anthropic.responses import ResponsesStream, responses_object
from addon.translation.message_stream import MessageStream
from addon.translation.types import Reply
from tests.cpu import assert_linear
from tests.translation.client import assembled_chat, assembled_response, response_events
from tests.translation.pipeline import advance, conclude
from tests.translation.strategies import json_values
from tests.translation.upstream import message, stream_of, text, tool

REPLY = Reply(model="m", stream=True, json_object=True)
TEXTS = {
    '```json\n{"a": 1}\n```': '{"a": 1}',
    '\n\n```\r\n{"a": "```"}\r\n```\n\n': '{"a": "```"}',
    '```JSON  \n{"a": 1}```': '{"a": 1}',
    '{"a": 1}\n': '{"a": 1}\n',
    "``": "``",
    "```json": "```json",
    '{"a": "x ``` y"}': '{"a": "x ``` y"}',
    "see ```json\n{}\n```": "see ```json\n{}\n```",
    '```json\n{"a": 1}\n```\nas asked': '{"a": 1}\n```\nas asked',
    '```json\n{"a": 1}\n``': '{"a": 1}\n``',
    "```json\n{}" + "\n" * 999: "{}" + "\n" * 999,
    " " * 999 + "```json\n{}\n```": "{}",
}


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 9999])
@pytest.mark.parametrize(("told", "expected"), TEXTS.items())
def test_in_each_form_of_an_answer(told: str, expected: str, piece: int) -> None:
    if piece < 257 and told.startswith(" " * 257):
        expected = told  # by then it has been shown
    wire = stream_of(message(text(told)), piece)
    stream, chat = MessageStream(), ChatStream(REPLY, 1)
    assembled = assembled_chat(advance(stream, chat, wire) + conclude(stream, chat))
    assert assembled["choices"][0]["message"]["content"] == expected
    stream, responses = MessageStream(), ResponsesStream(REPLY, 1)
    written = advance(stream, responses, wire) + conclude(stream, responses)
    assert assembled_response(written)["output"][0]["content"][0]["text"] == expected
    assert response_events(written)[-1]["response"]["output"][0]["content"][0]["text"] == expected


@pytest.mark.parametrize(("told", "expected"), TEXTS.items())
def test_in_a_whole_answer(told: str, expected: str) -> None:
    whole = message(text(told))
    assert chat_completion(whole, REPLY, 1)["choices"][0]["message"]["content"] == expected
    output = responses_object(whole, REPLY, 1)["output"]
    assert output[0]["content"][0]["text"] == expected


def test_the_rest_of_a_text_comes_before_a_call() -> None:
    whole = message(text('```json\n{"a": 1}\n`'), tool("c", "f", {}))
    kinds = [item["type"] for item in responses_object(whole, REPLY, 1)["output"]]
    assert kinds == ["message", "function_call"]
    assert responses_object(whole, REPLY, 1)["output"][0]["content"][0]["text"] == '{"a": 1}\n`'


@given(json_values, st.sampled_from(["", "json", "JSON"]), st.data())
def test_any_json_in_any_pieces(value: object, name: str, data: st.DataObject) -> None:
    written = json.dumps(value, indent=data.draw(st.sampled_from([None, 2])), ensure_ascii=False)
    told = f"```{name}\n{written}\n```\n"
    fence, pieces = CodeFence(), ""
    while told:
        size = data.draw(st.integers(1, 9))
        pieces, told = pieces + fence.feed(told[:size]), told[size:]
    assert pieces + fence.end() == written == strip_fence(f"```{name}\n{written}\n```\n")


def test_blanks_without_end_take_linear_time() -> None:
    def work(size: int) -> None:
        for start in ("```json\n{}\n```", ""):
            fence = CodeFence()
            for piece in [start, *(" " for _ in range(size))]:
                fence.feed(piece)

    assert_linear(work, 5_000)
