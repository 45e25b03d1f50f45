"""The login that is shared with Claude Code: refreshed once, kept whole, and never lost."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from addon.stand_in.access import OAUTH_TOKEN, REFRESH_TOKEN, credential_of
from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.delivery import Gate
from addon.stand_in.record import Received
from addon.stand_in.script import Answer, delivered, fail
from tests.budget import thorough_after
from tests.credentials.samples import document, read, write
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import Proxy, chat, rejected

TOKEN_PATH = "/v1/oauth/token"
HOUR = 3600.0
NEW = ("sk-ant-oat01-new", "sk-ant-ort01-new")


@dataclass(slots=True)
class Machine:
    """A folder of Claude Code's with a login in it, and a fake that knows that login."""

    fake: FakeAnthropic
    start_proxy: StartProxy
    file: Path

    def log_in(
        self, seconds: float = HOUR, access: str = OAUTH_TOKEN, refresh: str = REFRESH_TOKEN
    ) -> None:
        """`claude /login`, with a token that ends in `seconds`."""
        write(self.file, document(access, refresh, time.time() + seconds))

    def proxy(self, **settings: str | None) -> Proxy:
        paths = {
            "CLAUDE_CONFIG_DIR": str(self.file.parent),
            "CLAUDE_OAUTH_TOKEN_URL": self.fake.url + TOKEN_PATH,
        }
        return self.start_proxy(CLAUDE_CODE_OAUTH_TOKEN=None, **paths, **settings)

    @property
    def stored(self) -> dict[str, Any]:
        entry: dict[str, Any] = read(self.file)["claudeAiOauth"]
        return entry

    @property
    def refreshes(self) -> list[Received]:
        return [request for request in self.fake.requests if request.path == TOKEN_PATH]

    @property
    def used(self) -> list[str]:
        """The secrets that messages came with."""
        return [credential_of(request).secret for request in self.fake.messages()]


