"""Answers on their way to the client."""

from __future__ import annotations

from typing import Any

import pytest

from addon.core.json_codec import FAST
from addon.exchange.answer import StreamedAnswer, WholeAnswer
from addon.translation.from_anthropic.by_dialect import renderer_for
from addon.translation.types import Reply
from tests.translation.upstream import message, stream_of, text

RENDERER_OF = {"dialect": "chat", "reply": Reply(model="m"), "created": 0, "codec": FAST}


def streamed() -> StreamedAnswer:
    return StreamedAnswer(renderer_for(**RENDERER_OF), FAST)  # type: ignore[arg-type]


def whole() -> WholeAnswer:
    return WholeAnswer(renderer_for(**RENDERER_OF), FAST, lambda message: b"{}")  # type: ignore[arg-type]


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
