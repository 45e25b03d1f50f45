"""`kill -9` of the whole proxy at random moments under load, again and again over the same files: each start reads them all.

What is being written then: the login, usage, the journal of paid requests, summaries, what was learnt of token counts,
and the API log.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.script import delivered
from tests.credentials.samples import document, read, write
from tests.e2e import saves_often
from tests.e2e.accounts import worth
from tests.e2e.proxy import OWN_PORT, Proxy, message
from tests.e2e.talk import Talk, script_summary
from tests.e2e.test_context import OVER, SMALL
from tests.e2e.test_login import TOKEN_PATH

TEMPORARY = 8
"""Files, at most, that a kill in the middle of writes may leave. Later starts remove them."""


@dataclass
class Lives:
    """Of one proxy: its files outlive it."""

    fake: FakeAnthropic
    folder: Path
    rng: random.Random
    known: int = 0
    """Requests that have to be known after the next start."""
    given: tuple[str, str] = ("", "")
    """The tokens of the last sign-in."""
    refreshed: int = 0
    """How many refreshes there had been by then."""
    lost: list[int] = field(default_factory=list)
    """Kills between a refresh at Anthropic's and its way to the file: the new login was in memory only."""
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def login(self) -> Path:
        return self.folder / "claude" / ".credentials.json"

    def log_in(self) -> None:
        number = next(self.numbers)
        self.given = (f"sk-ant-oat01-again-{number}", f"sk-ant-ort01-again-{number}")
        self.refreshed = self.fake.oauth.rotations
        self.fake.oauth.login(*self.given)
        write(self.login, document(*self.given, time.time() + 0.5))

    def live(self, kills: int) -> None:
        self.log_in()
        for number in range(kills):
            with self.proxy() as proxy:
                self.check_start(proxy)
                lasted = self.rng.uniform(0.02, 2.0)
                self.work_until_killed(proxy, lasted)
                if lasted < 1:
                    self.known = 0  # not all of them were saved
            self.check_login(number)
        with self.proxy() as proxy:
            self.check_start(proxy)

    def proxy(self) -> Proxy:
        return Proxy(
            self.fake.url,
            launch=False,
            mode=OWN_PORT,
            first=["-s", saves_often.__file__],
            CCPROXY_HOME=str(self.folder / "ccproxy"),
            CLAUDE_CONFIG_DIR=str(self.login.parent),
            CLAUDE_CODE_OAUTH_TOKEN=None,
            CLAUDE_OAUTH_TOKEN_URL=self.fake.url + TOKEN_PATH,
            VERBOSE_LOGGING="true",
            **SMALL,
        )

    def check_start(self, proxy: Proxy) -> None:
        paid = worth(self.fake.messages("api_key"))
        assert proxy.post("/v1/messages", message(), timeout=60).status_code == 200
        assert proxy.get("/health").json()["problems"] == []
        told = proxy.get("/analytics?period=all").json()
        assert told["totalRequests"] >= self.known
        assert told["estimatedApiKeyCost"] >= paid - 1e-6
        self.known = told["totalRequests"]
        assert "Traceback" not in proxy.output
        assert not list(self.folder.rglob("*corrupt*"))
        unfinished = list(self.folder.rglob("*.ccproxy-*"))
        for file in unfinished:
            with contextlib.suppress(FileNotFoundError):  # one that is being written now
                os.utime(
                    file, (time.time() - 120,) * 2
                )  # a minute later, the next start removes it
        assert len(unfinished) < TEMPORARY, unfinished

    def work_until_killed(self, proxy: Proxy, seconds: float) -> None:
        process = proxy.process
        assert process
        kinds = (self.stream, self.talk, self.store, self.stream, self.talk)
        with ThreadPoolExecutor(len(kinds)) as pool:
            for kind in kinds:
                pool.submit(until_killed, proxy.url, kind)
            killer = threading.Timer(seconds, process.kill)
            killer.start()
            killer.join()
            process.wait(10)

    def stream(self, client: httpx.Client) -> None:
        client.post("/v1/messages", json=message(stream=True)).raise_for_status()

    def talk(self, client: httpx.Client) -> None:
        """It has a summary made, by API key."""
        talk = Talk(f"talk{next(self.numbers)}").grow(OVER)
        client.post("/v1/chat/completions", json=talk.body()).raise_for_status()

    def store(self, client: httpx.Client) -> None:
        body = {"model": "claude-opus-4-8", "input": "Hello"}
        first = client.post("/v1/responses", json=body).raise_for_status().json()
        more = {**body, "previous_response_id": first["id"]}
        client.post("/v1/responses", json=more).raise_for_status()

    def check_login(self, kill: int) -> None:
        content = read(self.login)
        login = content["claudeAiOauth"]
        expected = document(login["accessToken"], login["refreshToken"])
        # the answer's own words: when the tokens end, and for what they are
        for name in ("expiresAt", "scopes", "refreshTokenExpiresAt"):
            expected["claudeAiOauth"][name] = login.get(name)
        assert content == expected
        assert stat.S_IMODE(self.login.stat().st_mode) == 0o600
        self.free_locks()
        made = self.fake.oauth.rotations
        if login["refreshToken"] != self.refresh_token(made):
            assert login["refreshToken"] == self.refresh_token(made - 1)
            self.lost.append(kill)
            self.log_in()

    def free_locks(self) -> None:
        """By the rule that they share with Claude Code, a dead holder's locks stand for a minute."""
        for lock in (self.login.parent.with_suffix(".lock"), *self.login.parent.glob("*.lock")):
            if lock.is_dir():
                lock.rmdir()
            else:
                lock.unlink(missing_ok=True)

    def refresh_token(self, rotations: int) -> str:
        """The newest one after so many refreshes."""
        same = rotations <= self.refreshed
        return self.given[1] if same else f"sk-ant-ort01-rotated-{rotations:06d}"


def until_killed(url: str, ask: Callable[[httpx.Client], None]) -> None:
    with contextlib.suppress(httpx.TransportError), httpx.Client(base_url=url, timeout=20) as http:
        while True:
            ask(http)


def killed(fake: FakeAnthropic, folder: Path, kills: int, seed: int) -> Lives:
    fake.log.keep_answers = True
    fake.oauth.expires_in = 1
    script_summary(fake)
    fake.script(delivered(hold=0.03), when=TOKEN_PATH)
    lives = Lives(fake, folder, random.Random(seed))  # noqa: S311
    lives.live(kills)
    assert fake.oauth.rotations > kills // 2 and fake.messages("api_key")
    # An answer that is on its way is lost with its reader, whoever he is; nothing else may be.
    assert fake.oauth.revocations == 0
    return lives


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_ten_kills(fake: FakeAnthropic, tmp_path: Path) -> None:
    killed(fake, tmp_path, 10, 1)


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seed", range(4))
def test_fifty_kills(seed: int, fake: FakeAnthropic, tmp_path: Path) -> None:
    lives = killed(fake, tmp_path, 50, seed)
    print(
        f"{len(lives.lost)} of 50 kills met a refresh: {lives.lost}; {fake.oauth.rotations} refreshes"
    )
