"""Who may come in: every rule of `judge`, as a table."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from addon.core.errors import CCProxyError
from addon.core.settings import Settings
from addon.exchange.access import Visitor, judge, origin_allowed
from addon.exchange.routes import ROUTES, find
from tests.documents import ROOT

SECRET = "hush-hush"
CURSOR = "52.44.113.131"
CHAT = ("POST", "/v1/chat/completions")
MODELS = ("GET", "/v1/models")
TUNNEL = {"host": "a.trycloudflare.com", "cf-connecting-ip": CURSOR}
KNOWS = {"authorization": f"Bearer {SECRET}"}
JSON = {"content-type": "application/json", "content-length": "2"}

OPEN: dict[str, str] = {}
WITH_SECRET = {"PROXY_SECRET_KEY": SECRET}
WITH_BOTH = {**WITH_SECRET, "ALLOWED_IPS": "10.0.0.0/8"}
CLOUDFLARE = {"TUNNEL_PROVIDER": "cloudflare"}
NGROK = {"TUNNEL_URL": "https://my.ngrok.app/v1"}


def refusal(
    env: dict[str, str],
    what: tuple[str, str] = CHAT,
    *,
    peer: str = "127.0.0.1",
    at: str = "127.0.0.1",
    authority: str = "",
    **headers: str,
) -> CCProxyError | None:
    """Header names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    visitor = Visitor(
        peer=peer,
        at=at,
        method=what[0],
        path=what[1],
        authority=authority,
        headers={"host": "localhost:8082", **named},
    )
    return judge(visitor, find(*what), Settings.from_env(env))


def verdict(env: dict[str, str], what: tuple[str, str] = CHAT, **more: str) -> int | None:
    """The status of the refusal, or None."""
    error = refusal(env, what, **more)
    return error.status if error else None


def told(env: dict[str, str], headers: dict[str, str], **more: Any) -> int | None:
    return verdict(env, **{n.replace("-", "_"): v for n, v in headers.items()}, **more)


class TestThisMachine:
    @pytest.mark.parametrize(
        "host",
        [
            "localhost",
            "localhost:8082",
            "LOCALHOST:1",
            "127.0.0.1:8082",
            "[::1]:8082",
            "localhost.",
        ],
    )
    def test_its_own_names_are_welcome(self, host: str) -> None:
        assert verdict(OPEN, host=host) is None

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example:8082",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "mitm.it",
            "",
            "[::1",
            "[",
            "127.0.0.1@evil.example",
            "0.0.0.0",
            "[::ffff:7f00:1]",
            "localhost%00",
            "localhost, evil.example",
        ],
    )
    def test_another_host_is_misdirected(self, host: str) -> None:
        assert verdict(OPEN, host=host) == 421

    def test_the_address_that_it_listens_at_is_one_of_its_names(self) -> None:
        assert verdict(OPEN, host="127.0.0.2:8082", at="127.0.0.2") is None
        assert verdict(OPEN, host="[fd00::2]", at="fd00::2") is None
        assert verdict(OPEN, host="127.0.0.2", at="127.0.0.1") == 421
        assert verdict(OPEN, host="", at="") == 421

    def test_two_hosts_are_malformed(self) -> None:
        head = {"peer": "127.0.0.1", "method": "GET", "path": "/health", "authority": ""}
        visitor = Visitor(**head, hosts=2, headers={"host": "localhost, localhost"})
        error = judge(visitor, find("GET", "/health"), Settings.from_env(OPEN))
        assert error is not None and error.status == 400

    def test_what_the_caller_wrote_is_quoted_briefly(self) -> None:
        long = "x" * 60_000
        for error in (
            refusal(OPEN, host=long),
            refusal(OPEN, origin=f"https://{long}"),
            refusal(OPEN, ("GET", f"/{long}")),
            refusal(CLOUDFLARE, host="a.trycloudflare.com", cf_connecting_ip=long),
        ):
            assert error is not None and len(error.message) < 600

    def test_a_full_url_is_refused(self) -> None:
        assert verdict(OPEN, authority="evil.example") == 400

    @pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1"])
    def test_loopback_peers_are_local(self, peer: str) -> None:
        assert verdict(OPEN, peer=peer) is None

    @pytest.mark.parametrize("peer", ["192.168.1.7", "10.0.0.1", "fe80::1%eth0", "2001:db8::1"])
    def test_other_machines_need_a_secret_to_exist_and_to_be_known(self, peer: str) -> None:
        assert verdict(OPEN, peer=peer) == 403
        assert told(WITH_SECRET, {"host": "box.lan:8082"}, peer=peer) == 401
        assert told(WITH_SECRET, {"host": "box.lan:8082", **KNOWS}, peer=peer) is None

    def test_the_secret_is_wanted_here_too_when_asked_for(self) -> None:
        strict = {**WITH_SECRET, "REQUIRE_SECRET_LOCALLY": "true"}
        assert verdict(strict) == 401
        assert told(strict, KNOWS) is None
        assert verdict(WITH_SECRET) is None


