"""The storm: clients that do not read, full tables, full disks, broken files, two instances."""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.delivery import Gate
from addon.stand_in.script import delivered, fail, say, sse
from tests.budget import thorough_after
from tests.e2e import hurry, lossy, raw
from tests.e2e.conftest import StartProxy, World
from tests.e2e.hurry import HURRY
from tests.e2e.proxy import OWN_PORT, Proxy, chat, message, rejected
from tests.e2e.test_door import memory
from tests.translation.upstream import message as claude_message
from tests.translation.upstream import stream_of, text


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    return {"launch": False, "first": HURRY, "mode": OWN_PORT}


@pytest.fixture(scope="module")
def running(running: World) -> Iterator[World]:
    yield running
    assert "replay layer failed" not in running.proxy.output


def pid(proxy: Proxy) -> int:
    assert proxy.process
    return proxy.process.pid


def files_open(world: World) -> int:
    return len(list(Path(f"/proc/{pid(world.proxy)}/fd").iterdir()))


def back_to(world: World, files: int, more: int = 2) -> bool:
    return world.fake.wait_until(lambda: files_open(world) <= files + more, 10)


def long_stream(megabytes: int) -> bytes:
    whole = stream_of(claude_message(text("begin")))
    start, end = whole.split(b"event: content_block_stop", 1)
    delta = json.dumps(
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "x" * 8000},
        }
    )
    event = f"event: content_block_delta\ndata: {delta}\n\n".encode()
    return start + event * (megabytes * 125) + b"event: content_block_stop" + end


# ---- clients


def test_r14_a_client_that_stops_reading_takes_no_room_and_is_closed(world: World) -> None:
    world.proxy.post("/v1/messages", message())  # what is loaded late is loaded now
    world.fake.script(sse(long_stream(80)))
    before, files = memory(world), files_open(world)
    with raw.connected(world.proxy) as client:
        client.sendall(raw.post(chat(stream=True)))
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        started = time.monotonic()
        assert was_left(world)
        assert time.monotonic() - started > hurry.UNREAD_SECONDS / 2
        assert was_reset(client)
        assert back_to(world, files, 0)
    assert memory(world) - before < 24
    assert world.fake.wait_until(lambda: "read nothing" in world.proxy.output)


@pytest.mark.thorough
def test_r14_a_whole_answer_that_nobody_reads_is_closed_as_well(world: World) -> None:
    world.fake.script(sse(long_stream(20)))
    with raw.connected(world.proxy) as client:
        client.sendall(raw.post(chat(), "Connection: close"))
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        assert was_reset(client)


def was_reset(client: socket.socket, seconds: float = 20) -> bool:
    """Without reading: that would let what waits come."""
    poll = select.poll()
    poll.register(client, 0)
    return bool(poll.poll(seconds * 1000))


def was_left(world: World) -> bool:
    """Whether the proxy has closed the connection on which the last answer was coming."""
    return world.fake.wait_until(lambda: world.fake.requests[-1].outcome == "client_closed")


def test_r14_an_answer_too_long_to_be_read_whole_is_broken_off(world: World) -> None:
    """mitmproxy leaves a connection open that is closed while data comes in, as here. It must neither stay, nor keep
    the proxy from seeing who stops reading."""
    world.fake.script(sse(long_stream(80)))
    with httpx.Client(base_url=world.proxy.url, timeout=60) as client:
        client.get("/health")
        files = files_open(world)
        for _ in range(3):
            response = client.post("/v1/messages", json=message())
            assert response.status_code == 502 and "is longer than" in response.text
            assert was_left(world)
        assert back_to(world, files, 1), "the connection of the last one, or none"
    with raw.connected(world.proxy) as stuck:
        stuck.sendall(raw.post(chat(stream=True)))
        assert stuck.recv(1000).startswith(b"HTTP/1.1 200")
        assert was_left(world)


@pytest.mark.thorough
def test_r14_a_slow_reader_gets_everything(world: World) -> None:
    world.fake.script(sse(long_stream(6)))
    with raw.connected(world.proxy) as client:
        client.sendall(raw.post(message(stream=True), "Connection: close", path="/v1/messages"))
        received = 0
        tail = b""
        while piece := client.recv(200_000):
            received += len(piece)
            tail = (tail + piece)[-200:]
            time.sleep(0.05)
    assert received > 6_000_000 and b"message_stop" in tail


