"""The doctor's checks one by one: what is well, what is wrong, and that each wrong has something to do."""

from __future__ import annotations

import os
from email.utils import formatdate
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
import pytest

from addon.cli import doctor_checks as checks
from addon.cli.doctor import cost_of_live, live_model, tunnel_url
from addon.cli.doctor_checks import Finding
from addon.context.tokens.vocabulary import Vocabulary
from addon.core.outbound_proxy import OutboundProxies, OutboundProxy
from addon.core.settings import Settings
from addon.credentials.credential import Credential, CredentialError
from addon.credentials.open import LoginLocations
from tests.e2e.forward_proxy import ForwardProxy
from tests.readable_login import ReadableLogin, stored

NOW = 1_800_000_000.0
DAY = 86400.0


def settings(**env: str) -> Settings:
    return Settings.from_env(env)


def said(finding: Finding) -> tuple[str, str]:
    """State and text; what is not ok must say what to do."""
    assert finding.state == "ok" or finding.todo
    return finding.state, finding.text


def test_python_must_be_new_enough() -> None:
    assert said(checks.python((3, 11, 4))) == ("fail", "3.11.4 is too old.")
    assert said(checks.python((3, 13, 0))) == ("ok", "3.13.0")


def versions(**known: str) -> Any:
    def version(name: str) -> str:
        if name not in known:
            raise metadata.PackageNotFoundError(name)
        return known[name]

    return version


@pytest.mark.parametrize(
    ("known", "state", "text"),
    [
        ({"mitmproxy": "12.2.3", "httpx": "0.28.1"}, "ok", "mitmproxy 12.2.3"),
        ({"mitmproxy": "12.2.10", "httpx": "1.0"}, "ok", "mitmproxy 12.2.10"),
        (
            {"mitmproxy": "11.0.2", "httpx": "0.28.1"},
            "fail",
            "mitmproxy 11.0.2 is older than 12.2.3",
        ),
        ({"mitmproxy": "12.2.3"}, "fail", "httpx is missing"),
    ],
    ids=["well", "newer", "an-old-one", "a-missing-one"],
)
def test_packages_must_reach_their_floors(known: dict[str, str], state: str, text: str) -> None:
    requirements = "# a comment\nmitmproxy>=12.2.3,<13\nhttpx>=0.28,<0.29\n"
    found = said(checks.packages(requirements, versions(**known)))
    assert (found[0], text in found[1]) == (state, True)


def test_the_real_packages_are_well() -> None:
    requirements = (Path(__file__).parents[2] / "requirements.txt").read_text()
    assert checks.packages(requirements).state == "ok"


def test_token_counts_are_exact_only_with_the_vocabulary(tmp_path: Path) -> None:
    state, text = said(checks.token_counts(Vocabulary(tmp_path / "none.xz")))
    assert (state, "can't be loaded (FileNotFoundError" in text) == ("warn", True)
    assert said(checks.token_counts(Vocabulary()))[0] == "ok"


def test_a_state_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert said(checks.state_folder(tmp_path / "file" / "state"))[0] == "fail"
    assert said(checks.state_folder(tmp_path / "state")) == ("ok", str(tmp_path / "state"))
    assert list((tmp_path / "state").iterdir()) == []


MISSING = CredentialError("missing", "No Claude login.")


