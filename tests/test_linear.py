"""What others can send costs as much time as it is long, whatever is in it: of each parser, the text that is worst for it."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable

import pytest
from mitmproxy import http

from addon.claude.refused_features import refused_features
from addon.claude.thinking import ThinkingOptions
from addon.context.tokens.count import overflow
from addon.core.errors import BadRequest, NotFound
from addon.core.json_splice import spliced
from addon.core.redaction import RedactingFilter, excerpt, redact, redacted
from addon.core.settings import Settings
from addon.exchange.access import Visitor, cookie_name, judge
from addon.exchange.http_messages import lowered
from addon.exchange.routes import find
from addon.exchange.stored_responses import ResolvedRequest, StoredResponses
from addon.fallback.causes import cause_of_response
from addon.translation.accumulator import MessageAccumulator
from addon.translation.errors import from_upstream
from addon.translation.sse import SSEDecoder
from addon.translation.to_anthropic.native import Refused, mended
from addon.translation.to_anthropic.tool_arguments import parse_arguments
from bench.growth import all_cases, growth
from tests.claude.support import CATALOGUE
from tests.cpu import assert_linear

SETTINGS = Settings.from_env({"PROXY_SECRET_KEY": "hush-hush-hush-hush-hush"})


def logged(text: str) -> None:
    record = logging.LogRecord("x", logging.INFO, "x", 1, text, None, None)
    RedactingFilter("hush").filter(record)


@pytest.mark.parametrize(
    "piece",
    ["eyJ", "eyJaaaaa.", "eyJaaaaa.eyJaaaaa ", "sk-", "sk-aaaaaaaa ", "Bearer ", "Bearer eyJ", "eyJsk-"],
)  # fmt: skip
@pytest.mark.parametrize(
    "hide",
    [redact, lambda text: redacted([" " + text]), lambda text: excerpt(text, 200), logged],
    ids=["text", "value", "excerpt", "log"],
)
def test_hiding_secrets(hide: Callable[[str], object], piece: str) -> None:
    assert_linear(lambda size: hide(piece * size), 5_000)


def answer(block: dict[str, object], *deltas: dict[str, object]) -> object:
    message = MessageAccumulator()
    message.add({"type": "message_start", "message": {"content": []}})
    message.add({"type": "content_block_start", "index": 0, "content_block": block})
    for delta in deltas:
        message.add({"type": "content_block_delta", "index": 0, "delta": delta})
    return message.message


@pytest.mark.parametrize(
    "piece", ["[", "[,", '{"a":', '{"a":[', "[]", "{}]", '{"a":"\\"', '"\\', "[1,", "]"]
)
def test_tool_arguments_that_were_cut(piece: str) -> None:
    block = {"type": "tool_use", "id": "a", "name": "b", "input": {}}

    def work(size: int) -> None:
        answer(block, {"type": "input_json_delta", "partial_json": piece * size})

    assert_linear(work, 5_000)


def test_citations() -> None:
    delta = {"type": "citations_delta", "citation": {"cited_text": "x"}}
    block = {"type": "text", "text": ""}
    assert_linear(lambda size: answer(block, *[delta] * size), 5_000)


@pytest.mark.parametrize("piece", ["{", "{}", '{"a":1}', '"\\"', "[[", '{"a":'])
def test_a_clients_tool_arguments(piece: str) -> None:
    assert_linear(lambda size: parse_arguments(piece * size), 5_000)
    assert_linear(lambda size: parse_arguments(json.dumps(piece * size)), 5_000)


@pytest.mark.parametrize(
    ("header", "piece"),
    [
        ("cookie", ";"),
        ("cookie", "a={;"),
        ("cookie", f"{cookie_name(SETTINGS)}=x;"),
        ("origin", "http://["),
        ("host", "["),
        ("host", "@:"),
        ("authorization", "Bearer "),
        ("cf-connecting-ip", "1."),
    ],
)
def test_the_heads_of_strangers(header: str, piece: str) -> None:
    def work(size: int) -> None:
        head = {"host": "localhost", header: piece * size}
        visitor = Visitor(
            peer="127.0.0.1", method="GET", path="/analytics", authority="", headers=head
        )
        judge(visitor, find("GET", "/analytics"), SETTINGS)

    assert_linear(work, 3_000)


def test_the_same_header_many_times() -> None:
    assert_linear(lambda size: lowered(http.Headers([(b"a", b"b")] * size)), 2_000)


@pytest.mark.parametrize(
    "piece", ["<script>", "<style ", "<!--", "<", "<a", "</script ", "<!-- --", "<script></script"]
)
def test_pages_of_gateways(piece: str) -> None:
    # read to 20,000 bytes only
    assert_linear(lambda size: from_upstream(500, piece.encode() * size, {}, 0.0), 400)


@pytest.mark.parametrize("piece", ["signature ", "thinking", "prompt is too long: 1"])
def test_what_upstream_says(piece: str) -> None:
    def work(size: int) -> None:
        cause_of_response(BadRequest(piece * size), "claude_code", exhausted=False)

    assert_linear(work, 2_000)


@pytest.mark.parametrize("piece", [b"x", b"\r", b"\n", b"data: x\n", b"data\r\n"])
def test_events_in_small_pieces(piece: bytes) -> None:
    def work(size: int) -> None:
        decoder = SSEDecoder()
        for _ in range(size):
            decoder.feed(piece)

    assert_linear(work, 5_000)


@pytest.mark.parametrize(
    "piece", ["[", '{"a":', '"\\\\"', '\\"', '"', " ", "a", "[]", ",", '{"stream":1}']
)
def test_a_field_that_is_changed_in_a_body(piece: str) -> None:
    def work(size: int) -> None:
        text = json.dumps(
            {"a": piece * size, "b": [piece] * (size // 50), "stream": False}
        ).encode()
        spliced(text, {"stream": False}, {"stream": True})

    assert_linear(work, 5_000)


DIGITS = "9" * 5000
"""More than Python reads as a number."""


@pytest.mark.parametrize(
    "said",
    [
        f"messages.{DIGITS}.name: Extra inputs are not permitted",
        f"max_tokens: 9 > {DIGITS}, which is the maximum allowed number of output tokens",
        f"prompt is too long: {DIGITS} tokens > {DIGITS} maximum",
    ],
)
def test_numbers_that_upstream_says(said: str) -> None:
    body = {"model": "claude-opus-5", "messages": [{"role": "user", "content": "a"}]}
    assert not refused_features(said, body, [])
    assert overflow(said) is None
    refused = Refused(body, CATALOGUE.get("claude-opus-5"), said, frozenset())
    assert mended(refused, ThinkingOptions()) is None


@pytest.mark.parametrize(
    "piece", ["a", "a.", "a-", ": Extra inputs are not permitted", "a: ", "beta "]
)
def test_what_upstream_refuses_by_name(piece: str) -> None:
    betas = [f"b{n}" for n in range(300)]
    assert_linear(lambda size: refused_features(piece * size, {"a": 1}, betas), 400)


@pytest.mark.parametrize("part", ["msg_a_in{}", "msg_a_{}", "msg_a_lost{}"])
def test_references_to_stored_items(part: str) -> None:
    def work(size: int) -> None:
        stored = StoredResponses(lambda: 0.0)
        items = [{"role": "user", "content": "a"}] * size
        output = [{"id": f"msg_a_{index}", "type": "message"} for index in range(size)]
        stored.keep("me", ResolvedRequest({}, items), {"id": "resp_a", "output": output})
        references = [{"type": "item_reference", "id": part.format(n)} for n in range(size)]
        with contextlib.suppress(NotFound):
            stored.resolve("me", {"input": references})

    assert_linear(work, 1_000)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_eight_times_the_size_costs_no_more_than_twelve_times_as_much() -> None:
    """Through all addons of a request, and all renderers of a response; `python -m bench.growth` prints the table."""
    with all_cases() as cases:
        worse = [case for case in cases if not growth(case, 1).is_linear]
        found = [growth(case) for case in worse]  # more exactly: it may have been the machine
    assert [str(each) for each in found if not each.is_linear] == []