@pytest.fixture
def machine(fake: FakeAnthropic, start_proxy: StartProxy, tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(fake, start_proxy, tmp_path / "claude" / ".credentials.json")
    yield machine
    assert fake.oauth.revocations == 0, "a spent refresh token was used again"


def ask(proxy: Proxy) -> httpx.Response:
    return proxy.post("/v1/chat/completions", chat())


def ask_together(proxy: Proxy, count: int) -> list[httpx.Response]:
    start = threading.Barrier(count)

    def one(_: int) -> httpx.Response:
        start.wait(30)
        return ask(proxy)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def asking(proxy: Proxy) -> tuple[threading.Thread, list[httpx.Response]]:
    """A request that is under way, and where its answer will be."""
    answers: list[httpx.Response] = []

    def run() -> None:
        with contextlib.suppress(httpx.HTTPError):  # the proxy may end meanwhile
            answers.append(ask(proxy))

    thread = threading.Thread(target=run)
    thread.start()
    return thread, answers


# ------------------------------------------------------------------------------------------------ refreshing


@pytest.mark.parametrize(
    "seconds", thorough_after(1, [-60.0, HOUR]), ids=["expired", "refused-early"]
)
def test_o5_fifty_parallel_requests_refresh_once_and_are_all_served(
    seconds: float, machine: Machine
) -> None:
    machine.log_in(seconds)
    machine.fake.oauth.expire(OAUTH_TOKEN)
    machine.fake.script(delivered(hold=0.3), when=TOKEN_PATH)
    answers = ask_together(machine.proxy(), 50)
    assert [answer.status_code for answer in answers] == [200] * 50
    assert {answer.headers["x-ccproxy-source"] for answer in answers} == {"claude_code"}
    assert len(machine.refreshes) == 1
    assert machine.stored["accessToken"] == "sk-ant-oat01-rotated-000001"
    assert machine.used.count("sk-ant-oat01-rotated-000001") == 50


def test_o13_an_early_401_costs_one_refresh_one_replay_and_no_money(machine: Machine) -> None:
    machine.log_in()
    proxy = machine.proxy()
    assert ask(proxy).status_code == 200
    machine.fake.oauth.expire(OAUTH_TOKEN)
    machine.fake.log.clear()
    assert ask(proxy).headers["x-ccproxy-source"] == "claude_code"
    assert machine.used == [OAUTH_TOKEN, "sk-ant-oat01-rotated-000001"]
    assert len(machine.refreshes) == 1


def test_a_refresh_keeps_mode_unknown_fields_and_the_link(machine: Machine, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere" / "login.json"
    write(real, document(OAUTH_TOKEN, REFRESH_TOKEN, time.time() - 60))
    machine.file.parent.mkdir()
    machine.file.symlink_to(real)
    before = read(real)
    assert ask(machine.proxy()).status_code == 200
    assert machine.file.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600
    after = read(real)
    renewed = {"accessToken", "refreshToken", "expiresAt"}
    assert list(after) == list(before)
    assert list(after["claudeAiOauth"]) == list(before["claudeAiOauth"])
    assert {
        k for k, v in after["claudeAiOauth"].items() if v != before["claudeAiOauth"][k]
    } == renewed
    assert {k: v for k, v in after.items() if k != "claudeAiOauth"} == {
        k: v for k, v in before.items() if k != "claudeAiOauth"
    }
    assert sorted(path.name for path in real.parent.iterdir()) == ["login.json"]


@pytest.mark.parametrize("signals", [1, 2], ids=["sigterm", "sigterm-twice"])
def test_o12_a_signal_during_a_refresh_does_not_lose_the_login(
    signals: int, machine: Machine
) -> None:
    machine.log_in(-60)
    gate = Gate()
    machine.fake.script(delivered(hold=gate), when=TOKEN_PATH)
    proxy = machine.proxy()
    thread, _ = asking(proxy)
    assert gate.reached.wait(10)
    assert proxy.process
    for _ in range(signals):
        proxy.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
    assert proxy.process.poll() is None
    gate.open()
    assert proxy.process.wait(30) == 0
    thread.join(10)
    assert machine.stored["refreshToken"] == "sk-ant-ort01-rotated-000001"


def test_o12_a_client_that_leaves_during_a_refresh_does_not_stop_it(machine: Machine) -> None:
    machine.log_in(-60)
    gate = Gate()
    machine.fake.script(delivered(hold=gate), when=TOKEN_PATH)
    proxy = machine.proxy()
    with pytest.raises(httpx.ReadTimeout):
        proxy.post("/v1/chat/completions", chat(), timeout=1)
    assert gate.reached.wait(20)
    gate.open()
    assert machine.fake.wait_until(
        lambda: machine.stored["accessToken"] == "sk-ant-oat01-rotated-000001"
    )
    assert ask(proxy).status_code == 200
    assert len(machine.refreshes) == 1
    assert len(machine.used) == 1  # nothing was sent for the one who left


# ---------------------------------------------------------------------------------------- when it is refused


def test_o7_a_dead_login_is_left_as_it_is_and_said_plainly(machine: Machine) -> None:
    machine.log_in(-60, refresh="sk-ant-ort01-unknown")
    before = machine.file.read_bytes()
    proxy = machine.proxy()
    answers = [ask(proxy) for _ in range(3)]
    assert [answer.headers["x-ccproxy-source"] for answer in answers] == ["api_key"] * 3
    assert {answer.headers["x-ccproxy-reason"] for answer in answers} == {"login_expired"}
    assert len(machine.refreshes) == 1
    assert machine.file.read_bytes() == before
    assert proxy.get("/health").json()["claudeCode"]["lastError"] == "invalid_grant"


def test_o7_without_a_key_the_client_is_told_to_log_in(machine: Machine) -> None:
    machine.log_in(-60, refresh="sk-ant-ort01-unknown")
    answer = ask(machine.proxy(ANTHROPIC_API_KEY=None))
    assert answer.status_code == 401
    told = answer.json()["error"]["message"]
    assert "claude /login" in told and "ANTHROPIC_API_KEY" in told
    assert not machine.used


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (delivered(cut="fin"), "unknown_outcome"),
        (fail(429, headers={"retry-after": "120"}), "rate_limited"),
        (fail(503), "network"),
    ],
    ids=["o8-unknown-outcome", "o14-rate-limited", "endpoint-down"],
)
def test_a_token_endpoint_in_trouble_is_left_alone_for_a_while(
    answer: Answer, kind: str, machine: Machine
) -> None:
    machine.log_in(-60)
    machine.fake.script(answer, when=TOKEN_PATH)
    proxy = machine.proxy()
    first = ask(proxy)
    posted = len(machine.refreshes)
    assert first.headers["x-ccproxy-reason"] == "refresh_failed"
    assert posted == (3 if kind == "network" else 1)
    assert ask(proxy).headers["x-ccproxy-source"] == "api_key"
    assert len(machine.refreshes) == posted
    health = proxy.get("/health").json()
    assert (health["status"], health["claudeCode"]["lastError"]) == ("degraded", kind)