@pytest.mark.parametrize(
    ("login", "env", "state", "text"),
    [
        (stored(expires_at=NOW + 7200), {}, "ok", "found in the file, valid for 2 h"),
        (stored(expires_at=NOW - 60), {}, "ok", "found in the file, expired; it is refreshed"),
        (stored(expires_at=NOW - 60, refresh_token=None), {}, "fail", "has expired"),
        (stored(expires_at=NOW + 60, refresh_token_expires_at=NOW - 1), {}, "fail", "has expired"),
        (stored(expires_at=NOW + 60, refresh_token_expires_at=NOW + 2 * DAY), {}, "warn", "due in 2 days"),
        (stored(), {}, "ok", "found in the file"),
        (Credential(access_token="t", source="environment"), {}, "ok", "CLAUDE_CODE_OAUTH_TOKEN"),
        (MISSING, {}, "fail", "No Claude login."),
        (MISSING, {"ANTHROPIC_API_KEY": "sk-ant-api03-x"}, "warn", "No Claude login."),
        (MISSING, {"CLAUDE_CODE_FIRST": "false"}, "fail", "there is no API key"),
        (MISSING, {"CLAUDE_CODE_FIRST": "false", "ANTHROPIC_API_KEY": "k"}, "ok", "the API key is used instead"),
    ],
    ids=[
        "valid", "to-be-refreshed", "expired-for-good", "refresh-token-expired", "login-due-soon", "no-expiry-known",
        "setup-token", "missing", "missing-but-a-key", "key-only-without-key", "key-only",
    ],
)  # fmt: skip
async def test_the_login(login: Any, env: dict[str, str], state: str, text: str) -> None:
    found = said(await checks.login(settings(**env), ReadableLogin(login), NOW))
    assert (found[0], text in found[1]) == (state, True), found


@pytest.mark.parametrize(
    ("env", "state"),
    [
        ({}, "ok"),
        ({"ANTHROPIC_API_KEY": "sk-ant-api03-x"}, "ok"),
        ({"ANTHROPIC_API_KEY": "sk-proj-x"}, "warn"),
    ],
    ids=["none", "one", "somebody-elses"],
)
def test_the_api_key(env: dict[str, str], state: str) -> None:
    assert said(checks.api_key(settings(**env)))[0] == state


def locations(folder: Path) -> LoginLocations:
    return LoginLocations(
        home=folder, user_home=folder, platform="linux", account="me", config_dir=folder
    )


def test_no_locks_are_well(tmp_path: Path) -> None:
    assert said(checks.locks(locations(tmp_path), NOW)) == ("ok", "none held")


@pytest.mark.parametrize(
    ("age", "state", "text"), [(5, "ok", "is held"), (600, "warn", "left behind")]
)
def test_a_lock_tells_by_its_age_whether_its_holder_lives(
    tmp_path: Path, age: float, state: str, text: str
) -> None:
    lock = tmp_path / ".oauth_refresh.lock"
    lock.mkdir()
    os.utime(lock, (NOW - age, NOW - age))
    found = said(checks.locks(locations(tmp_path), NOW))
    assert (found[0], text in found[1]) == (state, True)


def test_a_file_in_the_place_of_a_lock_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ".storage-write.lock").write_text("")
    assert said(checks.locks(locations(tmp_path), NOW))[0] == "fail"


def answering(status: int = 200, **headers: str) -> httpx.MockTransport:
    return httpx.MockTransport(lambda request: httpx.Response(status, headers=headers))


def refusing() -> httpx.MockTransport:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no such host")

    return httpx.MockTransport(refuse)


@pytest.mark.parametrize(
    ("told", "state", "text"),
    [
        (NOW, "ok", "correct"),
        (NOW - 300, "warn", "clock is 5 min ahead"),
        (NOW + 4 * 86_400, "warn", "4 days behind"),
    ],
    ids=["correct", "fast", "slow"],
)
async def test_the_clock_is_compared_with_anthropics(told: float, state: str, text: str) -> None:
    reached, clock = await checks.upstream(
        "https://api.anthropic.com", lambda: NOW, answering(404, date=formatdate(told, usegmt=True))
    )
    assert reached.state == "ok"
    found = said(clock)
    assert (found[0], text in found[1]) == (state, True)


@pytest.mark.parametrize("date", [{}, {"date": "Fri, 31 Dec 99999999999 23:59:59 GMT"}], ids=str)
async def test_an_answer_without_a_date_says_nothing_of_the_clock(date: dict[str, str]) -> None:
    _, clock = await checks.upstream("https://x.example", lambda: NOW, answering(**date))
    assert clock.state == "ok"


