"""What anybody can make the proxy hold, or do, before he has shown that he may."""

from __future__ import annotations

import base64
import gzip
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.script import fail
from bench.strangers import MOST_GROWTH, measured
from bench.target import memory_of
from tests.e2e import raw, uncollected
from tests.e2e.conftest import StartProxy
from tests.e2e.hurry import BODY_SECONDS
from tests.e2e.proxy import OWN_PORT, Proxy, chat, message
from tests.e2e.test_door import HURRY

SECRET = "hush-hush-hush-hush"
FOREIGN = "some-words-here.trycloudflare.com"
KNOWS = {"x-api-key": SECRET}
MOST = 40
FEW_CONNECTIONS = f"from addon.replay_layer import connections\nconnections.MOST = {MOST}\n"


@pytest.fixture
def proxy(start_proxy: StartProxy) -> Proxy:
    """It never collects garbage."""
    script = ["-s", str(Path(uncollected.__file__))]
    return start_proxy(PROXY_SECRET_KEY=SECRET, EXPLAIN="false", arguments=script)


def grown(proxy: Proxy, work: Callable[[], object], times: int = 12) -> float:
    """MiB by which the process has grown after some turns, the first two aside."""
    assert proxy.process
    for _ in range(2):
        work()
    before = memory_of(proxy.process.pid)
    for _ in range(times):
        work()
    time.sleep(0.2)  # the last one ends
    return (memory_of(proxy.process.pid) - before) / 1024


def picture() -> dict[str, Any]:
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + os.urandom(3_000_000)).decode()
    source = {"type": "base64", "media_type": "image/png", "data": data}
    return message([{"type": "image", "source": source}])  # type: ignore[arg-type]


def leave_amid(proxy: Proxy, data: bytes) -> None:
    with raw.connected(proxy) as client:
        head = raw.head("POST", "/v1/messages", f"Content-Length: {2 * len(data)}")
        client.sendall(head + data)
        time.sleep(0.05)


@pytest.mark.parametrize("case", ["served", "refused upstream", "no JSON", "left"])
def test_memory_of_a_large_body_comes_back_without_a_collection(
    case: str, proxy: Proxy, fake: FakeAnthropic
) -> None:
    body, data = picture(), b"[" + b" " * 4_000_000

    def turn() -> None:
        if case == "left":
            leave_amid(proxy, data)
        elif case == "no JSON":
            assert proxy.post("/v1/messages", content=data).status_code == 400
        else:
            if case == "refused upstream":
                fake.script(fail(400, "No."))
            assert proxy.post("/v1/messages", body).status_code in (200, 400)

    assert grown(proxy, turn) < 16, "each of the twelve has 4 MB"


VISITS = {
    "silent": b"",
    "amid a head": b"GET / HT",
    "amid a body": raw.head("POST", "/dashboard/login", "Content-Length: 999", host=FOREIGN) + b"x",
    "refused": raw.head("GET", "/v1/models", "x-api-key: guess", host=FOREIGN),
    "refused unread": raw.head("POST", "/v1/messages", "Content-Length: 99999999", host=FOREIGN),
}


@pytest.mark.parametrize("visit", VISITS)
def test_memory_of_a_connection_comes_back_without_a_collection(visit: str, proxy: Proxy) -> None:
    """One for what a crowd leaves behind would keep everybody waiting."""

    def visits() -> None:
        for _ in range(150):
            with raw.connected(proxy) as client:
                client.sendall(VISITS[visit])
                if visit.startswith("refused"):
                    client.recv(100_000)
        assert proxy.get("/health").status_code == 200, "it has come to all of them"

    assert grown(proxy, visits) < 5, "each of the 1,800 took 5 to 20 KiB"


def sent_on(proxy: Proxy, head: bytes, data: bytes) -> bytes:
    """What is answered to a body that may be refused while it is sent."""
    with raw.connected(proxy) as client:
        client.sendall(head)
        try:
            for start in range(0, len(data), 50_000):
                client.sendall(data[start : start + 50_000])
            client.sendall(b"0\r\n\r\n" if b"chunked" in head else b"")
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused meanwhile
        return raw.read_all(client)


def chunk(size: int) -> bytes:
    return b"%x\r\n%b\r\n" % (size, b"x" * size)


