"""How answers travel: stalls, cuts, framing, connections; and what the fake notes of it."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.delivery import Gate
from addon.stand_in.script import Answer, broken, delivered, fail, html, say, sse
from tests.stand_in.client import BY_KEY, answered, asking, connected, post, raw, read_all

STREAM = asking("hi [[text one two three]]", stream=True)


def exchange(fake: FakeAnthropic, body: Any = STREAM) -> tuple[bytes, bool]:
    with connected(fake) as sock:
        sock.sendall(raw(body, BY_KEY | {"connection": "close"}))
        return read_all(sock)


def test_stream_is_chunked_and_complete(fake: FakeAnthropic) -> None:
    data, reset = exchange(fake)
    assert b"transfer-encoding: chunked" in data.lower()
    assert data.endswith(b"0\r\n\r\n")
    assert not reset
    assert data.count(b"event: message_stop") == 1


def test_requests_are_recorded_as_sent(fake: FakeAnthropic) -> None:
    httpx.post(
        fake.url + "/v1/messages?beta=true",
        content=json.dumps(asking("hi")),
        headers=[*BY_KEY.items(), ("X-Twice", "1"), ("X-Twice", "2")],
    )
    (seen,) = fake.requests
    assert (seen.method, seen.target, seen.query) == ("POST", "/v1/messages?beta=true", "beta=true")
    assert [value for name, value in seen.headers if name == "X-Twice"] == ["1", "2"]
    assert seen.header("x-twice") == "1, 2"
    assert seen.json == asking("hi")
    assert (seen.outcome, seen.status, seen.nth) == ("answered", 200, 1)


def test_a_probe_by_head_gets_a_head(fake: FakeAnthropic) -> None:
    assert httpx.head(fake.url).status_code == 404
    assert fake.requests[0].outcome == "answered"


def test_keep_alive_serves_many_requests_on_one_connection(fake: FakeAnthropic) -> None:
    with httpx.Client(headers=BY_KEY) as client:
        for _ in range(3):
            client.post(fake.url + "/v1/messages", json=STREAM).raise_for_status()
    assert [(r.connection, r.nth) for r in fake.requests] == [(0, 1), (0, 2), (0, 3)]
    assert len(fake.connections) == 1


def test_a_connection_without_a_request_is_counted(fake: FakeAnthropic) -> None:
    with connected(fake) as sock:
        sock.sendall(b"POST /v1")
        assert fake.wait_until(lambda: fake.bytes_in == 8)
    assert fake.wait_until(lambda: fake.connections[0].closed_at is not None)
    assert (len(fake.connections), fake.requests) == (1, [])


@pytest.mark.parametrize(("cut", "was_reset"), [("fin", False), ("rst", True)])
def test_cut_before_the_head_sends_nothing(fake: FakeAnthropic, cut: str, was_reset: bool) -> None:
    fake.script(delivered(cut=cut))
    assert exchange(fake) == (b"", was_reset)
    assert fake.requests[0].outcome == "cut"


@pytest.mark.parametrize(("cut", "was_reset"), [("fin", False), ("rst", True)])
def test_cut_after_events_leaves_the_stream_open_ended(
    fake: FakeAnthropic, cut: str, was_reset: bool
) -> None:
    fake.script(delivered(cut=cut, after_events=3))
    data, reset = exchange(fake)
    assert data.count(b"event: ") == 3
    assert not data.endswith(b"0\r\n\r\n")
    assert reset == was_reset


@pytest.mark.parametrize("count", [0, 1, 100, 500])
def test_cut_after_bytes_tears_a_chunk(fake: FakeAnthropic, count: int) -> None:
    fake.script([Answer(), delivered(cut="fin", after_bytes=count)])
    whole, _ = exchange(fake)
    torn, _ = exchange(fake)
    assert fake.requests[1].bytes_sent == count
    assert _body(torn) == _body(whole)[:count]


def _body(data: bytes) -> bytes:
    """The content of as many chunks as came, the last one perhaps torn."""
    rest, body = data.partition(b"\r\n\r\n")[2], b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    # The request number is part of the message id; the rest is the same from answer to answer.
    return body.replace(b"0001", b"0000")


def test_clean_end_in_the_middle_of_the_content(fake: FakeAnthropic) -> None:
    fake.script(delivered(cut="end", after_events=3))
    data, _ = exchange(fake)
    assert data.endswith(b"0\r\n\r\n")
    assert b"message_stop" not in data


def test_stall_before_the_head_until_released(fake: FakeAnthropic) -> None:
    gate = Gate()
    fake.script(delivered(hold=gate))
    with connected(fake) as sock:
        sock.sendall(raw(STREAM))
        assert gate.reached.wait(20)
        sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        gate.open()
        sock.settimeout(5)
        assert sock.recv(12) == b"HTTP/1.1 200"


def test_stall_in_mid_stream_until_released(fake: FakeAnthropic) -> None:
    gate = Gate()
    fake.script(delivered(pause_after=2, pause=gate))
    began = time.monotonic()
    threading.Timer(0.1, gate.open).start()
    data, _ = exchange(fake)
    assert time.monotonic() - began >= 0.1
    assert b"message_stop" in data


@pytest.mark.parametrize("how", [{"hold": 30}, {"pause_after": 2, "pause": 30}, {"every": 10}])
def test_a_client_that_leaves_is_seen_at_once(fake: FakeAnthropic, how: dict[str, Any]) -> None:
    fake.script(delivered(**how))
    with connected(fake) as sock:
        sock.sendall(raw(STREAM))
        assert fake.wait_for_requests(1)
        time.sleep(0.05)
    assert fake.wait_until(lambda: fake.requests[0].outcome == "client_closed", 5)
    assert fake.requests[0].closed_at is not None


def test_slow_deltas_come_at_the_clients_pace(fake: FakeAnthropic) -> None:
    began = time.monotonic()
    data, _ = exchange(fake, asking("[[text abcdefgh]] [[deltas 4 every 20ms]]", stream=True))
    assert data.count(b"text_delta") == 4
    assert time.monotonic() - began > 0.1


def test_pieces_split_the_events(fake: FakeAnthropic) -> None:
    fake.script(delivered(piece=1))
    data, _ = exchange(fake)
    assert data.count(b"1\r\n") > 500


def test_close_delimited_body(fake: FakeAnthropic) -> None:
    fake.script(delivered(framing="close"))
    data, _ = exchange(fake)
    assert b"transfer-encoding" not in data.lower()
    assert data.endswith(b'{"type":"message_stop"}\n\n')


def test_gzip_only_when_asked_for(fake: FakeAnthropic) -> None:
    fake.script(Answer(gzip=True))
    with httpx.Client(headers=BY_KEY) as client:
        packed = client.post(fake.url + "/v1/messages", json=STREAM)
        plain = client.post(
            fake.url + "/v1/messages", json=STREAM, headers={"accept-encoding": "identity"}
        )
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert fake.requests[0].bytes_sent != fake.requests[1].bytes_sent
    assert "message_stop" in plain.text
    with httpx.stream("POST", fake.url + "/v1/messages", json=STREAM, headers=BY_KEY) as response:
        assert b"message_stop" in gzip.decompress(b"".join(response.iter_raw()))


def test_refused_connections_and_back(fake: FakeAnthropic) -> None:
    fake.refuse()
    with pytest.raises(ConnectionRefusedError):
        connected(fake)
    fake.accept()
    assert post(fake, asking("hi")).status_code == 200


@pytest.mark.parametrize(("greeting", "was_reset"), [("fin", False), ("rst", True)])
def test_connections_closed_on_arrival(fake: FakeAnthropic, greeting: Any, was_reset: bool) -> None:
    fake.greet(greeting)
    try:
        with connected(fake) as sock:
            assert read_all(sock) == (b"", was_reset)
    except ConnectionResetError:
        # On loopback the reset may come before connect() returns.
        assert was_reset
    assert len(fake.connections) == 1


def test_mute_connections_get_no_byte(fake: FakeAnthropic) -> None:
    fake.greet("mute")
    with connected(fake) as sock:
        sock.sendall(raw(STREAM))
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.recv(1)
    assert fake.requests == []


def test_idle_connections_closed_on_demand(fake: FakeAnthropic) -> None:
    with connected(fake) as sock:
        sock.sendall(raw(STREAM))
        while b"0\r\n\r\n" not in sock.recv(65536):
            pass
        assert fake.close_idle() == 1
        assert read_all(sock) == (b"", False)


def test_idle_connections_closed_after_a_while(fake: FakeAnthropic) -> None:
    fake.close_idle_after(0.05)
    with connected(fake) as sock:
        sock.sendall(raw(STREAM))
        data, _ = read_all(sock)
    assert data.endswith(b"0\r\n\r\n")


def test_a_stale_connection_dies_only_when_reused(fake: FakeAnthropic) -> None:
    fake.script([delivered(cut="rst")], when=lambda request: request.nth > 1)
    with httpx.Client(headers=BY_KEY) as client:
        client.post(fake.url + "/v1/messages", json=STREAM)
        with pytest.raises(httpx.NetworkError):
            client.post(fake.url + "/v1/messages", json=STREAM)
        assert client.post(fake.url + "/v1/messages", json=STREAM).status_code == 200


def test_tls_with_a_given_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with FakeAnthropic(cert=(cert, key)) as fake:
        response = httpx.post(fake.url + "/v1/messages", json=STREAM, headers=BY_KEY, verify=trust)
        assert "message_stop" in response.text
        with connected(fake) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            read_all(sock)
        assert fake.wait_until(lambda: fake.connections[1].tls_failed)


def test_a_cut_over_tls_shows_as_one(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    pem = tmp_path / "both.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(pem)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with (
        FakeAnthropic(cert=(pem, pem)) as fake,
        httpx.Client(verify=trust, headers=BY_KEY) as client,
    ):
        fake.script([delivered(cut="rst", after_events=2), delivered(cut="fin", after_events=2)])
        for _ in range(2):
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                client.post(fake.url + "/v1/messages", json=STREAM)


def test_scripted_html_and_recorded_bytes(fake: FakeAnthropic) -> None:
    recorded = b"event: message_start\r\ndata: {}\r\n\r\n"
    fake.script([html(520), sse(recorded)])
    page, stream = post(fake, STREAM), post(fake, STREAM)
    assert (page.status_code, page.headers["content-type"]) == (520, "text/html")
    assert stream.content == recorded


def test_error_event_first_and_after_content(fake: FakeAnthropic) -> None:
    fake.script([broken(), broken(after=2)])
    first, later = post(fake, STREAM).text, post(fake, asking("[[deltas 5 ]]", stream=True)).text
    assert first.startswith(
        'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"'
    )
    assert first.count("event: ") == 1
    assert later.count("content_block_delta\n") == 2
    assert "message_stop" not in later


def test_rules_by_credential_are_used_up_in_order(fake: FakeAnthropic) -> None:
    fake.script([fail(529), fail(500)], when="api_key")
    fake.script(say("scripted"), when="api_key")
    statuses = [post(fake, asking("hi")).status_code for _ in range(2)]
    assert statuses == [529, 500]
    assert answered(fake, asking("hi"))["content"] == [{"type": "text", "text": "scripted"}]
    assert answered(fake, asking("hi"))["content"] == [{"type": "text", "text": "scripted"}]


def test_port_is_ours_again_after_a_restart() -> None:
    with FakeAnthropic() as fake:
        port = fake.port
        answered(fake, asking("hi"))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    with FakeAnthropic(port=port) as again:
        assert again.port == port