class TestTunnels:
    @pytest.mark.parametrize(
        "header",
        [
            "cf-connecting-ip", "cf-ray", "x-forwarded-for", "x-forwarded-proto", "forwarded", "via",
            "x-real-ip", "true-client-ip", "ngrok-agent-ips", "cdn-loop",
        ],
    )  # fmt: skip
    def test_any_forwarding_header_makes_one(self, header: str) -> None:
        assert told(WITH_SECRET, {header: CURSOR}) == 401

    @pytest.mark.parametrize(
        "shown",
        [
            {"authorization": f"Bearer {SECRET}"},
            {"authorization": f"bearer  {SECRET} "},
            {"x-api-key": SECRET},
            {"api-key": SECRET},
            {"authorization": "Bearer other", "x-api-key": SECRET},
        ],
    )
    def test_the_secret_lets_in_from_any_address(self, shown: dict[str, str]) -> None:
        assert told(WITH_SECRET, {**TUNNEL, "cf-connecting-ip": "8.8.8.8", **shown}) is None

    @pytest.mark.parametrize(
        "shown",
        [
            {},
            {"authorization": SECRET},
            {"authorization": f"Basic {SECRET}"},
            {"authorization": "Bearer "},
            {"authorization": f"Bearer {SECRET}x"},
            {"x-api-key": SECRET[:-1]},
            {"x-api-key": "hüsh"},
            {"cookie": f"secret={SECRET}"},
        ],
    )
    def test_without_it_nobody_comes_in(self, shown: dict[str, str]) -> None:
        assert told(WITH_SECRET, {**TUNNEL, **shown}) == 401

    @pytest.mark.parametrize(
        ("address", "status"),
        [
            (CURSOR, None),
            ("184.73.225.134", None),
            (f"::ffff:{CURSOR}", None),
            ("8.8.8.8", 403),
            ("", 403),
            (f"{CURSOR}, 8.8.8.8", 403),
            ("not an address", 403),
        ],
    )
    def test_without_a_secret_the_list_decides(self, address: str, status: int | None) -> None:
        assert told(CLOUDFLARE, {**TUNNEL, "cf-connecting-ip": address}) == status

    def test_what_the_caller_wrote_himself_is_not_believed(self) -> None:
        assert told(CLOUDFLARE, {"x-forwarded-for": CURSOR}) == 403
        forged = {**TUNNEL, "cf-connecting-ip": "8.8.8.8", "x-real-ip": CURSOR}
        assert told(CLOUDFLARE, forged) == 403

    @pytest.mark.parametrize("env", [OPEN, NGROK, {"ALLOWED_IPS": CURSOR}])
    def test_only_cloudflare_is_believed_who_calls(self, env: dict[str, str]) -> None:
        host = "my.ngrok.app" if "TUNNEL_URL" in env else "a.trycloudflare.com"
        error = refusal(env, host=host, cf_connecting_ip=CURSOR)
        assert error is not None and error.status == 403
        assert "PROXY_SECRET_KEY" in error.message
        assert "TUNNEL_PROVIDER=cloudflare" in error.message
        assert verdict(env | CLOUDFLARE, host=host, cf_connecting_ip=CURSOR) is None

    @pytest.mark.parametrize("env", [OPEN, WITH_SECRET, CLOUDFLARE, {"ALLOWED_IPS": "*"}, NGROK])
    @pytest.mark.parametrize("header", ["cf_connecting_ip", "x_forwarded_for", "ngrok_agent_ips"])
    def test_a_forged_header_opens_nothing_for_a_rebound_name(
        self, env: dict[str, str], header: str
    ) -> None:
        for what in ROUTES:
            error = refusal(env, what, host="evil.example", **{header: CURSOR})
            assert error is not None and error.status == 421, what
            assert "PROXY_SECRET_KEY" in error.message and "TUNNEL_URL" in error.message

    @pytest.mark.parametrize(
        "host",
        [
            "trycloudflare.com.evil.example",
            "trycloudflare.com",
            "eviltrycloudflare.com",
            "my.ngrok.app.evil.example",
            "x.my.ngrok.app",
            "",
        ],
    )
    def test_names_that_look_like_a_tunnels_are_none(self, host: str) -> None:
        assert told(CLOUDFLARE | NGROK, {**TUNNEL, "host": host}) == 421

    @pytest.mark.parametrize(
        "host",
        [
            "my.ngrok.app",
            "MY.ngrok.app:443",
            "a.trycloudflare.com",
            "localhost:8082",
            "192.168.1.5:8082",
        ],
    )
    def test_a_tunnels_name_or_one_of_this_machine_is_known(self, host: str) -> None:
        assert told(CLOUDFLARE | NGROK, {**TUNNEL, "host": host}, at="192.168.1.5") is None

    def test_who_shows_the_secret_may_use_any_name(self) -> None:
        # a rebound page can't know it
        for headers in (KNOWS, {**KNOWS, "x-forwarded-for": "8.8.8.8"}):
            assert told(WITH_SECRET, {"host": "ai.example.com", **headers}) is None

    def test_a_tunnels_name_alone_makes_a_request_one_from_outside(self) -> None:
        for host in ("my.ngrok.app", "a.trycloudflare.com"):
            assert told(WITH_SECRET | NGROK, {"host": host}) == 401
            assert told(NGROK, {"host": host}) == 403
            assert told(WITH_SECRET | NGROK, {"host": host, **KNOWS}) is None

    def test_a_list_of_the_users_own_is_kept_beside_the_secret(self) -> None:
        assert told(WITH_BOTH, {**TUNNEL, **KNOWS}) == 403
        assert told(WITH_BOTH, {**TUNNEL, **KNOWS, "cf-connecting-ip": "10.1.2.3"}) is None
        assert told(WITH_BOTH, {**TUNNEL, "cf-connecting-ip": "10.1.2.3"}) == 401

    def test_a_star_switches_the_list_off(self) -> None:
        assert told({"ALLOWED_IPS": "*"}, {**TUNNEL, "cf-connecting-ip": "8.8.8.8"}) is None
        assert (
            told({"ALLOWED_IPS": "*"}, {"host": TUNNEL["host"], "x-forwarded-for": "8.8.8.8"})
            is None
        )

    def test_the_list_of_models_is_open_to_cursors_app(self) -> None:
        elsewhere = {**TUNNEL, "cf-connecting-ip": "8.8.8.8"}
        assert told(OPEN, elsewhere, what=MODELS) is None
        assert told(WITH_SECRET, elsewhere, what=MODELS) == 401
        assert told(WITH_BOTH, {**elsewhere, **KNOWS}, what=MODELS) is None

    def test_a_preflight_carries_neither(self) -> None:
        assert told(WITH_BOTH, TUNNEL, what=("OPTIONS", "/v1/models")) is None

    def test_the_secret_does_not_open_unknown_paths(self) -> None:
        assert told(WITH_SECRET, {**TUNNEL, **KNOWS}, what=("GET", "/admin")) == 404


