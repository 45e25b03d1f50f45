"""Whatever bytes come to the port: an HTTP answer of ours or a closed connection, no traceback, and nothing upstream that
has not shown the secret. tests/test_bytes_from_outside.py does the same for single readers, without sockets.

What was found, and the worst that we could think of, is kept as `@example`s.
"""

from __future__ import annotations

import json
import re
import select
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.budget import examples
from tests.e2e import raw
from tests.e2e.conftest import World
from tests.e2e.proxy import message

SECRET = "hush-hush-hush-hush"
KNOWS = f"x-api-key: {SECRET}"
BODY = json.dumps(message()).encode()
ASKS = raw.head("POST", "/v1/messages", f"Content-Length: {len(BODY)}", KNOWS) + BODY
HIDDEN = json.dumps(message("smuggled")).encode()
SMUGGLED = raw.head("POST", "/v1/messages", f"Content-Length: {len(HIDDEN)}") + HIDDEN
STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")


@pytest.fixture(scope="module", name="settings")
def of_the_proxy() -> Mapping[str, Any]:
    return {"PROXY_SECRET_KEY": SECRET, "REQUIRE_SECRET_LOCALLY": "true"}


@pytest.fixture(scope="module")
def running(running: World) -> Iterator[World]:
    yield running
    for words in ("Traceback", "layer failed", "Addon error", "mitmproxy has crashed"):
        assert words not in running.proxy.output


def words(*known: bytes) -> st.SearchStrategy[bytes]:
    """One of the known, and now and then anything."""
    return st.sampled_from(known) | st.binary(max_size=12)


METHODS = words(b"GET", b"POST", b"OPTIONS", b"HEAD", b"CONNECT", b"PRI", b"TRACE", b"", b"get")
TARGETS = words(
    b"/v1/messages", b"/v1/models", b"/", b"*", b"/health", b"http://e.example/v1/messages", b"e.example:443",
    b"/dashboard/login", b"//", b"/%00", b"/v1/messages?a=\xff", b"/v1/responses", b"/@work/v1/messages", b"http://[",
)  # fmt: skip
VERSIONS = words(b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.10", b"")
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n", b" \r\n"])
NAMES = words(
    b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Upgrade", b"Expect", b"Origin", b"x-api-key",
    b"Content-Encoding", b"Content-Type", b"Trailer", b"TE", b"Sec-WebSocket-Key", b"Authorization", b"cf-connecting-ip",
    b" Host", b"Host ", b"\tx", b"Content-Length\x00", b"X-Forwarded-For", b"Proxy-Connection", b"Cookie", b":authority",
)  # fmt: skip
VALUES = words(
    b"localhost", b"localhost, localhost", b"a:99999", b"[::1", b"0", b"3", b"-1", b"+3", b"3, 3", b"3, 4", b"0x3", b"9" * 40,
    b"chunked", b"gzip, chunked", b"chunked, chunked", b"identity", b"xchunked", b"chunked\x0b", b"close", b"keep-alive",
    b"websocket", b"h2c", b"Upgrade", b"100-continue", b"gzip", b"br", b"zstd", b"Bearer x", b"8.8.8.8", b"http://e.example",
    b"application/json", b"null", b"\xff\xfe", b"",
)  # fmt: skip
BODIES = words(
    b"abc", b"{}", BODY, b"0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"3;x=y\r\nabc\r\n0\r\nx: y\r\n\r\n", b"zz\r\n", b"-1\r\n",
    b"ffffffffffffffffff\r\n", b"3\nabc\n0\n\n", b"\x1f\x8b\x08", SMUGGLED, b"0\r\n\r\n" + SMUGGLED,
    b"\x81\xfe\x00\x7e", b"\x16\x03\x01",
)  # fmt: skip


WRONG = st.sets(st.sampled_from(["line", "host", "ends", "fields", "length"]), max_size=2)
RIGHT_LINES = st.sampled_from(
    [
        b"POST /v1/messages HTTP/1.1",
        b"POST /dashboard/login HTTP/1.1",
        b"OPTIONS /v1/messages HTTP/1.1",
        b"GET /dashboard HTTP/1.1",
        b"HEAD / HTTP/1.0",
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request of which up to two parts are wrong ones."""
    wrong, body = draw(WRONG), draw(BODIES)
    line = b" ".join(draw(st.tuples(METHODS, TARGETS, VERSIONS)))
    lines = [line if "line" in wrong else draw(RIGHT_LINES)]
    lines += [] if "host" in wrong else [b"Host: localhost"]
    lines += [] if "length" in wrong else [b"Content-Length: %d" % len(body)]
    if "fields" in wrong:
        separators = st.sampled_from([b": ", b": ", b":", b" : ", b""])
        fields = st.lists(st.tuples(NAMES, separators, VALUES), max_size=4)
        lines += [b"".join(field) for field in draw(fields)]
    ends = [draw(ENDS) if "ends" in wrong else b"\r\n" for _ in range(len(lines) + 1)]
    return b"".join(text + end for text, end in zip([*lines, b""], ends, strict=True)) + body


connections = st.lists(requests() | st.binary(max_size=80), min_size=1, max_size=3).map(b"".join)


def talk(world: World, data: bytes) -> bytes:
    """What comes back at once, and what comes until the proxy closes, as it must when the client has said that it sends
    no more."""
    with raw.connected(world.proxy) as client:
        try:
            client.sendall(data)
            readable, _, _ = select.select([client], [], [], 0.03)
            first = client.recv(65536) if readable else b""
            client.shutdown(socket.SHUT_WR)
        except OSError:
            return b""  # closed meanwhile
        return first + raw.read_all(client)


def check_answer(data: bytes) -> None:
    if data:
        found = STATUS_LINE.match(data)
        assert found, data[:200]
        assert b"mitmproxy" not in data.lower()


def test_nothing_of_any_kind_gets_past_the_door(running: World) -> None:
    world = running
    world.reset()

    @settings(max_examples=examples(300), suppress_health_check=list(HealthCheck), deadline=None)
    @given(connections)
    @example(SMUGGLED)
    @example(
        raw.head("POST", "/v1/messages", "Content-Length: 3", "Transfer-Encoding: chunked")
        + SMUGGLED
    )
    @example(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
    @example(raw.head("CONNECT", "e.example:443") + SMUGGLED)
    @example(
        b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"
    )
    @example(b"\r\n" * 200)
    @example(b"GET / HTTP/1.1\n\n")
    def run(data: bytes) -> None:
        check_answer(talk(world, data))
        assert world.untouched

    run()


def test_what_follows_a_request_that_may_come_in_is_judged_anew(running: World) -> None:
    """One request with the secret, and anything behind it on the same connection."""
    world = running

    @settings(max_examples=examples(150), suppress_health_check=list(HealthCheck), deadline=None)
    @given(connections)
    @example(SMUGGLED)
    @example(b"\r\n\r\n" + SMUGGLED)
    def run(data: bytes) -> None:
        check_answer(talk(world, ASKS + data))
        assert not any(HIDDEN in request.body for request in world.fake.messages())

    run()


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_five_thousand_connections(running: World) -> None:
    world = running
    world.reset()

    @settings(max_examples=5000, suppress_health_check=list(HealthCheck), deadline=None)
    @given(connections)
    def run(data: bytes) -> None:
        check_answer(talk(world, data))
        assert world.untouched

    run()
