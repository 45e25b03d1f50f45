from __future__ import annotations

import json
from typing import Any

import pytest
from openai import APIStatusError, OpenAI

from addon.core.errors import BadGateway, BadRequest, CCProxyError, NotFound, RateLimited, TooLarge
from addon.translation.errors import (
    error_body,
    from_event,
    from_upstream,
)
from tests.translation.upstream import JsonObject

NOW = 1_795_305_600.0
"""2026-11-22T00:00:00Z."""
NO_HEADERS: dict[str, str] = {}


def anthropic_body(kind: str, message: str = "What it said.", **more: Any) -> bytes:
    return json.dumps(
        {"type": "error", "error": {"type": kind, "message": message, **more}}
    ).encode()


ROWS = [
    (400, "invalid_request_error", 400, "invalid_request_error", None),
    (401, "authentication_error", 401, "authentication_error", "invalid_api_key"),
    (402, "billing_error", 402, "insufficient_quota", "insufficient_quota"),
    (403, "permission_error", 403, "permission_error", "permission_denied"),
    (404, "not_found_error", 404, "invalid_request_error", "model_not_found"),
    (409, "conflict_error", 409, "conflict", None),
    (413, "request_too_large", 413, "invalid_request_error", "request_too_large"),
    (429, "rate_limit_error", 429, "rate_limit_error", "rate_limit_exceeded"),
    (500, "api_error", 500, "server_error", None),
    (504, "timeout_error", 504, "server_error", "timeout"),
    (529, "overloaded_error", 503, "server_error", "overloaded"),
    (500, "memory_error", 500, "server_error", None),
    (400, "memory_error", 400, "invalid_request_error", None),
    (418, "teapot_error", 418, "server_error", None),
]


@pytest.mark.parametrize(("status", "kind", "told", "openai_type", "code"), ROWS)
def test_anthropic_errors_in_openai_s_words(
    status: int, kind: str, told: int, openai_type: str, code: str | None
) -> None:
    error = from_upstream(status, anthropic_body(kind), NO_HEADERS, NOW)
    body = {"error": {"message": "What it said.", "type": openai_type, "param": None, "code": code}}
    assert error_body(error, "chat") == error_body(error, "responses") == (told, body)


@pytest.mark.parametrize(("status", "kind"), [row[:2] for row in ROWS])
def test_anthropic_errors_come_back_to_anthropic_clients_as_they_were(
    status: int, kind: str
) -> None:
    error = from_upstream(status, anthropic_body(kind), NO_HEADERS, NOW)
    assert error_body(error, "messages", "req_1") == (
        status,
        {
            "type": "error",
            "error": {"type": kind, "message": "What it said."},
            "request_id": "req_1",
        },
    )


@pytest.mark.parametrize(
    ("status", "kind"), [row[:2] for row in ROWS if row[1] not in ("memory_error", "teapot_error")]
)
def test_an_error_event_stands_for_the_status_it_would_have_had(status: int, kind: str) -> None:
    error = from_event(json.loads(anthropic_body(kind)))
    assert (error.status, error.type, error.message) == (status, kind, "What it said.")


@pytest.mark.parametrize(
    "data",
    [{}, {"error": None}, {"error": {"type": "new_error"}}, {"error": {"message": 5}}],
    ids=str,
)
def test_an_error_event_without_known_content_is_a_server_error(data: JsonObject) -> None:
    error = from_event(data)
    assert error.status == 500
    assert error_body(error, "chat")[1]["error"]["type"] == "server_error"
    assert error.message


def test_the_exception_has_the_class_of_its_status() -> None:
    assert (
        type(from_upstream(429, anthropic_body("rate_limit_error"), NO_HEADERS, NOW)) is RateLimited
    )
    assert type(from_upstream(413, b"", NO_HEADERS, NOW)) is TooLarge
    assert (
        type(from_upstream(529, anthropic_body("overloaded_error"), NO_HEADERS, NOW))
        is CCProxyError
    )


def test_a_prompt_that_is_too_long() -> None:
    text = "prompt is too long: 204826 tokens > 200000 maximum"
    error = from_upstream(400, anthropic_body("invalid_request_error", text), NO_HEADERS, NOW)
    told = error_body(error, "chat")[1]["error"]
    assert (told["code"], told["message"]) == ("context_length_exceeded", text)
    assert error_body(error, "messages")[1]["error"] == {
        "type": "invalid_request_error",
        "message": text,
    }


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (
            "input length and `max_tokens` exceed context limit: 183000 + 32000 > 200000",
            "context_length_exceeded",
        ),
        ("Output blocked by content filtering policy", "content_filter"),
        ("messages: field required", None),
    ],
)
def test_causes_that_only_the_message_tells(message: str, code: str | None) -> None:
    error = from_upstream(400, anthropic_body("invalid_request_error", message), NO_HEADERS, NOW)
    assert error.code == code