class TestBrowsers:
    @pytest.mark.parametrize(
        "origin",
        [
            "http://localhost:3000",
            "https://localhost",
            "http://127.0.0.1:8082",
            "http://[::1]:1",
            "vscode-file://vscode-app",
        ],
    )
    def test_pages_of_this_machine_and_cursors_app_may_call(self, origin: str) -> None:
        assert told(OPEN, {**JSON, "origin": origin, "sec-fetch-site": "cross-site"}) is None

    @pytest.mark.parametrize(
        "origin",
        [
            "https://evil.example",
            "null",
            "http://localhost.evil.example",
            "https://localhost@evil",
            "file://",
            "chrome-extension://abc",
            "http://[",
            "localhost",
            "ftp://localhost",
        ],
    )
    def test_other_pages_may_not(self, origin: str) -> None:
        assert told(OPEN, {**JSON, "origin": origin}) == 403

    def test_an_origin_can_be_listed(self) -> None:
        env = {"ALLOWED_ORIGINS": "https://mine.example"}
        assert told(env, {**JSON, "origin": "https://mine.example"}) is None
        assert told(env, {**JSON, "origin": "vscode-file://vscode-app"}) == 403

    def test_a_tunnels_own_page_may_call_it(self) -> None:
        own = {**TUNNEL, **JSON, "origin": "https://a.trycloudflare.com"}
        assert told(CLOUDFLARE, own) is None
        assert told(CLOUDFLARE, {**own, "origin": "https://b.trycloudflare.com"}) == 403

    @pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-site", 403)])
    def test_an_image_of_another_page_is_refused(self, site: str, status: int) -> None:
        assert told(OPEN, {"sec-fetch-site": site}, what=MODELS) == status

    @pytest.mark.parametrize("site", ["same-origin", "none"])
    def test_ones_own_page_and_the_address_bar_may_look(self, site: str) -> None:
        assert told(OPEN, {"sec-fetch-site": site}, what=MODELS) is None

    @pytest.mark.parametrize(
        "kind",
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""],
    )
    def test_a_simple_post_is_refused(self, kind: str) -> None:
        page = {"origin": "http://localhost:3000", "content-type": kind}
        assert told(OPEN, {**page, "content-length": "2"}) == 415
        assert told(OPEN, {**page, "transfer-encoding": "chunked"}) == 415

    def test_a_charset_is_no_other_type(self) -> None:
        page = {"origin": "http://localhost:3000", "content-length": "2"}
        assert told(OPEN, {**page, "content-type": "Application/JSON; charset=utf-8"}) is None

    def test_clients_that_are_no_browsers_may_leave_the_type_out(self) -> None:
        assert told(OPEN, {"content-type": "text/plain", "content-length": "2"}) is None


def test_what_is_not_in_the_table_of_routes_is_a_404() -> None:
    assert verdict(OPEN, ("GET", "/v1/batches")) == 404
    assert verdict(OPEN, ("OPTIONS", "*")) == 404
    assert verdict(OPEN, ("GET", "/v1/messages")) == 405


def test_an_origin_is_echoed_only_when_allowed() -> None:
    visitor = Visitor(peer="::1", method="GET", path="/", authority="", headers={})
    settings = Settings.from_env({})
    assert origin_allowed("http://localhost:1", visitor, settings)
    assert not origin_allowed("https://evil.example", visitor, settings)


def test_it_is_judged_without_mitmproxy() -> None:
    code = "import sys, addon.exchange.refusals; sys.exit('mitmproxy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
