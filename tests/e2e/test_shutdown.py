"""The end of the proxy, and clients that hold on to it."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time

import httpx
import pytest

from addon.replay_layer.connections import room_for_connections
from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.delivery import Gate
from addon.stand_in.script import delivered, say
from tests.e2e import raw
from tests.e2e.conftest import StartProxy
from tests.e2e.hurry import GRACE_SECONDS, HURRY
from tests.e2e.proxy import OWN_PORT, Proxy, chat


def stream_into(proxy: Proxy, results: list[str], text: str) -> None:
    body = chat(text, stream=True)
    with httpx.stream(
        "POST", f"{proxy.url}/v1/chat/completions", json=body, timeout=60
    ) as response:
        results.append(response.read().decode())


def lets_nobody_in(proxy: Proxy) -> bool:
    try:
        socket.create_connection(("127.0.0.1", proxy.port), 10).close()
    except ConnectionRefusedError:
        return True
    return False


def is_served(proxy: Proxy) -> bool:
    try:
        return proxy.post("/v1/chat/completions", chat()).status_code == 200
    except httpx.TransportError:  # its connection came in before the others were gone
        return False


@pytest.mark.timeout(120)
def test_r18_sigterm_lets_streams_finish_and_tells_the_rest(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(launch=False, first=HURRY, mode=OWN_PORT)
    slow, never = Gate(), Gate()
    fake.script(
        delivered(say("slow but sure"), pause_after=4, pause=slow), when=lambda r: b"slow" in r.body
    )
    fake.script(
        delivered(say("never ends"), pause_after=4, pause=never), when=lambda r: b"never" in r.body
    )
    finished: list[str] = []
    told: list[str] = []
    threads = [
        threading.Thread(target=stream_into, args=(proxy, results, text))
        for results, text, count in ((finished, "slow", 15), (told, "never", 5))
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    assert fake.wait_for_requests(20, 20)
    time.sleep(0.5)
    assert proxy.process
    started = time.monotonic()
    proxy.process.send_signal(signal.SIGTERM)
    assert fake.wait_until(lambda: lets_nobody_in(proxy))
    slow.open()
    proxy.process.wait(60)
    took = time.monotonic() - started
    for thread in threads:
        thread.join(10)
    never.open()
    assert [text.endswith("data: [DONE]\n\n") for text in finished] == [True] * 15
    assert [text.count('"error":{') for text in told] == [1] * 5
    assert not any("[DONE]" in text for text in told)
    assert GRACE_SECONDS <= took <= 45, "10 s, and what a busy machine adds"
    assert proxy.process.returncode == 0


def test_a_second_signal_ends_the_proxy_now(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    never = Gate()
    fake.script(delivered(say("never ends"), pause_after=4, pause=never))
    client = socket.create_connection(("127.0.0.1", proxy.port), 10)
    raw = json.dumps(chat(stream=True)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(raw)}\r\n\r\n"
    client.sendall(head.encode() + raw)
    assert never.reached.wait(10)
    assert proxy.process
    proxy.process.send_signal(signal.SIGTERM)
    assert fake.wait_until(lambda: lets_nobody_in(proxy))
    assert proxy.process.poll() is None
    proxy.process.send_signal(signal.SIGTERM)
    proxy.process.wait(10)
    client.close()
    never.open()


def test_r19_a_closed_terminal_ends_the_proxy_in_order(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    slow = Gate()
    fake.script(delivered(say("slow but sure"), pause_after=4, pause=slow))
    results: list[str] = []
    thread = threading.Thread(target=stream_into, args=(proxy, results, "x"))
    thread.start()
    assert slow.reached.wait(10)
    assert proxy.process
    proxy.process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    slow.open()
    proxy.process.wait(30)
    thread.join(10)
    assert results[0].endswith("data: [DONE]\n\n")


def test_usage_is_saved_at_the_end(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    proxy.post("/v1/chat/completions", chat())
    proxy.stop()
    saved = json.loads((proxy.home / ".ccproxy" / "usage.json").read_text())
    assert "claude_code" in json.dumps(saved)
    with Proxy(fake.url, CCPROXY_HOME=str(proxy.home / ".ccproxy")) as again:
        assert again.get("/analytics").json()["claudeCodeRequests"] == 1


def test_t16_a_large_body_is_refused_without_being_read(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
            head = "POST /v1/messages HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 30000000\r\n\r\n"
            client.sendall(head.encode())
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # closed meanwhile
                for _ in range(10):
                    client.sendall(b"x" * 30_000)
            reply = b""
            with contextlib.suppress(ConnectionResetError):  # a close with data unread
                while piece := client.recv(4096):
                    reply += piece
        assert reply.startswith(b"HTTP/1.1 421")
        assert json.loads(reply.partition(b"\r\n\r\n")[2])["type"] == "error"
    assert not fake.connections


def test_s24_connections_beyond_the_cap_are_closed(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    most = room_for_connections()  # which gives this process as many descriptors as the proxy's
    held = [socket.create_connection(("127.0.0.1", proxy.port), 10) for _ in range(most)]
    assert is_served(proxy)
    with contextlib.suppress(ConnectionResetError):
        assert held[0].recv(10) == b"", "most of them are for callers who are known"
    for client in held:
        client.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_idle_client_does_not_disturb_the_end(
    number: signal.Signals, fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    with httpx.Client(base_url=proxy.url) as idle, raw.connected(proxy) as silent:
        idle.get("/health")
        idle.post("/v1/chat/completions", json=chat())
        proxy.stop(number)
        assert silent.recv(1) == b""
    assert "Traceback" not in proxy.output
