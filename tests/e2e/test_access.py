"""Who may come in, through the real proxy: the rules themselves are a table in tests/exchange/test_access.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from addon.stand_in.anthropic import FakeAnthropic
from tests.e2e import raw
from tests.e2e.conftest import StartProxy, World
from tests.e2e.proxy import OWN_PORT, Proxy, chat, message

SECRET = "hush-hush-hush-hush-hush"
TUNNEL = {"cf-connecting-ip": "8.8.8.8", "host": "a.trycloudflare.com", "cf-ray": "x"}
KNOWS = {"authorization": f"Bearer {SECRET}"}
EVIL = {"origin": "https://evil.example"}
LOCAL = {"origin": "http://localhost:3000"}


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    return {"PROXY_SECRET_KEY": SECRET}


def ask(
    world: World, headers: dict[str, str], path: str = "/v1/chat/completions"
) -> httpx.Response:
    return world.proxy.post(path, chat() if "chat" in path else message(), headers=headers)


def test_a_tunnel_needs_the_secret(world: World) -> None:
    for path in ("/v1/chat/completions", "/v1/messages", "/v1/responses"):
        response = ask(world, TUNNEL, path)
        assert response.status_code == 401
        assert "secret" in response.json()["error"]["message"]
        assert ("type" in response.json()) == (path == "/v1/messages")
    assert world.untouched
    assert ask(world, TUNNEL | KNOWS).status_code == 200
    assert ask(world, TUNNEL | {"x-api-key": SECRET}, "/v1/messages").status_code == 200
    assert not any(SECRET in value for r in world.fake.requests for _, value in r.headers)


def test_a_thousand_guesses_reach_nothing(world: World) -> None:
    guesser = TUNNEL | {"cf-connecting-ip": "1.1.1.1"}
    with httpx.Client(base_url=world.proxy.url, timeout=20) as client:

        def tried(secret: str) -> httpx.Response:
            return client.get("/v1/models", headers=guesser | {"authorization": f"Bearer {secret}"})

        answers = [tried(f"guess{n}") for n in range(1_000)]
        assert tried(SECRET).status_code == 200
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 990
    last = answers[-1]
    assert last.json()["error"]["code"] == "too_many_wrong_secrets"
    assert 1 <= int(last.headers["retry-after"]) <= 60
    assert last.headers["x-should-retry"] == "false"
    assert len(world.proxy.get("/security/blocked").json()["blocked"]) < 50
    assert world.untouched


def signed_in(world: World) -> str:
    """`name=value` of the dashboard's cookie."""
    response = world.proxy.post("/dashboard/login", {"secret": SECRET}, headers=TUNNEL)
    return response.headers["set-cookie"].partition(";")[0]


def test_the_cookie_is_found_beside_others_and_tells_instances_apart(world: World) -> None:
    cookie = signed_in(world)
    assert str(world.proxy.port) in cookie.partition("=")[0]

    def seen(*cookies: str) -> int:
        lines = [("cookie", line) for line in cookies]
        return world.proxy.get("/analytics", headers=[*TUNNEL.items(), *lines]).status_code

    other = cookie.replace(str(world.proxy.port), "1").replace("=", "=x")
    assert seen(cookie) == seen(f'foo={{"a":1}}; {cookie}; =; x') == 200
    assert seen(f"{other}; {cookie}") == seen(f"{other}", cookie) == 200
    assert seen(other) == seen(f"x{cookie}") == seen(f"a={cookie}") == seen(f"{cookie}x") == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "mitm.it"},
        {"host": "localhost.evil.example:8082"},
        EVIL | {"content-type": "application/json"},
        EVIL | {"content-type": "text/plain"},
        LOCAL | {"content-type": "text/plain"},
        {"sec-fetch-site": "cross-site"},
    ],
    ids=str,
)
def test_web_pages_and_rebound_names_reach_nothing(headers: dict[str, str], world: World) -> None:
    response = world.proxy.post("/v1/messages", content=b"{}", headers=headers)
    assert response.status_code in (403, 415, 421)
    assert (
        "access-control-allow-origin" not in response.headers
        or headers.get("origin") == LOCAL["origin"]
    )
    assert b"mitmproxy" not in response.content
    assert world.untouched


