"""Streams under stress: silence, cuts, clients that leave, and second attempts."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.delivery import Gate
from addon.stand_in.script import Answer, broken, delivered, fail, html, say
from tests.e2e.conftest import StartProxy, World
from tests.e2e.proxy import Proxy, chat, message, rejected

FAST = {"FIRST_BYTE_SECONDS": "0.4", "KEEPALIVE_SECONDS": "0.3"}


def pieces(proxy: Proxy, body: dict[str, Any], path: str) -> Iterator[str]:
    """A streamed answer, as it comes."""
    with httpx.stream(
        "POST", f"{proxy.url}{path}", json={**body, "stream": True}, timeout=30
    ) as response:
        assert response.status_code == 200
        yield from response.iter_text()


def read_stream(proxy: Proxy, body: dict[str, Any]) -> str:
    """Everything a client reads."""
    return "".join(pieces(proxy, body, "/v1/chat/completions"))


def read_past(
    gate: Gate, sign: str, proxy: Proxy, body: dict[str, Any], path: str = "/v1/chat/completions"
) -> str:
    """All that a client reads of an answer that is held back at `gate` until three times there was a `sign` of life."""
    text = ""
    for piece in pieces(proxy, body, path):
        text += piece
        if text.count(sign) >= 3:
            gate.open()
    return text


def test_r3_silence_before_headers_is_filled(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(**FAST)
    gate = Gate()
    fake.script(delivered(say("late"), hold=gate))
    text = read_past(gate, ": keepalive", proxy, chat())
    assert ": source=claude_code reason=none" in text
    assert '"content":"late"' in text
    assert text.endswith("data: [DONE]\n\n")


def test_silence_in_an_anthropic_stream_is_filled_with_pings(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(**FAST)
    gate = Gate()
    fake.script(delivered(say("one two three"), pause_after=4, pause=gate))
    text = read_past(gate, "event: ping", proxy, message(), "/v1/messages")
    assert text.endswith('data: {"type":"message_stop"}\n\n')


def test_fallback_while_streaming(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    fake.script(fail(429, headers=rejected()), when="oauth")
    fake.script(say("paid answer"), when="api_key")
    with httpx.stream(
        "POST", f"{proxy.url}/v1/chat/completions", json=chat(stream=True)
    ) as response:
        assert response.headers["x-ccproxy-source"] == "api_key"
        assert response.headers["x-ccproxy-reason"] == "rate_limited"
        assert '"content":"paid' in response.read().decode()
    assert [r.header("x-api-key") for r in fake.messages()] == [None, "sk-ant-api03-test"]


def test_fallback_after_an_early_head(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(**FAST)
    fake.script(delivered(fail(429, headers=rejected()), hold=0.8), when="oauth")
    fake.script(say("paid"), when="api_key")
    text = read_stream(proxy, chat())
    assert ": source=api_key reason=rate_limited" in text
    assert '"content":"paid"' in text and text.endswith("data: [DONE]\n\n")
    assert len(fake.messages("api_key")) == 1


def test_error_event_before_content_counts_as_a_status(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    fake.script([broken("overloaded_error"), broken("overloaded_error"), say("third time")])
    text = read_stream(proxy, chat())
    assert '"content":"third' in text
    assert len(fake.messages("oauth")) == 3 and not fake.messages("api_key")


def test_r8_error_event_after_content_is_passed_on_once(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    fake.script(broken("overloaded_error", after=2))
    text = read_stream(proxy, chat())
    assert text.count('"error":{') == 1
    assert "[DONE]" not in text and 'finish_reason":"stop' not in text
    assert len(fake.messages()) == 1


@pytest.mark.parametrize("how", [{"cut": "fin"}, {"cut": "rst"}, {"cut": "end"}])
def test_r5_a_cut_answer_ends_in_one_error(
    how: dict[str, Any], fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    fake.script(delivered(say("a long enough answer"), after_events=5, **how))
    text = read_stream(proxy, chat())
    assert text.count('"error":{') == 1 and "[DONE]" not in text
    with pytest.raises(openai.APIError):
        list(proxy.openai().chat.completions.create(**chat(stream=True)))


def test_r12_client_that_leaves_mid_stream_closes_upstream(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    gate = Gate()
    fake.script(delivered(say("a b c d e f"), pause_after=4, pause=gate))
    with httpx.stream(
        "POST", f"{proxy.url}/v1/chat/completions", json=chat(stream=True)
    ) as response:
        pieces = response.iter_raw()  # held: httpx closes the connection when it is collected
        next(pieces)
        assert gate.reached.wait(20)
    assert fake.wait_until(lambda: fake.requests[0].closed_at is not None)
    gate.open()


def ask_and_leave(proxy: Proxy, fake: FakeAnthropic, body: dict[str, Any]) -> None:
    """Send a request and close the connection once upstream has it, whatever came."""
    raw = json.dumps(body).encode()
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
        client.sendall(head.encode() + raw)
        assert fake.wait_until(lambda: bool(fake.messages()), 20)
        time.sleep(0.05)


def test_r12_client_that_leaves_before_headers_closes_upstream(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    gate = Gate()
    fake.script(delivered(say("x"), hold=gate))
    ask_and_leave(proxy, fake, chat(stream=True))
    assert fake.wait_until(lambda: fake.requests[0].closed_at is not None, 10)
    gate.open()


def test_client_that_leaves_during_a_retry_causes_no_second_request(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    fake.script(fail(529, headers={"retry-after": "3"}))
    ask_and_leave(proxy, fake, chat(stream=True))
    time.sleep(3.5)
    assert len(fake.messages()) == 1


def test_r1_upstream_that_refuses_is_a_502(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    fake.refuse()
    response = proxy.post("/v1/chat/completions", chat(), timeout=10)
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "upstream_unreachable"
    fake.accept()
    assert proxy.post("/v1/chat/completions", chat()).status_code == 200


def test_a_server_that_was_down_is_asked_again_on_the_same_client_connection(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    with httpx.Client(base_url=proxy.url, timeout=20) as client:
        fake.refuse()
        assert client.post("/v1/chat/completions", json=chat()).status_code == 502
        fake.accept()
        assert client.post("/v1/chat/completions", json=chat()).status_code == 200


def test_refused_after_an_early_head_ends_in_one_error_event(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(FIRST_BYTE_SECONDS="0.1")
    fake.refuse()
    text = read_stream(proxy, chat())
    assert text.count('"error":{') == 1 and "upstream_unreachable" in text and "[DONE]" not in text


def test_stalled_connection_has_a_deadline(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(UPSTREAM_IDLE_SECONDS="0.5")
    fake.greet("mute")
    response = proxy.post("/v1/chat/completions", chat())
    assert response.status_code == 504


def test_r2_a_reset_before_headers_is_tried_once_more(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    fake.script([delivered(cut="rst"), say("fine")])
    assert "fine" in proxy.post("/v1/chat/completions", chat()).text
    assert len(fake.messages("oauth")) == 2


def test_r28_a_stale_kept_alive_connection_is_replaced_silently(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    fake.script([delivered(say("one"), close=True), say("two")])
    with httpx.Client(base_url=proxy.url, timeout=20) as client:
        assert "one" in client.post("/v1/chat/completions", json=chat()).text
        assert "two" in client.post("/v1/chat/completions", json=chat()).text


def test_upstream_idle_mid_stream_is_given_up(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(UPSTREAM_IDLE_SECONDS="3", KEEPALIVE_SECONDS="0.2")
    gate = Gate()
    fake.script(delivered(say("a b c d"), pause_after=5, pause=gate))
    text = read_stream(proxy, chat())
    assert text.count('"error":{') == 1 and "timeout" in text and "[DONE]" not in text
    assert fake.wait_until(lambda: fake.requests[0].closed_at is not None)
    gate.open()


def test_keep_alive_of_the_client_connection_survives_fallbacks_and_errors(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    fake.script([broken(after=1), say("fine"), fail(400, "bad"), say("fine again")])
    with httpx.Client(base_url=proxy.url, timeout=20) as client:
        statuses = [
            client.post("/v1/chat/completions", json=chat(stream=s)).status_code
            for s in (True, True, False, True)
        ]
        pool = client._transport._pool  # type: ignore[attr-defined]
        assert len(pool.connections) == 1
    assert statuses == [200, 200, 400, 200]


@pytest.mark.thorough
def test_sixty_parallel_streams_all_end_well(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    fake.script(delivered(say("one two three four"), every=0.01))
    results: list[str] = []

    def run(number: int) -> None:
        results.append(read_stream(proxy, chat(f"request {number}")))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 60
    assert all(text.endswith("data: [DONE]\n\n") for text in results)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=200, body=b"", headers={"content-type": "text/event-stream"}),
        Answer(status=200, body=b"{}", headers={"content-type": "application/json"}),
        Answer(status=200, body=b"<html>Log in to this network</html>"),
        Answer(status=204, body=b""),
        Answer(status=302, body=b"", headers={"location": "https://elsewhere.example/"}),
        Answer(status=304, body=b""),
        html(502),
        html(200),
    ],
    ids=["empty", "json", "portal", "204", "302", "304", "html-502", "html-200"],
)
def test_an_answer_that_is_none_is_a_502(answer: Answer, world: World) -> None:
    world.fake.script(answer)
    for body in (chat(), chat(stream=True)):
        response = world.proxy.post("/v1/chat/completions", body)
        assert response.status_code == 502
        assert response.json()["error"]["message"]
        assert "<html" not in response.text
