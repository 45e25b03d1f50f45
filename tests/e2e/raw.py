"""A bare socket to the proxy: what is sent and read is seen byte by byte."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.proxy import Proxy


@contextmanager
def connected(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
        yield client


def exchange(proxy: Proxy, request: bytes) -> bytes:
    """Send a request that asks for the connection to be closed, or is refused, and read until the end."""
    with connected(proxy) as client:
        client.sendall(request)
        return read_all(client)


def read_all(client: socket.socket) -> bytes:
    data = b""
    try:
        while more := client.recv(65536):
            data += more
    except ConnectionResetError:
        pass
    return data


def read_head(client: socket.socket) -> tuple[bytes, bytes]:
    """One response's head, and what has come of the bytes behind it."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(client)
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def read_response(client: socket.socket) -> tuple[int, bytes]:
    """Status and body of one response with a content-length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(client)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += _more(client)
    return int(head.split()[1]), body


def _more(client: socket.socket) -> bytes:
    data = client.recv(65536)
    assert data, "the connection ended amid a response"
    return data


def head(
    method: str, target: str, *headers: str, host: str = "localhost", version: str = "1.1"
) -> bytes:
    lines = [f"{method} {target} HTTP/{version}", f"Host: {host}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def post(
    body: Any, *headers: str, path: str = "/v1/chat/completions", version: str = "1.1"
) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    length = f"Content-Length: {len(data)}"
    return (
        head("POST", path, "Content-Type: application/json", length, *headers, version=version)
        + data
    )


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def json_of(response: bytes) -> Any:
    return json.loads(response.partition(b"\r\n\r\n")[2])
