"""Over TLS, as Anthropic is spoken to: a CA of its own, wrong certificates, handshakes that stall."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.delivery import Gate
from addon.stand_in.script import broken, delivered, fail, say
from addon.stand_in.stream import tool_use
from tests.e2e.conftest import World
from tests.e2e.proxy import Proxy, chat, message, rejected
from tests.e2e.test_streams import read_past

FAST = {"FIRST_BYTE_SECONDS": "0.4", "KEEPALIVE_SECONDS": "0.3", "CONNECT_SECONDS": "1"}


class Certificates:
    """A CA, its file, and certificates as (chain, key) files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        self.file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(self.file)

    def issue(self, name: str) -> tuple[Path, Path]:
        cert = self.ca.issue_cert(name)
        chain, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        chain.write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))
        cert.private_key_pem.write_to_path(key)
        return chain, key


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("ca"))


def proxy_for(fake: FakeAnthropic, certificates: Certificates, **env: str) -> Proxy:
    trusted = f"ssl_verify_upstream_trusted_ca={certificates.file}"
    url = f"https://localhost:{fake.port}"
    return Proxy(url, arguments=["--set", trusted], **{**FAST, **env})


@pytest.fixture(scope="module")
def running(certificates: Certificates) -> Iterator[World]:
    with (
        FakeAnthropic(cert=certificates.issue("localhost")) as server,
        proxy_for(server, certificates) as proxy,
    ):
        yield World(server, proxy)


def streamed(proxy: Proxy, path: str = "/v1/chat/completions") -> str:
    body = chat(stream=True) if "chat" in path else message(stream=True)
    with httpx.stream("POST", f"{proxy.url}{path}", json=body, timeout=20) as response:
        assert response.status_code == 200
        return response.read().decode()


def test_plain_and_streamed(world: World) -> None:
    world.fake.script(say("Hello there", tool_use("f", {"a": 1})))
    completion = world.proxy.openai().chat.completions.create(**chat())
    assert completion.choices[0].message.content == "Hello there"
    assert world.proxy.anthropic().messages.create(**message()).stop_reason == "tool_use"
    assert streamed(world.proxy).endswith("data: [DONE]\n\n")
    assert streamed(world.proxy, "/v1/messages").endswith('"message_stop"}\n\n')
    assert {request.header("host") for request in world.fake.requests} == {
        f"localhost:{world.fake.port}"
    }


def test_silence_is_filled(world: World) -> None:
    gate = Gate()
    world.fake.script(delivered(say("late"), hold=gate))
    assert read_past(gate, ": keepalive", world.proxy, chat()).endswith("data: [DONE]\n\n")


def test_overload_is_tried_again(world: World) -> None:
    world.fake.script([fail(529), broken(), say("third time")])
    assert '"third' in streamed(world.proxy)
    assert len(world.fake.messages("oauth")) == 3


def test_a_cut_ends_in_one_error(world: World) -> None:
    world.fake.script(delivered(say("a long enough answer"), cut="rst", after_events=5))
    text = streamed(world.proxy)
    assert text.count('"error":{') == 1 and "[DONE]" not in text


def test_a_client_that_leaves_closes_upstream(world: World) -> None:
    gate = Gate()
    world.fake.script(delivered(say("a b c d e f"), pause_after=4, pause=gate))
    with httpx.stream("POST", f"{world.proxy.url}/v1/messages", json=message(stream=True)) as r:
        next(r.iter_raw())
    assert world.fake.wait_until(lambda: world.fake.requests[0].closed_at is not None)
    gate.open()


def test_connections_are_reused(world: World) -> None:
    with httpx.Client(base_url=world.proxy.url, timeout=20) as client:
        for _ in range(3):
            assert client.post("/v1/chat/completions", json=chat()).status_code == 200
    assert len({request.connection for request in world.fake.requests}) == 1


class TestHandshakes:
    """The same proxy; the fake greets new connections in other ways."""

    def test_one_that_stalls_has_a_deadline(self, world: World) -> None:
        world.fake.greet("mute")
        response = world.proxy.post("/v1/chat/completions", chat())
        assert response.status_code == 502
        assert response.json()["error"]["code"] == "upstream_unreachable"
        assert not world.fake.requests

    def test_one_that_stalls_after_an_early_head_ends_in_one_error(self, world: World) -> None:
        world.fake.greet("mute")
        text = streamed(world.proxy)
        assert text.count('"error":{') == 1 and "[DONE]" not in text

    @pytest.mark.parametrize("greeting", ["fin", "rst"])
    def test_one_that_is_refused_is_a_502(self, greeting: str, world: World) -> None:
        world.fake.greet(greeting)  # type: ignore[arg-type]
        assert world.proxy.post("/v1/messages", message()).status_code == 502
        text = streamed(world.proxy)  # its retries take longer than the first byte may
        assert text.count('"error":{') == 1 and "[DONE]" not in text

    def test_the_next_request_is_served_again(self, world: World) -> None:
        with httpx.Client(base_url=world.proxy.url, timeout=20) as client:
            world.fake.greet("rst")
            assert client.post("/v1/messages", json=message()).status_code == 502
            world.fake.greet("serve")
            assert client.post("/v1/messages", json=message()).status_code == 200


@pytest.mark.parametrize("wrong", ["another name", "another ca"])
def test_nothing_is_sent_to_a_wrong_certificate(
    wrong: str, certificates: Certificates, tmp_path: Path
) -> None:
    issuer = Certificates(tmp_path) if wrong == "another ca" else certificates
    cert = issuer.issue("localhost" if wrong == "another ca" else "evil.example")
    with (
        FakeAnthropic(cert=cert) as fake,
        proxy_for(fake, certificates, FIRST_BYTE_SECONDS="10") as proxy,
    ):
        for path, body in (
            ("/v1/chat/completions", chat(stream=True)),
            ("/v1/messages", message()),
        ):
            response = proxy.post(path, body)
            assert response.status_code == 502 and response.json()["error"]["message"]
        assert not fake.requests and not fake.bytes_in


def test_fallback_while_streaming(certificates: Certificates) -> None:
    with (
        FakeAnthropic(cert=certificates.issue("localhost")) as fake,
        proxy_for(fake, certificates) as proxy,
    ):
        fake.script(delivered(fail(429, headers=rejected()), hold=0.7), when="oauth")
        fake.script(say("paid"), when="api_key")
        text = streamed(proxy)
        assert ": source=api_key reason=rate_limited" in text and '"content":"paid"' in text
        assert len(fake.messages("api_key")) == 1