@pytest.mark.parametrize(
    ("status", "state", "text"),
    [
        (200, "ok", "proxy {} (HTTP_PROXY)"),
        (407, "fail", "The proxy {} (HTTP_PROXY) wants a password."),
        (
            502,
            "fail",
            "The proxy {} (HTTP_PROXY) refused to connect to Anthropic (502): ProxyError.",
        ),
        (0, "fail", "The proxy {} (HTTP_PROXY) can't be used: RemoteProtocolError."),
    ],
)
async def test_the_outbound_proxy_is_tried(status: int, state: str, text: str) -> None:
    scheme = "http" if status == 200 else "https"
    with ForwardProxy(1, status=status) as forward:
        given = OutboundProxy.parse(f"http://me:canary@{forward.address}", "HTTP_PROXY")
        found = await checks.upstream(
            f"{scheme}://anthropic.example", lambda: NOW, proxies=OutboundProxies(given)
        )
        assert said(found[0]) == (state, text.format(forward.address))
    assert found[0].check == "outbound" and "canary" not in repr(found)


async def test_an_outbound_proxy_that_can_t_be_used_is_named() -> None:
    proxies = OutboundProxies(environment={"all": "socks5://h:1"})
    (found,) = await checks.upstream("https://a.example", lambda: NOW, proxies=proxies)
    assert said(found)[0] == "fail" and "ALL_PROXY" in found.text


async def test_no_internet() -> None:
    (found,) = await checks.upstream("https://api.anthropic.com", lambda: NOW, refusing())
    assert said(found) == ("fail", "https://api.anthropic.com can't be reached (no such host).")


def health(body: dict[str, Any], status: int = 200) -> httpx.MockTransport:
    return httpx.MockTransport(
        lambda request: httpx.Response(status, json=body, headers={"x-ccproxy-source": "local"})
    )


@pytest.mark.parametrize(
    ("transport", "expected"),
    [
        (health({"status": "ok"}), [("ok", "running")]),
        (
            health({"status": "ok", "ready": True, "notices": ["opus rests until 16:45"]}),
            [("warn", "opus rests until 16:45")],
        ),
        (
            health({"status": "degraded", "claudeCode": {"lastError": "invalid_grant"}}),
            [("warn", "/health says: invalid_grant.")],
        ),
        (
            health(
                {
                    "status": "degraded",
                    "ready": False,
                    "notices": ["Nothing can serve a request", "disk full"],
                    "claudeCode": {"lastError": "invalid_grant"},
                }
            ),
            [("fail", "Nothing can serve a request"), ("warn", "disk full")],
        ),
        (health({}, 401), [("warn", "/health returns 401.")]),
        (refusing(), []),
        (answering(), []),
    ],
    ids=[
        "well",
        "resting",
        "degraded",
        "a-problem",
        "another-secret",
        "not-running",
        "another-program",
    ],
)
async def test_what_the_running_proxy_says(
    transport: httpx.MockTransport, expected: list[tuple[str, str]]
) -> None:
    assert [said(f) for f in await checks.running(settings(), transport)] == expected


async def test_an_address_that_was_refused_comes_with_the_line_that_lets_it_in() -> None:
    refused = {"address": "203.0.113.7", "allow": "ALLOWED_IPS=52.44.113.131/32,203.0.113.7"}

    def answer(request: httpx.Request) -> httpx.Response:
        body = (
            {"status": "ok"}
            if request.url.path == "/health"
            else {"blocked": [{"allow": None}, refused]}
        )
        return httpx.Response(200, json=body, headers={"x-ccproxy-source": "local"})

    _, found = await checks.running(settings(), httpx.MockTransport(answer))
    assert said(found) == ("warn", "203.0.113.7 was blocked. Is it one of Cursor's servers?")
    assert refused["allow"] in found.todo


async def test_wrong_keys_through_the_tunnel_are_a_finding() -> None:
    wrong = {"status": 401, "address": "203.0.113.7", "allow": None}
    here = {"status": 401, "address": None, "allow": None}

    def answer(request: httpx.Request) -> httpx.Response:
        body = (
            {"status": "ok"} if request.url.path == "/health" else {"blocked": [wrong, here, wrong]}
        )
        return httpx.Response(200, json=body, headers={"x-ccproxy-source": "local"})

    _, found = await checks.running(settings(), httpx.MockTransport(answer))
    assert said(found) == ("warn", "2 requests came through the tunnel without the right key.")
    assert "./start.sh tunnel shows" in found.todo


