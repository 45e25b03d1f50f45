"""What a request hears that no route serves."""

from __future__ import annotations

import pytest

from addon.core.errors import MethodNotAllowed
from addon.exchange.unserved import unserved


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/chat/completions", "POST, OPTIONS"),
        ("HEAD", "/messages/", "POST, OPTIONS"),
        ("POST", "/v1/models?x=1", "GET, HEAD, OPTIONS"),
        ("PUT", "/budget", "GET, HEAD, POST, OPTIONS"),
        ("PATCH", "/v1/responses/resp_1", "GET, HEAD, DELETE, OPTIONS"),
        ("DELETE", "/v1/responses/resp_1/input_items", "GET, HEAD, OPTIONS"),
        ("post", "/v1/messages", "POST, OPTIONS"),
    ],
)
def test_another_method_is_named(method: str, path: str, allow: str) -> None:
    error = unserved(method, path, shown="x")
    assert isinstance(error, MethodNotAllowed)
    assert (error.status, error.allow) == (405, allow)


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/v1/batches/b_1", "/v1/messages"),
        ("/v1/messages/batches", "batches"),
        ("/v1/files", "within the request"),
        ("/v1/v1/assistants", "previous_response_id"),
        ("/conversations/c", "previous_response_id"),
        ("/api/chat", "Ollama"),
        ("/v1beta/models/gemini-3-pro:generateContent", "Gemini"),
        ("/v1/audio/speech/", "text"),
    ],
)
def test_known_endpoints_say_what_to_use(path: str, word: str) -> None:
    error = unserved("POST", path, shown=path)
    assert error.status == 404 and word in error.message


@pytest.mark.parametrize(
    "path",
    ["/admin", "*", "", "/v1", "/a" * 100_000],
    ids=["other", "star", "empty", "version", "long"],
)
def test_others_are_unknown(path: str) -> None:
    error = unserved("GET", path, shown="x")
    assert (error.status, error.message, error.code) == (
        404,
        "Unknown endpoint: x",
        "unknown_endpoint",
    )
