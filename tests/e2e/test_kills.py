"""`kill -9` in the middle of the work: usage survives it but for its last seconds."""

from __future__ import annotations

import contextlib
import random
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.script import delivered, say
from tests.e2e.accounts import worth
from tests.e2e.proxy import Proxy, message

LONG = "The quick brown fox jumps over the lazy dog near the quiet river bank. " * 60


class Killed:
    """One proxy's life in several runs, each ended by `kill -9` in the middle of its work."""

    def __init__(self, fake: FakeAnthropic, home: Path, seed: int) -> None:
        self.fake, self.home = fake, home
        self.rng = random.Random(seed)  # noqa: S311
        self.answered: list[float] = []
        """When each answer was complete."""
        self.killed_at: float | None = None
        self.problems: list[str] = []

    def live(self, rounds: int) -> None:
        known = 0
        for _ in range(rounds):
            with Proxy(self.fake.url, CCPROXY_HOME=str(self.home)) as proxy:
                known = self.check(proxy, known)
                self.work(proxy, self.rng.uniform(3, 14))
        with Proxy(self.fake.url, CCPROXY_HOME=str(self.home)) as proxy:
            self.check(proxy, known)

    def check(self, proxy: Proxy, before: int) -> int:
        """After a kill: whatever was answered ten seconds before it is there. Gives the count that is known now."""
        self.problems += proxy.get("/health").json()["problems"]
        found: int = proxy.get("/analytics?period=all").json()["totalRequests"]
        old = sum(when < (self.killed_at or 0) - 10 for when in self.answered)
        assert before + old <= found <= before + len(self.answered) + 1
        self.answered.clear()
        return found

    def work(self, proxy: Proxy, seconds: float) -> None:
        process = proxy.process
        assert process
        threading.Timer(seconds, self.kill, [process]).start()
        client = httpx.Client(base_url=proxy.url, timeout=60)
        with contextlib.suppress(httpx.HTTPError), client:
            while True:
                client.post("/v1/messages", json=message()).raise_for_status()
                self.answered.append(time.monotonic())
                time.sleep(0.05)
        process.wait(10)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        self.killed_at = time.monotonic()
        process.kill()


@pytest.mark.parametrize("seed", range(3))
def test_no_cent_is_spent_that_a_killed_proxy_does_not_know(
    fake: FakeAnthropic, tmp_path: Path, seed: int
) -> None:
    """Some paid requests have just ended, some are running, some have not been sent."""
    rng = random.Random(seed)  # noqa: S311
    fake.log.keep_answers = True
    fake.script(delivered(say(LONG), pause_after=rng.randrange(1, 12), pause=0.4))
    options = {"CCPROXY_HOME": str(tmp_path), "CLAUDE_CODE_FIRST": "false"}
    with Proxy(fake.url, **options) as proxy, ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(pay_for_ever, proxy.url)
        assert fake.wait_until(lambda: len(fake.messages("api_key")) > 8, 20)
        time.sleep(rng.uniform(0, 1))
        assert proxy.process
        proxy.process.kill()
        proxy.process.wait(10)
    asked = len(fake.messages("api_key"))
    with Proxy(fake.url, **options) as proxy:
        told = proxy.get("/analytics?period=all").json()
    assert told["apiKeyRequests"] >= asked > 8
    assert told["estimatedApiKeyCost"] >= worth(fake.messages("api_key"))
    running = [each for each in told["bySource"].values() if each["failedRequests"]]
    assert running


def pay_for_ever(url: str) -> None:
    with contextlib.suppress(httpx.HTTPError), httpx.Client(base_url=url, timeout=20) as client:
        while True:
            client.post(
                "/v1/messages", json=message(stream=True, max_tokens=2000)
            ).raise_for_status()


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_r20_a_killed_proxy_has_lost_ten_seconds_at_most(
    fake: FakeAnthropic, tmp_path: Path
) -> None:
    lives = [Killed(fake, tmp_path / str(seed), seed) for seed in range(4)]
    with ThreadPoolExecutor(len(lives)) as pool:
        list(pool.map(lambda life: life.live(3), lives))
    assert [problem for life in lives for problem in life.problems] == []
    assert not list(tmp_path.glob("*/*corrupt*"))
