"""The door, attacked: smuggling, slow and endless requests, hostile options. The rows' numbers are in docs/dev/SECURITY.md."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from addon.stand_in.anthropic import FakeAnthropic
from tests.e2e import raw
from tests.e2e.conftest import StartProxy, World
from tests.e2e.hurry import HURRY
from tests.e2e.proxy import OWN_PORT, chat, message
from tests.ports import free_port

BODY = json.dumps(chat()).encode()
JSON = "Content-Type: application/json"
EVIL = {"origin": "https://evil.example", "content-type": "application/json"}


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    return {"launch": False, "first": HURRY, "mode": OWN_PORT}


@pytest.fixture(scope="module")
def running(running: World) -> Iterator[World]:
    yield running
    assert "replay layer failed" not in running.proxy.output


def memory(world: World) -> float:
    """MB that the proxy uses now."""
    assert world.proxy.process
    status = Path(f"/proc/{world.proxy.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


# ---- what upstream sees

OF_ANTHROPIC_CLIENTS = {"anthropic-dangerous-direct-browser-access"}
"""Headers of a client that are for Anthropic."""


def test_s13_of_the_clients_headers_only_what_is_known_goes_upstream(world: World) -> None:
    canaries = {f"x-canary-{n}": "canary" for n in range(12)} | {
        "user-agent": "canary/1", "accept": "canary/2", "accept-language": "canary", "referer": "http://canary",
        "x-stainless-lang": "canary", "anthropic-dangerous-direct-browser-access": "true", "te": "trailers",
        "anthropic-workspace-id": "bad\tcanary", "x-app": "canary",
        "cookie": "canary=1", "priority": "canary",
    }  # fmt: skip
    for path, body in (("/v1/messages", message()), ("/v1/chat/completions", chat())):
        assert world.proxy.post(path, body, headers=canaries).status_code == 200
    for request, theirs in zip(world.fake.requests, (OF_ANTHROPIC_CLIENTS, set()), strict=True):
        assert {name.lower() for name, _ in request.headers} == theirs | {
            "host", "content-type", "content-length", "accept-encoding", "user-agent", "accept",
            "anthropic-version", "anthropic-beta", "authorization",
        }  # fmt: skip
        assert "canary" not in repr(request.headers).lower()


@pytest.mark.parametrize(
    "value",
    ["oauth-2025-04-20\r\nx-evil: 1", "a\x00b", "a\nb", "é", "a" * 5000, "a,b;c=d\\"],
    ids=["crlf", "nul", "lf", "latin", "long", "signs"],
)
def test_t11_no_value_of_a_client_makes_a_header(value: str, world: World) -> None:
    line = f"anthropic-beta: {value}".encode("utf-8", "replace")
    lines = b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n" + line + b"\r\n"
    body = json.dumps(message()).encode()
    head = lines + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    assert raw.status_of(raw.exchange(world.proxy, head + body)) in (200, 400)
    for request in world.fake.requests:
        assert request.header("x-evil") is None
        assert all(value.isascii() and value.isprintable() for _, value in request.headers)


# ---- smuggling


def chunked(*pieces: bytes, headers: bytes = b"Transfer-Encoding: chunked\r\n") -> bytes:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return head + headers + b"\r\n" + b"".join(pieces)


def chunk(data: bytes = BODY, size: bytes | None = None, end: bytes = b"\r\n") -> bytes:
    return (size or b"%x" % len(data)) + b"\r\n" + data + end


HIDDEN = b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
SMUGGLED = {
    "both lengths": chunked(
        chunk(), b"0\r\n\r\n", HIDDEN,
        headers=b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    ),
    "two lengths": chunked(BODY, HIDDEN, headers=b"Content-Length: 5\r\nContent-Length: 6\r\n"),
    "list of lengths": chunked(BODY, HIDDEN, headers=b"Content-Length: 5, 6\r\n"),
    "plus": chunked(BODY, HIDDEN, headers=b"Content-Length: +5\r\n"),
    "hex": chunked(BODY, HIDDEN, headers=b"Content-Length: 0x5\r\n"),
    "space before the colon": chunked(HIDDEN, headers=b"Transfer-Encoding : chunked\r\n"),
    "unknown coding": chunked(HIDDEN, headers=b"Transfer-Encoding: xchunked\r\n"),
    "coding twice": chunked(HIDDEN, headers=b"Transfer-Encoding: chunked, identity\r\n"),
    "tab in the coding": chunked(HIDDEN, headers=b"Transfer-Encoding:\tchunked\x0b\r\n"),
    "junk after a chunk": chunked(chunk(end=b"XX"), b"0\r\n\r\n"),
    "bare line feed in chunks": chunked(b"%x\n%b\n0\n\n" % (len(BODY), BODY)),
    "size too large": chunked(chunk(size=b"f" * 20), b"0\r\n\r\n"),
    "negative size": chunked(chunk(size=b"-1"), b"0\r\n\r\n"),
    "size with a prefix": chunked(chunk(size=b"0x%x" % len(BODY)), b"0\r\n\r\n"),
    "nul in a name": chunked(HIDDEN, headers=b"Transfer-\x00Encoding: chunked\r\nContent-Length: 2\r\n"),
    "bare return": chunked(HIDDEN, headers=b"X: a\rTransfer-Encoding: chunked\r\nContent-Length: 2\r\n"),
    "folded": chunked(HIDDEN, headers=b"X: a\r\n Transfer-Encoding: chunked\r\nContent-Length: 2\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", SMUGGLED)
def test_s14_r27_no_request_hides_in_another(name: str, world: World) -> None:
    """Refused; or read as one request of a bad body, after which what was hidden is a request of its own, like any."""
    with raw.connected(world.proxy) as client:
        client.sendall(SMUGGLED[name])
        client.settimeout(3)
        response = b""
        try:
            while piece := client.recv(65536):
                response += piece
                client.settimeout(0.5)
        except (TimeoutError, ConnectionResetError):
            pass
    statuses = [int(part[:3]) for part in response.split(b"HTTP/1.1 ")[1:]]
    assert all(400 <= status < 500 for status in statuses)
    assert not world.fake.requests


# ---- clients that waste time and room


def drip(world: World, first: bytes, seconds: float) -> bytes:
    """Send a first part, then a byte at a time, until it is closed or the time is over; what came."""
    started = time.monotonic()
    with raw.connected(world.proxy) as client:
        client.sendall(first)
        client.settimeout(0.1)
        received = b""
        while time.monotonic() - started < seconds:
            try:
                piece = client.recv(4096)
                if not piece:
                    break
                received += piece
            except TimeoutError:
                client.sendall(b"a")
            except ConnectionError:
                break
    return received


@pytest.mark.parametrize(
    "first",
    [
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n",
    ],
    ids=["head", "body", "chunk"],
)
def test_s25_a_request_that_comes_drop_by_drop_is_closed(first: bytes, world: World) -> None:
    assert raw.status_of(drip(world, first, 10)) == 408
    assert world.untouched


def test_s25_a_slow_but_steady_upload_is_served(world: World) -> None:
    body = json.dumps(message("long " * 4000)).encode()
    with raw.connected(world.proxy) as client:
        client.sendall(raw.head("POST", "/v1/messages", JSON, f"Content-Length: {len(body)}"))
        for at in range(0, len(body), 2000):
            client.sendall(body[at : at + 2000])
            time.sleep(0.2)
        assert raw.read_response(client)[0] == 200


def test_s26_a_head_of_64_mb_takes_no_room(world: World) -> None:
    before = memory(world)
    with raw.connected(world.proxy) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        try:
            for _ in range(64):
                client.sendall(b"a" * 2**20)
        except OSError:
            pass  # it does not listen any more
        response = raw.read_all(client)
    assert response == b"" or raw.status_of(response) == 431
    assert memory(world) - before < 8
    assert world.untouched


def test_t15_requests_sent_ahead_take_no_room(world: World) -> None:
    """While the first is served, mitmproxy would keep whatever follows."""
    before = memory(world)
    with raw.connected(world.proxy) as client:
        client.sendall(raw.post(chat("Hi [[deltas 40 every 100ms]]", stream=True)))
        flood = raw.post(chat("x" * 100_000))
        try:
            for _ in range(300):
                client.sendall(flood)
        except OSError:
            pass
        raw.read_all(client)
    assert memory(world) - before < 16
    time.sleep(0.3)
    assert len(world.fake.requests) <= 1  # what came ahead is not served behind its client's back


def test_s24_idle_connections_cost_upstream_nothing(world: World) -> None:
    before = len(world.fake.connections)
    held = [socket.create_connection(("127.0.0.1", world.proxy.port)) for _ in range(200)]
    assert world.proxy.get("/health").status_code == 200
    for client in held:
        client.close()
    assert len(world.fake.connections) == before


def test_t14_s15_a_tls_hello_is_closed_at_once(world: World) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with raw.connected(world.proxy) as client, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(client)
    assert world.untouched


# ---- control


@pytest.mark.parametrize("path", ["/budget", "/analytics/reset"])
def test_s7_no_web_page_changes_anything(path: str, world: World) -> None:
    world.proxy.post("/v1/messages", message())
    before = [world.proxy.get(p).json() for p in ("/budget", "/analytics")]
    for headers in (EVIL, {"sec-fetch-site": "cross-site"}, {**EVIL, "content-type": "text/plain"}):
        response = world.proxy.post(path, {"hourlyLimit": None}, headers=headers)
        assert response.status_code in (403, 415)
        assert "access-control-allow-origin" not in response.headers
    after = [world.proxy.get(p).json() for p in ("/budget", "/analytics")]
    assert [a["totalRequests"] for a in after[1:]] == [b["totalRequests"] for b in before[1:]]
    assert after[0] == before[0]


def test_t22_what_is_shown_of_usage_tells_no_prompt_and_no_address(world: World) -> None:
    said = chat("canary-in-the-prompt", stream=True)
    world.proxy.post("/v1/chat/completions", said, headers={"x-user": "a-canary"})
    # /dashboard/data has the first words of conversations, on this machine only: test_explain
    pages = ("/analytics", "/analytics/requests", "/metrics", "/health")
    shown = "".join(world.proxy.get(page).text for page in pages)
    assert "claude-opus-4-8" in shown
    # a User-Agent is shown, as the client's name
    assert "canary-in" not in shown and "a-canary" not in shown
    assert "127.0.0.1" not in shown.replace(world.fake.url, "")


def test_who_was_refused_is_listed_with_the_line_that_lets_him_in(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(PROXY_SECRET_KEY=None, ALLOWED_IPS="10.0.0.0/8")
    caller = {"host": "a.trycloudflare.com", "cf-connecting-ip": "8.8.4.4"}
    knows = {"authorization": f"Bearer {(proxy.home / '.ccproxy' / 'secret').read_text().strip()}"}
    assert proxy.post("/v1/messages", message(), headers=caller | knows).status_code == 403
    (entry,) = proxy.get("/security/blocked").json()["blocked"]
    assert (entry["address"], entry["allow"]) == ("8.8.4.4", "ALLOWED_IPS=10.0.0.0/8,8.8.4.4")
    # output is written in the background
    assert fake.wait_until(lambda: "ALLOWED_IPS=10.0.0.0/8,8.8.4.4" in proxy.output)
    assert not fake.connections


def test_t18_a_refused_request_cannot_command_the_terminal(world: World) -> None:
    request = b"GET /\x1b[2Jwiped HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    raw.exchange(world.proxy, request)
    assert world.fake.wait_until(lambda: "wiped" in world.proxy.output)
    assert "\x1b[2J" not in world.proxy.output


# ---- options


def test_s30_a_hostile_config_file_opens_nothing(
    fake: FakeAnthropic, start_proxy: StartProxy, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(
        "connection_strategy: eager\nkeep_host_header: false\nonboarding: true\nssl_insecure: true\n"
        "validate_inbound_headers: false\nproxy_debug: true\nrawtcp: true\nwebsocket: true\nhttp2: true\n"
        "body_size_limit: 1g\n"
    )
    proxy = start_proxy(arguments=["--set", f"confdir={tmp_path}"])
    assert proxy.get("/", headers={"host": "mitm.it"}).status_code == 421
    assert proxy.post("/v1/chat/completions", chat()).status_code == 200
    with raw.connected(proxy) as client:
        client.sendall(SMUGGLED["both lengths"])
        assert raw.status_of(raw.read_all(client)) == 400
    for name in ("proxy_debug=False", "ssl_insecure=False", "validate_inbound_headers=True"):
        assert name in proxy.output
    assert len(fake.connections) == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_a_smaller_limit_of_bodies_holds(
    chunked: bool, fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(arguments=["--set", "body_size_limit=1k"])
    body = json.dumps(chat("long " * 300)).encode()
    sent = iter([body[:100], body[100:]]) if chunked else body
    with httpx.Client(headers={"content-type": "application/json"}) as client:
        response = client.post(f"{proxy.url}/v1/chat/completions", content=sent)
    assert response.status_code == 413 and "1024 bytes" in response.text
    assert proxy.post("/v1/chat/completions", chat()).status_code == 200
    assert len(fake.messages()) == 1


@pytest.mark.parametrize("launch", [True, False], ids=["start.sh", "mitmdump"])
def test_s20_t19_what_is_written_is_for_its_owner_alone(
    launch: bool, fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    arguments = ["-w", "flows", "--set", "hardump=all.har"]
    proxy = start_proxy(launch=launch, arguments=arguments, mode=OWN_PORT, VERBOSE_LOGGING="true")
    proxy.post("/v1/messages", message())
    proxy.stop()
    found = [path for path in proxy.home.rglob("*") if path.name != "output.log"]
    assert {"flows", "all.har", "api.log", "usage.json"} <= {path.name for path in found}
    assert [path.name for path in found if path.stat().st_mode & 0o077] == []


def test_t20_s18_mitmweb_asks_for_its_password_and_shows_no_secret(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    port = free_port()
    given = ["--web-port", str(port), "--set", "web_password=only-for-this-test"]
    proxy = start_proxy(program="mitmweb", arguments=given)
    proxy.post("/v1/messages", message(), headers={"x-api-key": "sk-ant-api03-canaryclient"})
    flows = f"http://127.0.0.1:{port}/flows"
    assert httpx.get(flows).status_code == 403
    shown = httpx.get(flows, headers={"authorization": "Bearer only-for-this-test"})
    assert "/v1/messages" in shown.text
    for secret in ("sk-ant-oat01-test", "sk-ant-api03-test", "canaryclient"):
        assert secret not in shown.text
    assert fake.messages("oauth")