@pytest.mark.parametrize("framing", ["Content-Length: 8000000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("OPTIONS", "/v1/messages"),
        ("GET", "/"),
        ("GET", "/dashboard"),
        ("POST", "/dashboard/login"),
        ("POST", "/budget"),
        ("GET", "/v1/responses/resp_abc"),
    ],
)
def test_a_body_that_the_route_has_no_use_for_is_not_read(
    method: str, path: str, framing: str, proxy: Proxy
) -> None:
    head = raw.head(method, path, framing, "Content-Type: application/json", "Connection: close")
    data = b"x" * 8_000_000 if "Length" in framing else chunk(50_000) * 160
    assert proxy.process
    sent_on(proxy, head, data)
    before = memory_of(proxy.process.pid)
    for _ in range(5):
        reply = sent_on(proxy, head, data)
        # closed while it was sent, so that what was answered may be lost
        assert not reply or raw.status_of(reply) == 413
    assert memory_of(proxy.process.pid) - before < 4 * 1024


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("OPTIONS", "/v1/messages", 204), ("GET", "/health", 200), ("GET", "/v1/models", 200)],
)
def test_a_small_body_that_nobody_needs_is_no_fault(
    method: str, path: str, status: int, proxy: Proxy
) -> None:
    head = raw.head(method, path, "Content-Length: 2", "Connection: close")
    assert raw.status_of(raw.exchange(proxy, head + b"{}")) == status


def test_a_bomb_for_the_sign_in_does_not_go_off(proxy: Proxy) -> None:
    bomb = gzip.compress(b'{"secret": "' + b"x" * 30_000_000 + b'"}')
    small = gzip.compress(b'{"secret": "' + b"x" * 2_000_000 + b'"}')
    assert proxy.process and len(small) < 4096 < len(bomb)
    packed = {"content-type": "application/json", "content-encoding": "gzip"}
    before = memory_of(proxy.process.pid)
    for body in (bomb, small):
        response = proxy.post("/dashboard/login", content=body, headers=packed)
        assert response.status_code == 413
    assert memory_of(proxy.process.pid) - before < 2 * 1024
    right = gzip.compress(b'{"secret": "%b"}' % SECRET.encode())
    response = proxy.post("/dashboard/login", content=right, headers=packed)
    assert response.status_code == 204


def test_the_small_body_of_a_refused_request_is_read_and_kept_nowhere(proxy: Proxy) -> None:
    with raw.connected(proxy) as client:
        for _ in range(3):
            client.sendall(raw.post(b"x" * 60_000, f"X-Forwarded-Host: {FOREIGN}"))
            assert raw.read_response(client)[0] == 401
        client.sendall(raw.post(chat()))
        assert raw.read_response(client)[0] == 200


@pytest.mark.parametrize("line", [b"1;x=", b"0\r\nx: ", chunk(1) + b"1;x="])
def test_a_line_between_chunks_without_an_end_is_not_kept(line: bytes, proxy: Proxy) -> None:
    head = raw.head("POST", "/v1/messages", "Transfer-Encoding: chunked")
    with raw.connected(proxy) as client:
        client.sendall(head + line + b"y" * 60_000)
        assert raw.status_of(raw.read_all(client)) == 400


# ---- shares of connections


@pytest.fixture
def small(start_proxy: StartProxy, tmp_path: Path) -> Proxy:
    """It has forty connections."""
    script = tmp_path / "few.py"
    script.write_text(FEW_CONNECTIONS)
    first = ["-s", str(script)]
    return start_proxy(launch=False, first=first, mode=OWN_PORT, PROXY_SECRET_KEY=SECRET)


@pytest.fixture
def opened(small: Proxy) -> Iterator[Callable[[bytes], socket.socket]]:
    """Opens connections that send some bytes, and then nothing."""
    with ExitStack() as stack:

        def open_one(data: bytes) -> socket.socket:
            client = stack.enter_context(raw.connected(small))
            client.sendall(data)
            return client

        yield open_one


SLOW_BODY = raw.head("POST", "/dashboard/login", "Content-Length: 1000", host=FOREIGN) + b"x"
SLOW_REFUSED = raw.head("POST", "/v1/messages", "Content-Length: 1000", host=FOREIGN) + b"x"