def test_it_ends_in_one_line() -> None:
    ok, warned = Finding("port", "ok", ""), Finding("clock", "warn", "")
    failed = Finding("login", "fail", "")
    assert checks.verdict([ok]) == "Everything works."
    assert checks.verdict([ok, warned]) == "1 warning: clock."
    assert (
        checks.verdict([failed, ok, failed, warned])
        == "2 problems: login, login; 1 warning: clock."
    )


def test_settings_that_cannot_work_are_findings() -> None:
    assert [f.state for f in checks.settings_that_work([])] == ["ok"]
    found = checks.settings_that_work(["CONTEX_STRATEGY in .env is not a setting.", "another"])
    assert [f.state for f in found] == ["warn", "warn"]


async def test_a_tunnel_is_looked_at_from_outside() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        known = request.headers.get("authorization") == "Bearer s"
        return httpx.Response(200 if known else 401, json={"status": "ok"})

    given = settings(PROXY_SECRET_KEY="s")
    found = await checks.tunnel("https://t.example", given, httpx.MockTransport(answer))
    assert said(found)[0] == "ok"
    everybody = await checks.tunnel("https://t.example", given, answering())
    assert said(everybody)[0] == "fail"
    assert said(await checks.tunnel("https://t.example", given, refusing()))[0] == "warn"
    assert said(await checks.tunnel(None, given))[0] == "ok"


@pytest.mark.parametrize(
    ("env", "state", "text"),
    [
        ({}, "ok", "closed, because there is no secret"),
        ({"TUNNEL_PROVIDER": "cloudflare"}, "ok", "2 ranges (ALLOWED_IPS), no secret"),
        ({"ALLOWED_IPS": "*"}, "fail", "Anyone who knows a tunnel's address gets in."),
        ({"PROXY_SECRET_KEY": "letmein"}, "warn", "short enough to be guessed"),
        ({"PROXY_SECRET_KEY": "x" * 32}, "ok", "tunnel: the secret"),
        (
            {"PROXY_SECRET_KEY": "x" * 32, "ALLOWED_IPS": "10.0.0.0/8"},
            "ok",
            "the secret, from 1 ranges",
        ),
    ],
    ids=["closed", "cursors-addresses", "open", "a-weak-secret", "a-secret", "both"],
)
def test_the_access(env: dict[str, str], state: str, text: str) -> None:
    found = said(checks.access(settings(**env)))
    assert (found[0], text in found[1]) == (state, True), found


def test_names_that_cursor_would_take_for_its_own() -> None:
    taken = settings(MODEL_ALIASES="gpt-4o=claude-opus-5-5,mine=claude-haiku-5-5")
    state, text = said(checks.model_names(taken))
    assert (state, "gpt-4o" in text, "mine" in text) == ("warn", True, False)
    assert said(checks.model_names(settings(MODEL_ALIASES="mine=claude-haiku-5-5")))[0] == "ok"


def test_the_tunnel_that_is_known(tmp_path: Path) -> None:
    config = tmp_path / "cloudflared-config.yml"
    assert tunnel_url(settings(), config) is None
    assert tunnel_url(settings(TUNNEL_URL="https://t.example"), config) == "https://t.example"
    config.write_text("ingress:\n  - hostname: c.example.com\n")
    assert tunnel_url(settings(), config) == "https://c.example.com"
    config.write_text("tunnel: without a name\n")
    assert tunnel_url(settings(), config) is None


def test_the_live_check_takes_the_cheapest_model_and_says_its_cost(tmp_path: Path) -> None:
    given = settings(CCPROXY_HOME=str(tmp_path))
    assert "haiku" in live_model(given)
    assert "at most $0.0" in cost_of_live(given)
