"""Requests that leave through a forward proxy, over TLS and in the clear."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.delivery import Gate
from addon.stand_in.script import broken, delivered, fail, say
from tests.e2e.conftest import StartProxy
from tests.e2e.forward_proxy import ForwardProxy
from tests.e2e.proxy import Proxy, chat, message, rejected
from tests.e2e.test_tls import Certificates
from tests.e2e.test_websocket import ENDS, create, opened

HOST = "api.anthropic.example"
USER, PASSWORD = "me", "p@ss:canary-word"
PAIR = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
WITH_PASSWORD = "me:p%40ss%3Acanary-word@"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def fake(certificates: Certificates) -> Iterator[FakeAnthropic]:
    with FakeAnthropic(cert=certificates.issue(HOST)) as server:
        yield server


@pytest.fixture
def start(certificates: Certificates, start_proxy: StartProxy) -> StartProxy:
    """A proxy whose upstream only the forward proxy can find."""

    def started(**env: str) -> Proxy:
        trusted = f"ssl_verify_upstream_trusted_ca={certificates.file}"
        return start_proxy(f"https://{HOST}", arguments=["--set", trusted], **env)

    return started


def ask(proxy: Proxy, **body: object) -> httpx.Response:
    return proxy.post("/v1/chat/completions", chat(**body))


@pytest.mark.parametrize("variable", ["UPSTREAM_PROXY", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_messages_go_through_it(variable: str, fake: FakeAnthropic, start: StartProxy) -> None:
    with ForwardProxy(fake.port) as forward:
        proxy = start(**{variable: f"http://{forward.address}"})
        with httpx.Client(base_url=proxy.url) as client:
            for _ in range(3):
                assert client.post("/v1/chat/completions", json=chat()).status_code == 200
        assert forward.asked == [(f"{HOST}:443", "")], "one connection serves them all"
        assert fake.messages()[0].header("proxy-authorization") is None


def test_no_proxy_is_respected(fake: FakeAnthropic, start: StartProxy) -> None:
    with ForwardProxy(fake.port) as forward:
        proxy = start(HTTPS_PROXY=f"http://{forward.address}", NO_PROXY=HOST)
        assert ask(proxy).json()["error"]["code"] == "upstream_unreachable"
        assert not forward.asked


def test_this_machine_is_not_asked_through_the_environments(start_proxy: StartProxy) -> None:
    with FakeAnthropic() as plain, ForwardProxy(plain.port) as forward:
        proxy = start_proxy(plain.url, HTTP_PROXY=f"http://{forward.address}")
        assert ask(proxy).status_code == 200
        assert not forward.asked
        proxy = start_proxy(plain.url, UPSTREAM_PROXY=f"http://{forward.address}")
        assert ask(proxy).status_code == 200
        assert forward.asked == [(f"127.0.0.1:{plain.port}", "")], "also in the clear"


def test_the_password_is_for_the_proxy_alone(
    fake: FakeAnthropic, start: StartProxy, tmp_path: Path
) -> None:
    with ForwardProxy(fake.port, password=PAIR) as forward:
        url = f"http://{WITH_PASSWORD}{forward.address}"
        proxy = start(UPSTREAM_PROXY=url, VERBOSE_LOGGING="true", EXPLAIN="true")
        assert ask(proxy).status_code == 200
        fake.script(fail(400, "no"))
        refused = ask(proxy)
        health = proxy.get("/health").text
        assert forward.asked[0] == (f"{HOST}:443", f"Basic {PAIR}")
        written = [f.read_bytes() for f in proxy.home.rglob("*") if f.is_file()]
        seen = b"".join([*written, refused.content, health.encode(), proxy.output.encode()])
        seen += b"".join(str(request.headers).encode() for request in fake.requests)
    for canary in (b"canary", PAIR.encode()):
        assert canary not in seen


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (ForwardProxy(1, password="other"), "(407)"),
        (ForwardProxy(1, status=502), "refused to connect to Anthropic (502)"),
        (ForwardProxy(1, status=0), "is it running?"),
    ],
    ids=["wants a password", "can't reach Anthropic", "closes"],
)
def test_what_is_wrong_with_it_is_told(
    forward: ForwardProxy, words: str, start: StartProxy
) -> None:
    with forward:
        proxy = start(HTTPS_PROXY=f"http://{WITH_PASSWORD}{forward.address}")
        openai, anthropic = ask(proxy), proxy.post("/v1/messages", message())
        shown = f"The outbound proxy {forward.address} (HTTPS_PROXY)"
        for told in (openai.json()["error"]["message"], anthropic.json()["error"]["message"]):
            assert told.startswith(shown) and words in told
        assert (openai.status_code, openai.json()["error"]["code"]) == (502, "outbound_proxy")
        assert "canary" not in proxy.output + openai.text


def test_one_that_is_not_there_is_told(start: StartProxy) -> None:
    with ForwardProxy(1) as gone:
        address = gone.address
    told = ask(start(UPSTREAM_PROXY=f"http://{address}")).json()["error"]
    assert f"{address} (UPSTREAM_PROXY) can't be reached" in told["message"]


def test_one_that_can_t_be_used_stops_the_start(start: StartProxy) -> None:
    with pytest.raises(AssertionError, match="ALL_PROXY: its value is not allowed") as told:
        start(ALL_PROXY=f"socks5://{WITH_PASSWORD}h:1")
    assert "canary" not in str(told.value)


def test_a_certificate_is_checked_within_it(start_proxy: StartProxy, fake: FakeAnthropic) -> None:
    with ForwardProxy(fake.port) as forward:
        proxy = start_proxy(f"https://{HOST}", UPSTREAM_PROXY=f"http://{forward.address}")
        assert ask(proxy).json()["error"]["code"] == "upstream_certificate"
        assert not fake.requests


def test_attempts_and_cancels_close_what_they_leave(fake: FakeAnthropic, start: StartProxy) -> None:
    gate = Gate()
    with ForwardProxy(fake.port) as forward:
        proxy = start(UPSTREAM_PROXY=f"http://{forward.address}")
        fake.script([broken(after=0), say("second")])
        assert ask(proxy).json()["choices"][0]["message"]["content"] == "second"
        fake.script([fail(429, "limit", headers=rejected()), say("by key")])
        assert ask(proxy).headers["x-ccproxy-source"] == "api_key"
        fake.script(delivered(say("never ends"), pause_after=3, pause=gate))
        with (
            httpx.Client(base_url=proxy.url) as client,
            client.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as response,
        ):
            assert gate.reached.wait(20)
            next(response.iter_bytes())
        assert fake.wait_until(lambda: fake.requests[-1].outcome == "client_closed")
        gate.open()
        assert fake.wait_until(lambda: forward.open == 0), "tunnels were left open"


def test_requests_at_once_have_a_tunnel_each(fake: FakeAnthropic, start: StartProxy) -> None:
    """While one is connecting, another begins to: neither takes the other's for dead."""
    with ForwardProxy(fake.port, pause=0.3) as forward:
        proxy = start(UPSTREAM_PROXY=f"http://{forward.address}")
        with opened(proxy) as client:
            for name in ("a", "b", "c"):
                create(client, stream_id=name)
            ended = [event for _ in range(3) for event in until_one_ends(client)]
        assert {event["stream_id"] for event in ended} == {"a", "b", "c"}
        assert {event["type"] for event in ended} == {"response.completed"}
        assert len(forward.asked) == 3


def until_one_ends(client: ClientConnection) -> list[dict[str, Any]]:
    while (event := json.loads(client.recv(timeout=20)))["type"] not in ENDS:
        pass
    return [event]


def test_one_that_stalls_has_a_deadline(start: StartProxy) -> None:
    with ForwardProxy(1, pause=60) as forward:
        proxy = start(UPSTREAM_PROXY=f"http://{forward.address}", CONNECT_SECONDS="0.3")
        assert ask(proxy).json()["error"]["code"] == "outbound_proxy"
