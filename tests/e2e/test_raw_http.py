"""What comes in byte by byte: odd paths, forms, heads and bodies. All is answered, and nothing of it goes upstream."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from addon.exchange.routes import ROUTES
from addon.stand_in.script import say
from tests.e2e import raw
from tests.e2e.conftest import World
from tests.e2e.proxy import chat, message

CLOSE = "Connection: close"
UNKNOWN = [
    "/v1/messages/../../admin", "/v1/messages/..", "/v1/../v1/messages", "/./v1/messages",
    "/v1/messages/%2e%2e/admin", "/v1/%6dessages", "/v1/messages%2f",
    "/v1%2fmessages", "/v1/messages%00", "/v1/messages;a=b", "/v1/messages/batches", "/v1/messages/123",
    "/V1/Messages", "/v1/messages.json", "/v1\\messages", "/v1/messages#x",
    "//evil.example/v1/messages", "/\\evil.example/v1/messages", "/@/v1/messages", "/@evil.example:1/v1/messages", "/v1/complete",
    "/v1/files", "/v1/organizations/x", "/v1/oauth/token", "/api/oauth/usage", "/v1/embeddings", "/admin",
    "/.env", "/v1/v1/v1/messages", "/openai/deployments/x%2fy/chat/completions",
    "/openai/deployments/../chat/completions", "*", "v1/messages",
]  # fmt: skip


def refused(world: World, request: bytes, *statuses: int) -> bytes:
    response = raw.exchange(world.proxy, request)
    assert raw.status_of(response) in (statuses or range(400, 500))
    assert b"mitmproxy" not in response.lower() and b"<html" not in response.lower()
    assert raw.json_of(response)["error"]["message"]
    assert world.untouched
    return response


@pytest.mark.parametrize("path", UNKNOWN)
def test_what_is_not_served_is_answered_here(path: str, world: World) -> None:
    body = json.dumps(message()).encode()
    headers = ("Content-Type: application/json", f"Content-Length: {len(body)}", CLOSE)
    refused(world, raw.head("POST", path, *headers) + body)
    refused(world, raw.head("GET", path, CLOSE))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "GET", "TRACE", "FOO", "PRI", "HEAD"])
def test_other_methods_are_answered_here(method: str, world: World) -> None:
    response = raw.exchange(world.proxy, raw.head(method, "/v1/messages", CLOSE))
    assert 400 <= raw.status_of(response) < 500
    assert world.untouched


@pytest.mark.parametrize(
    "request_line",
    [
        "GET http://evil.example/v1/models HTTP/1.1",
        "POST https://evil.example/v1/messages HTTP/1.1",
        "POST http://localhost:8082/v1/messages HTTP/1.1",
        "CONNECT evil.example:443 HTTP/1.1",
        "CONNECT localhost:8082 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET /v1/models",
        "/v1/models",
    ],
)
def test_this_is_no_forward_proxy(request_line: str, world: World) -> None:
    refused(world, f"{request_line}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n{}xx",
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: +4\r\n\r\n{}xx",
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}xx",
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: banana\r\n\r\n{}",
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n: empty name\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ],
)  # fmt: skip
def test_malformed_heads_get_json(head: bytes, world: World) -> None:
    response = refused(world, head)
    assert b"connection: close" in response.lower() or raw.status_of(response) in (404, 421)


def test_http_2_by_prior_knowledge_is_closed(world: World) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    assert raw.exchange(world.proxy, preface) == b""
    assert world.untouched


def test_a_malformed_chunk_is_no_request(world: World) -> None:
    request = (
        raw.head("POST", "/v1/messages", "Transfer-Encoding: chunked") + b"zz\r\nx\r\n0\r\n\r\n"
    )
    response = raw.exchange(world.proxy, request)
    assert response == b"" or raw.status_of(response) == 400
    assert world.untouched


def test_trailers_do_not_hang(world: World) -> None:
    body = json.dumps(chat()).encode()
    chunks = b"%x\r\n%b\r\n0\r\nX-Trailer: 1\r\n\r\n" % (len(body), body)
    headers = ("Content-Type: application/json", "Transfer-Encoding: chunked", CLOSE)
    response = raw.exchange(
        world.proxy, raw.head("POST", "/v1/chat/completions", *headers) + chunks
    )
    assert response == b"" or raw.status_of(response) in (200, 400)


def test_a_chunked_request_is_served(world: World) -> None:
    body = json.dumps(chat()).encode()
    chunks = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (10, body[:10], len(body) - 10, body[10:])
    headers = ("Content-Type: application/json", "Transfer-Encoding: chunked", CLOSE)
    response = raw.exchange(
        world.proxy, raw.head("POST", "/v1/chat/completions", *headers) + chunks
    )
    assert raw.status_of(response) == 200
    assert world.fake.messages()[0].header("transfer-encoding") is None


def test_a_tls_hello_is_closed(world: World) -> None:
    hello = bytes.fromhex("16030100f4010000f00303") + bytes(300)
    assert raw.exchange(world.proxy, hello) == b""
    assert world.untouched


def test_an_upgrade_is_not_taken(world: World) -> None:
    body = raw.post(
        chat(), "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__", "Connection: Upgrade, close"
    )
    assert raw.status_of(raw.exchange(world.proxy, body)) in (200, 400)
    assert all(request.header("upgrade") is None for request in world.fake.requests)
    world.reset()
    socket = raw.head(
        "GET",
        "/v1/models",
        "Upgrade: websocket",
        "Connection: Upgrade, close",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: x",
    )
    assert raw.status_of(raw.exchange(world.proxy, socket)) == 200
    assert world.untouched


def test_a_head_without_end_is_a_431(world: World) -> None:
    with raw.connected(world.proxy) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * (65 * 1024))
        response = raw.read_all(client)
    assert raw.status_of(response) == 431 and raw.json_of(response)["error"]["message"]
    assert world.untouched


def test_a_head_that_is_whole_but_too_long_is_a_431_too(world: World) -> None:
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * (200 * 1024) + b"\r\n\r\n"
    response = raw.exchange(world.proxy, request)
    assert raw.status_of(response) == 431
    assert world.untouched


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
def test_a_body_too_large_by_its_length_is_a_413_at_once(path: str, world: World) -> None:
    request = raw.head(
        "POST", path, "Content-Type: application/json", f"Content-Length: {34 * 2**20}"
    )
    response = raw.exchange(world.proxy, request)
    assert raw.status_of(response) == 413
    kind = raw.json_of(response)["error"]["type"]
    assert kind == ("request_too_large" if path == "/v1/messages" else "invalid_request_error")
    assert world.untouched


def test_a_body_too_large_in_chunks_is_a_413(world: World) -> None:
    piece = b"100000\r\n" + b" " * 2**20 + b"\r\n"
    with raw.connected(world.proxy) as client:
        client.sendall(
            raw.head(
                "POST",
                "/v1/messages",
                "Content-Type: application/json",
                "Transfer-Encoding: chunked",
            )
        )
        try:
            for _ in range(36):
                client.sendall(piece)
        except OSError:
            pass  # it does not listen any more
        response = raw.read_all(client)
    assert response == b"" or raw.status_of(response) == 413
    assert world.untouched


def test_an_http_1_0_client_gets_a_stream_that_ends_with_the_connection(world: World) -> None:
    world.fake.script(say("one two three"))
    response = raw.exchange(world.proxy, raw.post(chat(stream=True), version="1.0"))
    head, _, body = response.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower() and b" 200 " in head
    assert body.startswith(b"data: ") and body.endswith(b"data: [DONE]\n\n")


def test_pipelined_requests_are_answered_in_order(world: World) -> None:
    world.fake.script([say("first"), say("second"), say("third")])
    requests = raw.post(chat()) + raw.post(chat()) + raw.post(chat(), CLOSE)
    response = raw.exchange(world.proxy, requests)
    places = [response.index(word) for word in (b"first", b"second", b"third")]
    assert places == sorted(places) and response.count(b"HTTP/1.1 200") == 3


GETS = sorted({path for method, path in ROUTES if method == "GET"})


def head_of(world: World, method: str, *headers: str, target: str) -> bytes:
    with raw.connected(world.proxy) as client:
        client.sendall(raw.head(method, target, *headers))
        return raw.read_head(client)[0]


@pytest.mark.parametrize("path", [*GETS, "/explain/0123abcd", "/context/0123abcd", "/nothing"])
def test_head_is_answered_like_get_without_its_body(path: str, world: World) -> None:
    with raw.connected(world.proxy) as client:
        client.sendall(raw.head("HEAD", path))
        head, rest = raw.read_head(client)
        client.sendall(raw.head("GET", "/v1/models", CLOSE))
        second = rest + raw.read_all(client)
    assert second.startswith(b"HTTP/1.1 200 OK\r\n")
    assert raw.json_of(second)["object"] == "list"
    assert head == head_of(world, "GET", target=path)
    assert world.untouched


@pytest.mark.parametrize(
    "headers", [("Origin: https://evil.example",), ("X-Forwarded-For: 8.8.8.8",)], ids=str
)
def test_a_refused_head_has_no_body_either(headers: tuple[str], world: World) -> None:
    with raw.connected(world.proxy) as client:
        client.sendall(raw.head("HEAD", "/analytics", *headers))
        head, rest = raw.read_head(client)
        client.sendall(raw.head("GET", "/v1/models", CLOSE))
        second = rest + raw.read_all(client)
    assert raw.status_of(head) in (401, 403)
    assert second.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_head_that_is_not_read_to_its_end_gets_no_body(world: World) -> None:
    headers = ("Content-Type: application/json", f"Content-Length: {34 * 2**20}")
    response = raw.exchange(world.proxy, raw.head("HEAD", "/", *headers))
    assert raw.status_of(response) == 413 and response.endswith(b"\r\n\r\n")


def test_expect_100_continue(world: World) -> None:
    body = json.dumps(chat()).encode()
    with raw.connected(world.proxy) as client:
        headers = (
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Expect: 100-continue",
        )
        client.sendall(raw.head("POST", "/v1/chat/completions", *headers))
        assert client.recv(100).startswith(b"HTTP/1.1 100")
        client.sendall(body)
        assert raw.read_response(client)[0] == 200
    assert world.fake.messages()[0].header("expect") is None


def test_a_refused_request_is_not_asked_to_continue(world: World) -> None:
    headers = ("Content-Type: application/json", "Content-Length: 9999999", "Expect: 100-continue")
    request = raw.head("POST", "/v1/unknown", *headers)
    response = raw.exchange(world.proxy, request)
    assert raw.status_of(response) == 404


def zipped(body: Any) -> bytes:
    data = gzip.compress(json.dumps(body).encode())
    return raw.post(data, "Content-Encoding: gzip", CLOSE)


def test_a_gzipped_body_is_read(world: World) -> None:
    assert raw.status_of(raw.exchange(world.proxy, zipped(chat("zipped")))) == 200
    request = world.fake.messages()[0]
    assert (
        request.json["messages"][0]["content"] != "" and request.header("content-encoding") is None
    )


def memory(world: World) -> int:
    """Most memory that the proxy has used so far, in MB."""
    assert world.proxy.process is not None
    status = Path(f"/proc/{world.proxy.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def test_a_gzip_bomb_is_refused_without_unpacking_it(world: World) -> None:
    before = memory(world)
    bomb = gzip.compress(bytes(300 * 2**20), 9)
    response = raw.exchange(world.proxy, raw.post(bomb, "Content-Encoding: gzip", CLOSE))
    assert raw.status_of(response) == 413
    assert memory(world) - before < 120
    assert world.untouched


@pytest.mark.parametrize("encoding", ["gzip, gzip", "compress", "banana"])
def test_other_encodings_are_a_415(encoding: str, world: World) -> None:
    refused(world, raw.post(chat(), f"Content-Encoding: {encoding}", CLOSE), 415)


MALFORMED = [
    b"", b"null", b"[]", b"1", b'"x"', b"{", b"\xff\xfe", b'{"a":NaN}', b"[" * 100_000,
    b'{"model":' + b"9" * 5000 + b"}", b'{"model":"\\ud800"}',
    b'{"model":["claude-opus-4-8"],"messages":[{"role":"user","content":"x"}]}',
    b"\x1f\x8b" + bytes(20),
]  # fmt: skip
MISSHAPEN = [
    b'{"model":"claude-opus-4-8"}',
    b'{"model":"claude-opus-4-8","messages":{}}',
    b'{"model":"claude-opus-4-8","messages":[1]}',
    b'{"model":"claude-opus-4-8","messages":[{"role":"user","content":{"a":1}}]}',
]
OPENAI = ["/v1/chat/completions", "/v1/responses"]


@pytest.mark.parametrize("body", MISSHAPEN, ids=lambda body: repr(body[:48]))
def test_a_misshapen_native_body_is_anthropics_to_refuse(body: bytes, world: World) -> None:
    assert (
        raw.status_of(raw.exchange(world.proxy, raw.post(body, CLOSE, path="/v1/messages"))) == 400
    )
    assert not world.untouched


@pytest.mark.parametrize(
    ("path", "body"),
    [(path, body) for path in ["/v1/messages", *OPENAI] for body in MALFORMED]
    + [(path, body) for path in OPENAI for body in MISSHAPEN],
    ids=lambda value: value if isinstance(value, str) else repr(value[:48]),
)
def test_malformed_bodies_are_a_400(path: str, body: bytes, world: World) -> None:
    refused(world, raw.post(body, CLOSE, path=path), 400, 404)
