"""What the addon does to a flow; the rules themselves are a table in tests/exchange/test_access.py."""

from __future__ import annotations

from typing import Any

import pytest
from mitmproxy.test import tflow, tutils

from addon.addons.access_control import AccessControl
from addon.core.settings import Settings
from addon.exchange.refusals import Blocked, Guesses, LineAMinute
from addon.exchange.state import Exchanges

SECRET = "hush-hush"
CURSOR = "52.44.113.131"
OPEN: dict[str, str] = {}
WITH_SECRET = {"PROXY_SECRET_KEY": SECRET}


def made(env: dict[str, str], exchanges: Exchanges) -> AccessControl:
    lines = LineAMinute(lambda: 5.0)
    guesses = Guesses(lambda: 5.0, lines)
    return AccessControl(Settings.from_env(env), exchanges, Blocked(), guesses, lines)


class TestTheAddon:
    """What it does to a flow."""

    @pytest.fixture
    def exchanges(self) -> Exchanges:
        return Exchanges()

    def came(
        self,
        exchanges: Exchanges,
        env: dict[str, str],
        door: AccessControl | None = None,
        **headers: str,
    ) -> Any:
        request = tutils.treq(method=b"POST", path=b"/v1/messages", host="localhost")
        request.authority = ""
        request.headers["host"] = "localhost:8082"
        for name, value in headers.items():
            request.headers[name.replace("_", "-")] = value
        flow = tflow.tflow(req=request)
        exchange = exchanges.begin(flow)
        (door or made(env, exchanges)).requestheaders(flow)
        return flow, exchange

    @pytest.mark.parametrize(
        "headers",
        [
            {"authorization": "Bearer sk-ant-api03-x"},
            {"x-api-key": "sk-ant-api03-x"},
            {"api-key": "sk-ant-api03-x"},
            {"x_api_key": "sk-ant-api03-x", "cookie": "a=b", "proxy_authorization": "Basic x"},
        ],
    )
    def test_credentials_come_off_and_the_clients_key_is_kept(
        self, headers: dict[str, str], exchanges: Exchanges
    ) -> None:
        flow, exchange = self.came(exchanges, OPEN, **headers)
        assert exchange.client_key == "sk-ant-api03-x"
        assert not {n.lower() for n in flow.request.headers} & {
            "authorization", "x-api-key", "api-key", "cookie", "proxy-authorization",
        }  # fmt: skip

    @pytest.mark.parametrize("token", ["sk-ant-oat01-x", "any", SECRET])
    def test_other_tokens_are_nobodys_key(self, token: str, exchanges: Exchanges) -> None:
        _, exchange = self.came(exchanges, WITH_SECRET, authorization=f"Bearer {token}")
        assert exchange.client_key is None

    def test_of_many_guesses_the_last_are_told_to_stop_and_the_right_secret_comes_in(
        self, exchanges: Exchanges
    ) -> None:
        door = made(WITH_SECRET | {"TUNNEL_PROVIDER": "cloudflare"}, exchanges)
        tunnel = {"cf_connecting_ip": CURSOR}

        def status(**headers: str) -> int | None:
            flow, _ = self.came(exchanges, WITH_SECRET, door, **(tunnel | headers))
            return flow.response.status_code if flow.response else None

        assert [status() for _ in range(20)] == [401] * 20  # no secret at all is no guess
        guesses = [status(authorization=f"Bearer guess{n}") for n in range(15)]
        assert guesses == [401] * 10 + [429] * 5
        assert len(door.blocked.entries) == 30
        assert status(x_api_key="guess") == 429
        assert status(authorization=f"Bearer {SECRET}") is None
        assert status(cf_connecting_ip="8.8.8.8", x_api_key="guess") == 401

    def test_a_forged_address_does_not_begin_the_count_anew(self, exchanges: Exchanges) -> None:
        door = made(WITH_SECRET, exchanges)

        def status(guess: int) -> int:
            forged = {"cf_connecting_ip": f"8.8.8.{guess}", "host": "evil.example"}
            flow, _ = self.came(exchanges, WITH_SECRET, door, x_api_key=f"guess{guess}", **forged)
            code: int = flow.response.status_code
            return code

        assert [status(guess) for guess in range(12)] == [421] * 10 + [429] * 2

    def test_a_foreign_name_makes_one_from_outside(self, exchanges: Exchanges) -> None:
        shown = {"x_api_key": SECRET, "host": "ai.example.com"}
        assert self.came(exchanges, WITH_SECRET, **shown)[1].tunnel
        assert not self.came(exchanges, WITH_SECRET, x_api_key=SECRET)[1].tunnel

    def test_who_is_let_in_has_a_route(self, exchanges: Exchanges) -> None:
        flow, exchange = self.came(exchanges, OPEN)
        assert exchange.route is not None and exchange.route.name == "messages"
        assert flow.response is None

    def test_who_is_refused_has_none(self, exchanges: Exchanges) -> None:
        flow, exchange = self.came(exchanges, OPEN, origin="https://evil.example")
        assert exchange.route is None
        assert flow.response.status_code == 403
        assert "access-control-allow-origin" not in flow.response.headers

    def test_whoever_breaks_the_check_is_not_served(self, exchanges: Exchanges) -> None:
        flow = tflow.tflow()
        flow.request.authority = ""
        flow.client_conn.peername = ("no address", 1)
        exchange = exchanges.begin(flow)
        with pytest.raises(ValueError, match="no address"):
            made(OPEN, exchanges).requestheaders(flow)
        assert exchange.route is None
