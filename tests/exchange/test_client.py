"""Heads, keepalives and errors, in each client's dialect."""

from __future__ import annotations

import json

import pytest

from addon.core.errors import BadRequest, CCProxyError, RateLimited, UpstreamError
from addon.core.types import Dialect
from addon.exchange.client import Client, plain_error

DIALECTS: list[Dialect] = ["chat", "messages", "responses"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_is_told_with_its_field_and_its_wait(dialect: Dialect) -> None:
    response = Client(dialect).error_response(RateLimited("Slow down", retry_after=0.2))
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    assert json.loads(response.text or "")["error"]["message"] == "Slow down"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_words_that_no_utf8_holds_are_told_too(dialect: Dialect) -> None:
    client = Client(dialect)
    assert client.error_response(BadRequest("model: \ud800")).status_code == 400
    assert client.error_event(BadRequest("model: \ud800\n")).endswith(b"\n\n")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_keepalive_is_a_whole_event_or_comment(dialect: Dialect) -> None:
    alive = Client(dialect).keepalive
    assert alive.endswith(b"\n\n") and alive.startswith((b":", b"event: ping"))


def test_an_allowed_pages_headers_are_on_every_head() -> None:
    client = Client("chat", cors={"access-control-allow-origin": "http://localhost"})
    assert "access-control-allow-origin" in client.early_headers()
    assert "access-control-allow-origin" in client.error_response(BadRequest("x")).headers
    assert client.early_headers()["x-ccproxy-source"] == "pending"


@pytest.mark.parametrize("source", ["api_key", "a\nb: c"])
def test_the_source_comment_is_one_line(source: str) -> None:
    assert Client("chat").source_comment(source, None).count(b"\n") == 2


def test_an_error_before_there_is_a_client_follows_the_path() -> None:
    chat = json.loads(plain_error("/v1/chat/completions", BadRequest("x")).text or "")
    native = json.loads(plain_error("/v1/messages", BadRequest("x")).text or "")
    assert "code" in chat["error"] and native["type"] == "error"


def test_claude_code_is_told_its_own_word_for_what_was_rejected() -> None:
    error = BadRequest("Too long, even so.", code="context_length_exceeded")
    known = Client("messages", claude_code=True)
    for told in (known.error_response(error).text or "", known.error_event(error).decode()):
        assert "Too long, even so. capability_rejected: prompt_too_long" in told
    assert error.message == "Too long, even so."
    assert "capability" not in (Client("messages").error_response(error).text or "")
    assert "capability" not in (known.error_response(BadRequest("No")).text or "")


BODY = b'{"type": "error",\n "error": {"type": "api_error", "message": "Oh", "details": {"a": 1}}}'


def test_an_error_of_anthropics_keeps_its_bytes_for_its_own_clients() -> None:
    error = CCProxyError("Oh", code="context_length_exceeded")
    error.upstream = UpstreamError({"request-id": "req_1"}, BODY)
    native = Client("messages", claude_code=True)
    assert native.error_response(error).raw_content == BODY
    assert native.error_event(error) == b"event: error\ndata: %b\n\n" % BODY.replace(b"\n", b" ")
    chat = json.loads(Client("chat").error_response(error).text or "")
    assert (chat["request_id"], chat["error"]["message"]) == ("req_1", "Oh")
