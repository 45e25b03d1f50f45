"""Heads, keepalives and errors, in each client's dialect."""

from __future__ import annotations

import json

import pytest

from addon.core.errors import BadRequest, RateLimited
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
