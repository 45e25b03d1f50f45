from __future__ import annotations

import pytest

from addon.translation.from_anthropic.headers import client_headers, duration

UPSTREAM = {
    "date": "Sun, 22 Nov 2026 12:00:00 GMT",
    "request-id": "req_1",
    "retry-after": "30",
    "x-should-retry": "true",
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2026-11-22T12:06:00Z",
    "anthropic-ratelimit-tokens-remaining": "1000",
    "anthropic-ratelimit-input-tokens-limit": "9",
    "anthropic-priority-input-tokens-limit": "8",
    "anthropic-ratelimit-unified-status": "allowed",
    "anthropic-ratelimit-unified-5h-utilization": "0.9",
    "anthropic-organization-id": "org",
    "set-cookie": "a=b",
    "cf-ray": "x",
    "server": "cloudflare",
    "content-encoding": "gzip",
    "content-length": "5",
    "transfer-encoding": "chunked",
}
COMMON = {
    "request-id": "req_1",
    "x-request-id": "req_1",
    "retry-after": "30",
    "x-should-retry": "true",
}


@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_openai_clients_get_the_limits_under_openai_s_names(dialect: str) -> None:
    assert dict(client_headers(UPSTREAM, dialect)) == {  # type: ignore[arg-type]
        **COMMON,
        "x-ratelimit-limit-requests": "50",
        "x-ratelimit-remaining-requests": "49",
        "x-ratelimit-reset-requests": "6m0s",
        "x-ratelimit-remaining-tokens": "1000",
    }


def test_anthropic_clients_get_anthropic_s_but_not_how_far_the_subscription_is_used() -> None:
    assert dict(client_headers(UPSTREAM, "messages")) == {
        **COMMON,
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2026-11-22T12:06:00Z",
        "anthropic-ratelimit-tokens-remaining": "1000",
        "anthropic-ratelimit-input-tokens-limit": "9",
        "anthropic-priority-input-tokens-limit": "8",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"date": ""},
        {"date": "today"},
        {"anthropic-ratelimit-requests-reset": "soon"},
        {"date": "Fri, 31 Dec 99999999999 23:59:59 GMT"},
        {"anthropic-ratelimit-requests-reset": "nan"},
        {"anthropic-ratelimit-requests-reset": "9999-12-31T23:59:59Z"},
    ],
    ids=str,
)
def test_a_reset_that_cannot_be_read_is_left_out(changes: dict[str, str]) -> None:
    assert "x-ratelimit-reset-requests" not in dict(client_headers({**UPSTREAM, **changes}, "chat"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (-3, "0s"), (1.2, "1s"), (59, "59s"), (360, "6m0s"), (3661, "1h1m1s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