@pytest.mark.parametrize("data", [b"", b"GET / HT", SLOW_BODY, SLOW_REFUSED])
def test_strangers_can_not_take_the_owners_connections(
    data: bytes, small: Proxy, opened: Callable[[bytes], socket.socket], fake: FakeAnthropic
) -> None:
    """Neither one that he has, nor a new one, here or through a tunnel."""
    through = {"host": FOREIGN, "cf-connecting-ip": "8.8.8.8"}
    with raw.connected(small) as own:
        own.sendall(raw.post(chat()))
        assert raw.read_response(own)[0] == 200
        strangers = [opened(data) for _ in range(3 * MOST)]
        assert raw.read_all(strangers[2 * MOST - 1]) == b"", "closed for the last of them"
        for headers in ({}, through | KNOWS):
            response = small.post("/v1/messages", message(), headers=headers, timeout=5)
            assert response.status_code == 200
        own.sendall(raw.post(chat()))
        assert raw.read_response(own)[0] == 200
    # one line in this minute: what is refused on its head may be refused before there are too many
    refused = " rejected: " if data == SLOW_REFUSED else "unknown callers are closed"
    told = [
        line for line in small.output.splitlines() if "unknown callers" in line or refused in line
    ]
    assert len(told) == 1


def test_beyond_all_connections_of_the_owner_further_ones_are_closed(
    small: Proxy, opened: Callable[[bytes], socket.socket], fake: FakeAnthropic
) -> None:
    own = []
    # one by one: before its request is read, nobody knows whose a connection is
    for _ in range(MOST):
        own.append(opened(raw.head("GET", "/v1/models")))
        assert raw.read_response(own[-1])[0] == 200
    assert raw.read_all(opened(b"")) == b""
    own[0].close()
    assert fake.wait_until(lambda: raw.read_all(opened(CLOSING)).startswith(b"HTTP/1.1 200"))


CLOSING = raw.head("GET", "/health", "Connection: close")


@pytest.mark.skipif(sys.platform != "linux", reason="others limit the queue by other rules")
def test_a_crowd_fits_into_the_queue_of_connections_from_the_first_moment(proxy: Proxy) -> None:
    """The kernel drops who finds it full, and he tries again only after a second."""
    assert proxy.process
    os.kill(proxy.process.pid, signal.SIGSTOP)
    try:
        with ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(raw.connected(proxy))
    finally:
        os.kill(proxy.process.pid, signal.SIGCONT)


def test_a_new_request_is_not_measured_by_the_time_of_the_last(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(launch=False, first=HURRY, mode=OWN_PORT)
    request = raw.post(chat())
    with raw.connected(proxy) as client:
        for pause in (0.7 * BODY_SECONDS, 0.0):
            client.sendall(request[:-20])
            time.sleep(0.4 * BODY_SECONDS)
            client.sendall(request[-20:])
            assert raw.read_response(client)[0] == 200
            time.sleep(pause - 0.4 * BODY_SECONDS if pause else 0)


# ---- noise


def test_wrong_secrets_are_counted_once_wherever_they_are_tried(proxy: Proxy) -> None:
    through = {"host": FOREIGN, "cf-connecting-ip": "8.8.8.8"}
    tried = [
        proxy.get("/v1/models", headers=through | {"x-api-key": f"guess{n}"}) for n in range(5)
    ]
    tried += [
        proxy.post("/dashboard/login", {"secret": f"guess{n}"}, headers=through) for n in range(7)
    ]
    assert [response.status_code for response in tried] == [401] * 10 + [429] * 2
    right = {"secret": SECRET}
    assert proxy.post("/dashboard/login", right, headers=through).status_code == 204


def test_strangers_get_a_line_a_minute(proxy: Proxy, fake: FakeAnthropic) -> None:
    through = {"host": FOREIGN, "cf-connecting-ip": "8.8.8.8"}
    lines = proxy.output.count("\n")
    for number in range(30):
        proxy.get(f"/{number}", headers=through)
        proxy.get("/v1/models", headers=through | {"x-api-key": f"guess{number}"})
        proxy.post("/dashboard/login", {"secret": f"guess{number}"}, headers=through)
        proxy.post("/dashboard/login", content=b"{", headers=through)
        proxy.post("/v1/messages", message(), headers={"origin": f"https://evil{number}.example"})
    proxy.get("/no-such-path")  # the owner's own
    assert fake.wait_until(lambda: "/no-such-path" in proxy.output)
    assert proxy.output.count("\n") - lines <= 2, "one of the strangers, one of the owner"


@pytest.mark.long
@pytest.mark.timeout(300)
def test_three_hundred_strangers_cost_the_owner_no_request_and_no_memory() -> None:
    """`python -m bench.strangers` has a thousand, and measures how long the owner waits."""
    found = measured(1.0, 300)
    assert found["failed"] == [] and found["requests"] > 10
    assert found["grown_mib"] < MOST_GROWTH