def test_a_preflight_is_answered_for_allowed_origins_alone(world: World) -> None:
    def preflight(origin: str) -> httpx.Response:
        asked = "anthropic-beta, X-Stainless-Lang,anthropic-dangerous-direct-browser-access, x-evil, x-stainless-="
        headers = {
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": asked,
        }
        return httpx.options(f"{world.proxy.url}/v1/chat/completions", headers=headers)

    allowed = preflight(LOCAL["origin"])
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == LOCAL["origin"]
    assert "origin" in allowed.headers["vary"].lower()
    assert allowed.headers["access-control-allow-headers"] == (
        "content-type, authorization, x-api-key, anthropic-beta, anthropic-dangerous-direct-browser-access, "
        "x-stainless-lang"
    )
    assert "access-control-allow-private-network" not in allowed.headers
    assert "access-control-allow-origin" not in preflight("https://evil.example").headers
    assert world.untouched


def test_an_allowed_page_gets_its_origin_back_on_answers_and_errors(world: World) -> None:
    page = LOCAL | {"content-type": "application/json"}
    for body in (chat(), chat(stream=True), {"model": "claude-opus-4-8"}):
        response = world.proxy.post("/v1/chat/completions", body, headers=page)
        assert response.headers["access-control-allow-origin"] == LOCAL["origin"]
        assert "origin" in response.headers["vary"].lower()


def test_health_tells_a_tunnel_nothing(world: World) -> None:
    assert world.proxy.get("/health", headers=TUNNEL | KNOWS).json() == {"status": "ok"}
    assert "claudeCode" in world.proxy.get("/health").json()


def test_both_loopback_addresses_listen(world: World) -> None:
    assert httpx.get(f"http://[::1]:{world.proxy.port}/health").status_code == 200
    assert httpx.get(f"http://localhost:{world.proxy.port}/health").status_code == 200


# ---- without a secret

FORGED = {"cf-connecting-ip": "52.44.113.131"}


@pytest.fixture
def open_door(fake: FakeAnthropic) -> Iterator[Proxy]:
    """Without the launcher, which makes a secret."""
    with Proxy(fake.url, launch=False, mode=OWN_PORT) as proxy:
        yield proxy


def test_a_forged_address_lets_nobody_in(open_door: Proxy, fake: FakeAnthropic) -> None:
    through = FORGED | {"host": "a.trycloudflare.com"}
    response = open_door.post("/v1/messages", message(), headers=through)
    assert response.status_code == 403
    told = response.json()["error"]["message"]
    assert "PROXY_SECRET_KEY" in told and "TUNNEL_PROVIDER=cloudflare" in told
    rebound = FORGED | {"host": f"evil.example:{open_door.port}"}
    for path in ("/analytics", "/dashboard", "/v1/models", "/health"):
        assert open_door.get(path, headers=rebound).status_code == 421
    assert not fake.connections
    assert open_door.post("/v1/messages", message()).status_code == 200


def test_cloudflare_is_believed(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(launch=False, mode=OWN_PORT, TUNNEL_PROVIDER="cloudflare")
    through = FORGED | {"host": "a.trycloudflare.com"}
    assert proxy.post("/v1/messages", message(), headers=through).status_code == 200
    stranger = through | {"cf-connecting-ip": "8.8.8.8"}
    assert proxy.post("/v1/messages", message(), headers=stranger).status_code == 403


def test_an_address_that_it_listens_at_is_its_name(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    mode = "reverse:UPSTREAM@127.0.0.1:PORT"
    second = ["--mode", "reverse:UPSTREAM@127.0.0.2:PORT".replace("UPSTREAM", fake.url)]
    proxy = Proxy(fake.url, launch=False, mode=mode)
    proxy.arguments = [word.replace("PORT", str(proxy.port)) for word in second]
    with proxy:
        url = f"http://127.0.0.2:{proxy.port}/health"
        assert httpx.get(url).status_code == 200
        assert httpx.get(url, headers={"host": "evil.example"}).status_code == 421


def test_two_host_headers_are_a_400(world: World) -> None:
    for hosts in (("localhost", "localhost"), ("localhost", "a.trycloudflare.com")):
        request = raw.head(
            "GET", "/health", f"Host: {hosts[1]}", "Connection: close", host=hosts[0]
        )
        response = raw.exchange(world.proxy, request)
        assert raw.status_of(response) == 400
        assert raw.json_of(response)["error"]["message"]
