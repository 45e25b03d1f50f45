"""A bare HTTP client for the fake's own tests: what it sends and reads is seen byte by byte."""

from __future__ import annotations

import json
import socket
import ssl
from typing import Any

import httpx

from addon.stand_in.access import API_KEY, OAUTH_BETA, OAUTH_TOKEN, SYSTEM_LINE
from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.record import JsonObject

VERSION = {"anthropic-version": "2023-06-01"}
BY_KEY = VERSION | {"x-api-key": API_KEY}
BY_TOKEN = VERSION | {"authorization": f"Bearer {OAUTH_TOKEN}", "anthropic-beta": OAUTH_BETA}
UNUSED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Spares each request the load of the system's certificates."""
LINE = [{"type": "text", "text": SYSTEM_LINE}]


def asking(*messages: Any, **fields: Any) -> JsonObject:
    """A body; a string is a user message."""
    turns = [{"role": "user", "content": m} if isinstance(m, str) else m for m in messages]
    return {"model": "claude-opus-4-8", "max_tokens": 4096, "messages": turns, **fields}


def post(
    fake: FakeAnthropic,
    body: Any,
    headers: dict[str, str] | None = None,
    path: str = "/v1/messages",
) -> httpx.Response:
    return httpx.post(
        fake.url + path, json=body, headers=headers or BY_KEY, timeout=10, verify=UNUSED
    )


def answered(
    fake: FakeAnthropic, body: JsonObject, headers: dict[str, str] | None = None
) -> JsonObject:
    """The message that answers; an AssertionError with the API's text when it is refused."""
    response = post(fake, body, headers)
    assert response.status_code == 200, response.text
    return response.json()  # type: ignore[no-any-return]


def refusal(response: httpx.Response) -> str:
    """`status type: message` of an Anthropic error."""
    error = response.json()["error"]
    return f"{response.status_code} {error['type']}: {error['message']}"


def raw(body: JsonObject, headers: dict[str, str] | None = None) -> bytes:
    """A whole HTTP/1.1 request for a socket."""
    data = json.dumps(body).encode()
    fields = {"host": "fake", "content-length": str(len(data)), **(headers or BY_KEY)}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST /v1/messages HTTP/1.1\r\n{head}\r\n".encode() + data


def connected(fake: FakeAnthropic) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", fake.port), timeout=5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def read_all(sock: socket.socket) -> tuple[bytes, bool]:
    """Everything until the end, and whether the end was a reset."""
    data = b""
    try:
        while more := sock.recv(65536):
            data += more
    except ConnectionResetError:
        return data, True
    return data, False