def test_a_new_login_on_disk_is_noticed(machine: Machine) -> None:
    machine.log_in(-60, refresh="sk-ant-ort01-unknown")
    proxy = machine.proxy()
    assert ask(proxy).headers["x-ccproxy-source"] == "api_key"
    machine.fake.oauth.login(*NEW)
    machine.log_in(HOUR, *NEW)
    assert ask(proxy).headers["x-ccproxy-source"] == "claude_code"
    assert machine.used[-1] == NEW[0]
    assert proxy.get("/health").json()["claudeCode"]["lastError"] is None


@pytest.mark.parametrize(
    "refusal", [fail(403, "Not for you"), fail(429, headers=rejected())], ids=["403", "429"]
)
def test_what_was_refused_to_the_old_login_is_not_held_against_a_new_one(
    refusal: Answer, machine: Machine
) -> None:
    machine.log_in()
    machine.fake.oauth.login(*NEW)
    machine.fake.script(refusal, when=lambda r: credential_of(r).secret == OAUTH_TOKEN)
    proxy = machine.proxy()
    assert [ask(proxy).headers["x-ccproxy-source"] for _ in range(2)] == ["api_key"] * 2
    assert machine.used.count(OAUTH_TOKEN) == 1  # the second one did not even try
    machine.log_in(HOUR, *NEW)
    assert ask(proxy).headers["x-ccproxy-source"] == "claude_code"
    assert proxy.get("/health").json()["cooldowns"] == []


def test_a_refresh_of_our_own_does_not_end_a_rest(machine: Machine) -> None:
    machine.log_in(-60)
    machine.fake.script(fail(429, headers=rejected()), when="oauth")
    proxy = machine.proxy()
    assert [ask(proxy).headers["x-ccproxy-source"] for _ in range(3)] == ["api_key"] * 3
    assert len(machine.fake.messages("oauth")) == 1


# ------------------------------------------------------------------------------------------------ being told


def test_r30_with_nothing_at_all_it_starts_and_says_what_to_do(machine: Machine) -> None:
    proxy = machine.proxy(ANTHROPIC_API_KEY=None)
    health = proxy.get("/health").json()
    assert health["claudeCode"]["authenticated"] is False
    assert health["claudeCode"]["lastError"] == "missing"
    assert health["fallbackState"] == "no_api_key"
    assert health["status"] == "degraded"
    assert any("claude /login" in problem for problem in health["problems"])
    answer = ask(proxy)
    assert answer.status_code == 401
    assert "claude /login" in answer.json()["error"]["message"]
    native = proxy.post("/v1/messages", {**chat(), "max_tokens": 5})
    assert native.json()["error"]["type"] == "authentication_error"
    assert not machine.fake.connections


def test_the_banner_names_setup_token_where_a_login_can_expire(machine: Machine) -> None:
    machine.log_in()
    proxy = machine.proxy()

    def said() -> str:
        return " ".join(proxy.output.split())  # the terminal's width decides where lines break

    assert machine.fake.wait_until(lambda: "CLAUDE_CODE_OAUTH_TOKEN" in said())
    assert "found in the file" in said() and "claude setup-token" in said()


def test_health_tells_of_the_login_and_triggers_nothing(machine: Machine) -> None:
    machine.log_in(-60)
    proxy = machine.proxy(PROXY_SECRET_KEY="hush")
    health = proxy.get("/health")
    login = health.json()["claudeCode"]
    assert (login["source"], login["authenticated"]) == ("file", False)
    assert abs(login["expiresAt"] / 1000 - (time.time() - 60)) < 60
    assert not machine.fake.connections  # an expired token, and still nothing was refreshed
    assert ask(proxy).status_code == 200
    login = proxy.get("/health").json()["claudeCode"]
    assert login["authenticated"] is True
    assert 25_000 < login["nextRefreshAt"] / 1000 - time.time() < 28_800
    assert login["reloginDueAt"] > login["expiresAt"]
    told = health.text + proxy.get("/health").text
    assert not [secret for secret in ("sk-ant", "hush") if secret in told]
    tunnel = proxy.get(
        "/health", headers={"cf-connecting-ip": "52.44.113.131", "authorization": "Bearer hush"}
    )
    assert tunnel.json() == {"status": "ok"}
    assert len(machine.fake.requests) == 2


def test_health_shows_the_windows_that_an_answer_told(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    before = proxy.get("/health").json()
    assert (before["claudeCode"]["source"], before["subscription"]) == ("environment", None)
    assert not fake.connections
    assert ask(proxy).status_code == 200
    windows = proxy.get("/health").json()["subscription"]["windows"]
    assert {window["name"] for window in windows} >= {"5h", "7d"}
    assert all(0 <= window["utilization"] <= 1 for window in windows)
    assert all(window["resetsAt"] / 1000 > time.time() for window in windows)