def test_upstream_s_own_code_goes_to_every_client() -> None:
    body = anthropic_body("invalid_request_error", details={"error_code": "tool_name_conflict"})
    error = from_upstream(400, body, NO_HEADERS, NOW)
    assert error_body(error, "chat")[1]["error"]["code"] == "tool_name_conflict"
    assert error_body(error, "messages")[1]["error"]["details"] == {
        "error_code": "tool_name_conflict"
    }


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "30"}, 30),
        ({"retry-after": "30", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "Sun, 22 Nov 2026 00:00:20 GMT"}, 20),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "inf"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert (
        from_upstream(429, anthropic_body("rate_limit_error"), headers, NOW).retry_after == seconds
    )
    assert from_upstream(503, b"<html>", headers, NOW).retry_after == seconds


def test_a_used_up_subscription_is_a_matter_of_quota() -> None:
    headers = {"anthropic-ratelimit-unified-status": "rejected"}
    error = from_upstream(429, anthropic_body("rate_limit_error"), headers, NOW)
    assert error_body(error, "chat")[1]["error"]["code"] == "insufficient_quota"


PAGE = (
    b"""<!DOCTYPE html><html><head><title>520: Web server returns an unknown error</title>
<style>body { color: red }</style><script>alert("x")</script></head><body><!-- ray --><h1>Sorry</h1>"""
    + b"<p>lorem ipsum" * 9999
)


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [
        pytest.param(502, 502, "api_error", id="502"),
        pytest.param(520, 502, "api_error", id="520"),
        pytest.param(504, 504, "timeout_error", id="504"),
        pytest.param(529, 529, "overloaded_error", id="529"),
        pytest.param(413, 413, "request_too_large", id="413"),
        pytest.param(403, 403, "permission_error", id="403"),
        pytest.param(451, 451, "invalid_request_error", id="451"),
    ],
)
def test_a_gateway_s_page_becomes_a_short_json_error(status: int, told: int, kind: str) -> None:
    error = from_upstream(status, PAGE, NO_HEADERS, NOW)
    assert (error.status, error.type) == (told, kind)
    assert error.message.startswith(
        f"Upstream returned {status} without a readable error: 520: Web server"
    )
    assert "Sorry" in error.message
    assert not any(hidden in error.message for hidden in ("<", "alert", "color", "ray"))
    assert len(error.message) < 400


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"null", b"[1]", b'{"a":1}', b"[" * 100_000], ids=range(6)
)
def test_any_body_gives_an_error(body: bytes) -> None:
    assert from_upstream(500, body, NO_HEADERS, NOW).status == 500


def test_an_error_that_is_a_text() -> None:
    assert from_upstream(400, b'{"error":"plain"}', NO_HEADERS, NOW).message == "plain"


def test_our_own_errors_name_the_field_and_the_cause() -> None:
    error = BadRequest(
        "tools[0].name: expected a string", param="tools[0].name", code="invalid_type"
    )
    assert error_body(error, "chat")[1]["error"] == {
        "message": "tools[0].name: expected a string",
        "type": "invalid_request_error",
        "param": "tools[0].name",
        "code": "invalid_type",
    }
    assert (
        error_body(NotFound("No such page.", code="unknown_url"), "chat")[1]["error"]["code"]
        == "unknown_url"
    )


def test_keys_are_taken_out_of_what_upstream_says() -> None:
    key = "sk-ant-oat01-" + "A1b2" * 20
    for body in (
        anthropic_body("authentication_error", f"bad key {key}"),
        f"<p>bad key {key}".encode(),
    ):
        assert "A1b2" not in from_upstream(401, body, NO_HEADERS, NOW).message


def test_the_openai_sdk_reads_what_we_write() -> None:
    import httpx2

    status, body = error_body(
        BadGateway("Upstream is unreachable.", code="upstream_unreachable"), "chat"
    )
    transport = httpx2.MockTransport(lambda _: httpx2.Response(status, json=body))
    client = OpenAI(
        api_key="x",
        base_url="http://test",
        max_retries=0,
        http_client=httpx2.Client(transport=transport),
    )
    with pytest.raises(APIStatusError) as caught:
        client.chat.completions.create(model="m", messages=[])
    client.close()
    assert (caught.value.status_code, caught.value.code, caught.value.type) == (
        502,
        "upstream_unreachable",
        "server_error",
    )