def test_r5_a_close_that_mitmproxy_does_not_tell_ends_the_stream_at_once(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(launch=False, first=["-s", str(Path(lossy.__file__))], mode=OWN_PORT)
    fake.script(delivered(say("a long enough answer"), cut="fin", after_events=5))
    with raw.connected(proxy) as client:
        client.settimeout(30)
        client.sendall(raw.post(chat(stream=True), "Connection: close"))
        text = raw.read_all(client)
    assert text.count(b'"error":{') == 1 and b"[DONE]" not in text


def test_r12_a_client_that_leaves_has_no_more_of_its_request_sent(start_proxy: StartProxy) -> None:
    data = "A" * 4_000_000
    source = {"type": "base64", "media_type": "image/png", "data": data}
    body = message()
    body["messages"][0]["content"] = [{"type": "image", "source": source}] * 3
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        proxy = start_proxy(ANTHROPIC_UPSTREAM_URL=url)
        with raw.connected(proxy) as client:
            client.sendall(raw.post(body, path="/v1/messages"))
            upstream, _ = listener.accept()
            upstream.settimeout(30)
            received = len(upstream.recv(1000))
        time.sleep(1)  # it takes note
        with upstream, pytest.raises(ConnectionResetError):
            while piece := upstream.recv(1 << 20):
                received += len(piece)
    assert received < 10_000_000


@pytest.mark.parametrize("when", ["head", "content", "silence", "retry"])
def test_r12_clients_that_leave_leave_nothing_behind(when: str, world: World) -> None:
    world.proxy.post("/v1/messages", message())
    files = files_open(world)
    gate = Gate()
    world.fake.script(
        {
            "head": delivered(say("a"), hold=gate),
            "content": delivered(say("a b c d e f g"), every=0.2),
            "silence": delivered(say("a b c d e"), pause_after=4, pause=gate),
            "retry": fail(529),
        }[when]
    )
    for _ in range(20):
        with raw.connected(world.proxy) as client:
            client.sendall(raw.post(chat(stream=True)))
            time.sleep(0.1)
    assert world.fake.wait_until(lambda: all(r.ended_at for r in world.fake.requests))
    gate.open()
    assert back_to(world, files)
    assert world.proxy.get("/health").status_code == 200


def test_r13_what_was_used_until_a_client_left_is_counted_once(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    gate = Gate()
    fake.script(delivered(say("a b c d e"), pause_after=4, pause=gate))
    with httpx.stream("POST", f"{proxy.url}/v1/messages", json=message(stream=True)) as response:
        pieces = response.iter_raw()  # held: httpx closes the connection when it is collected
        next(pieces)
        assert gate.reached.wait(20)
    assert fake.wait_until(lambda: proxy.get("/analytics").json()["totalRequests"] == 1)
    gate.open()
    time.sleep(0.2)
    analytics = proxy.get("/analytics").json()
    assert analytics["totalRequests"] == 1 and analytics["totalInputTokens"] > 0
    (record,) = proxy.get("/analytics/requests").json()["requests"]
    assert record["error"] == "client_closed"


# ---- the machine


def test_r24_without_file_descriptors_it_waits_and_recovers(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    resource.prlimit(pid(proxy), resource.RLIMIT_NOFILE, (60, 4096))
    size = proxy.log.stat().st_size
    held = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(80)]
    started = time.monotonic()
    time.sleep(2)
    written = (proxy.log.stat().st_size - size) / (time.monotonic() - started)
    for client in held:
        client.close()
    time.sleep(1.2)
    assert proxy.post("/v1/chat/completions", chat(), timeout=10).status_code == 200
    assert written < 10_000
    assert "No file descriptors are left" in proxy.output


def test_r21_a_full_disk_costs_files_and_no_request(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(launch=False, first=HURRY, mode=OWN_PORT, VERBOSE_LOGGING="true")
    proxy.post("/v1/messages", message())
    state = proxy.home / ".ccproxy" / "usage.json"
    assert fake.wait_until(state.exists, 12)
    saved = state.read_bytes()
    resource.prlimit(pid(proxy), resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
    for _ in range(5):
        assert proxy.post("/v1/messages", message(), timeout=10).status_code == 200
    assert fake.wait_until(lambda: proxy.get("/health").json()["status"] == "degraded", 12)
    assert proxy.post("/v1/chat/completions", chat(stream=True)).text.endswith("[DONE]\n\n")
    assert state.read_bytes() == saved
    resource.prlimit(pid(proxy), resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert fake.wait_until(lambda: b'"claude_code"' in state.read_bytes() != saved, 15)
    proxy.stop()
    assert state.read_bytes() != saved


@pytest.mark.parametrize(
    "found",
    thorough_after(
        1,
        [
            b"",
            b"{",
            b"\x00" * 1000,
            b"[]",
            b'{"version": 99}',
            b'{"records": {"a": 1}}',
            b"{}" * 10,
        ],
    ),
    ids=["empty", "cut", "zeros", "list", "newer", "foreign", "two"],
)
def test_r22_s28_a_snapshot_that_is_none_stops_paid_calls_alone(
    found: bytes, fake: FakeAnthropic, start_proxy: StartProxy, tmp_path: Path
) -> None:
    (tmp_path / "usage.json").write_bytes(found)
    proxy = start_proxy(CCPROXY_HOME=str(tmp_path))
    assert proxy.post("/v1/messages", message()).status_code == 200
    fake.script(fail(429, headers=rejected()), when="oauth")
    refused = proxy.post("/v1/messages", message())
    assert refused.status_code == 429 and not fake.messages("api_key")
    assert "budget" in refused.json()["error"]["message"].lower()
    kept = [path.read_bytes() for path in tmp_path.iterdir() if "corrupt" in path.name]
    assert kept == [found]  # it is put aside, not thrown away


def test_r23_two_instances_serve_beside_each_other(
    fake: FakeAnthropic, start_proxy: StartProxy, tmp_path: Path
) -> None:
    first = start_proxy(CCPROXY_HOME=str(tmp_path))
    first.post("/v1/messages", message())
    second = start_proxy(CCPROXY_HOME=str(tmp_path))
    for proxy in (first, second, first):
        assert proxy.post("/v1/messages", message()).status_code == 200
    assert first.get("/health").json()["status"] == "ok"
    second.stop()
    first.stop()
    saved = json.loads((tmp_path / "usage.json").read_text())
    assert saved
    third = start_proxy(CCPROXY_HOME=str(tmp_path))
    assert third.get("/analytics").json()["totalRequests"] == 3


def test_a_file_in_the_place_of_its_folder_stops_nobody(
    fake: FakeAnthropic, start_proxy: StartProxy, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file")
    proxy = start_proxy(CCPROXY_HOME=str(tmp_path / "state"))
    assert proxy.post("/v1/messages", message()).status_code == 200
    assert proxy.get("/health").json()["status"] == "degraded"


@pytest.mark.parametrize(
    "name",
    ["usage.json", "paid.journal", "tokens.json", "api.log", "tunnel-url", ".credentials.json"],
)
def test_a_pipe_in_the_place_of_a_file_hangs_nobody(
    name: str, fake: FakeAnthropic, start_proxy: StartProxy, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / name, 0o600)
    with_login = {"CLAUDE_CONFIG_DIR": str(tmp_path), "CLAUDE_CODE_OAUTH_TOKEN": None}
    proxy = start_proxy(
        CCPROXY_HOME=str(tmp_path),
        VERBOSE_LOGGING="true",
        **(with_login if name.startswith(".") else {}),
    )
    expected = 401 if name.startswith(".") else 200
    assert proxy.post("/v1/messages", message(), timeout=10).status_code in (200, expected)
    assert proxy.stop() == 0


def test_r17_a_large_request_beside_streams_delays_them_little(world: World) -> None:
    """A coarse bound; bench/ measures it."""
    world.fake.script(delivered(say("one two three four five six"), every=0.1))
    gaps: list[float] = []

    def read() -> None:
        with httpx.stream(
            "POST", f"{world.proxy.url}/v1/chat/completions", json=chat(stream=True), timeout=30
        ) as response:
            last = time.monotonic()
            for _ in response.iter_raw():
                gaps.append(time.monotonic() - last)
                last = time.monotonic()

    threads = [threading.Thread(target=read) for _ in range(5)]
    for thread in threads:
        thread.start()
    world.proxy.post("/v1/messages", message("word " * 400_000), timeout=30)
    for thread in threads:
        thread.join(30)
    assert gaps and max(gaps) < 10
