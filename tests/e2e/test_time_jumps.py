"""The machine's clock is set while the proxy runs: days ahead, days back, as often as it likes.

Debian's `faketime` sets it for one process: by a file that is read anew each time, with the monotonic clock left alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from addon.stand_in.access import OAUTH_TOKEN, REFRESH_TOKEN
from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.script import delivered, fail, say
from tests.credentials.samples import document, write
from tests.e2e import real_sleep
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import Proxy, chat, message, rejected

pytestmark = pytest.mark.faketime

JUMPS = ("+1d", "-1d", "+400d", "-400d", "+3h", "-3h", "+0")
HOUR = 3600.0


def library() -> Path:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert found, "Debian's package `faketime` is missing: apt-get install faketime"
    return found[0]


class Jumping:
    """A running proxy, whose clock is set."""

    def __init__(self, proxy: Proxy, file: Path) -> None:
        self.proxy = proxy
        self.file = file

    def jump(self, offset: str) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(offset)
        new.replace(self.file)

    def thinks_it_is(self) -> float:
        """By the proxy's clock, in Unix seconds."""
        ended: float = self.proxy.get("/analytics").json()["periodEnd"] / 1000
        return ended


@pytest.fixture
def start(start_proxy: StartProxy, tmp_path: Path) -> Iterator[Any]:
    clock = tmp_path / "clock"
    clock.write_text("+0")

    def started(**settings: Any) -> Jumping:
        proxy = start_proxy(
            fork=False,
            arguments=["-s", str(Path(real_sleep.__file__))],
            LD_PRELOAD=str(library()),
            FAKETIME_TIMESTAMP_FILE=str(clock),
            FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
            **settings,
        )
        return Jumping(proxy, clock)

    yield started


def test_the_clock_is_set(start: Any, fake: FakeAnthropic) -> None:
    jumping = start()
    for offset, seconds in (("+1d", 86_400), ("-1d", -86_400), ("+0", 0)):
        jumping.jump(offset)
        assert abs(jumping.thinks_it_is() - time.time() - seconds) < 60


def test_streams_and_keepalives_go_on(start: Any, fake: FakeAnthropic) -> None:
    jumping = start(KEEPALIVE_SECONDS="0.3", UPSTREAM_IDLE_SECONDS="30")
    fake.script(delivered(say("one two three four"), pause_after=4, pause=4.0))
    url = f"{jumping.proxy.url}/v1/chat/completions"
    offsets, gaps, told = iter(JUMPS), [], b""
    with httpx.stream("POST", url, json=chat(stream=True), timeout=30) as response:
        last = time.monotonic()
        for piece in response.iter_raw():
            gaps.append(time.monotonic() - last)
            last, told = time.monotonic(), told + piece
            jumping.jump(next(offsets, "+0"))
    assert told.endswith(b"data: [DONE]\n\n") and b'"error"' not in told
    assert max(gaps) < 3 and len(gaps) > len(JUMPS)


def test_a_login_is_used_and_refreshed_whatever_the_clock_says(
    start: Any, fake: FakeAnthropic, tmp_path: Path
) -> None:
    login = tmp_path / "claude" / ".credentials.json"
    login.parent.mkdir()
    write(login, document(OAUTH_TOKEN, REFRESH_TOKEN, time.time() + HOUR))
    jumping = start(
        CLAUDE_CONFIG_DIR=str(login.parent),
        CLAUDE_OAUTH_TOKEN_URL=f"{fake.url}/v1/oauth/token",
        CLAUDE_CODE_OAUTH_TOKEN=None,
        FALLBACK="off",
    )
    for offset in (*JUMPS, *reversed(JUMPS)):
        jumping.jump(offset)
        response = jumping.proxy.post("/v1/messages", message(offset))
        assert response.status_code == 200, response.text
    assert fake.oauth.revocations == 0, "no spent token was used again"
    assert json.loads(login.read_text())["claudeAiOauth"]["refreshToken"]


@pytest.mark.parametrize("offset", JUMPS)
def test_a_window_that_is_used_up_opens_again_in_time(
    offset: str, start: Any, fake: FakeAnthropic
) -> None:
    jumping = start(FALLBACK="off")
    fake.script([fail(429, headers=rejected(hours=4 / 3600))])
    assert jumping.proxy.post("/v1/messages", message()).status_code == 429
    jumping.jump(offset)
    assert fake.wait_until(
        lambda: jumping.proxy.post("/v1/messages", message()).status_code == 200, 15
    )


def test_no_cent_is_lost_or_spent_beyond_the_budget(
    start: Any, fake: FakeAnthropic, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    jumping = start(CCPROXY_HOME=str(home), CLAUDE_CODE_FIRST="false")
    for offset in JUMPS:
        jumping.jump(offset)
        assert jumping.proxy.post("/v1/messages", message(offset)).status_code == 200

    def spent(of: Proxy) -> tuple[int, float]:
        told = of.get("/analytics?period=all").json()
        return told["apiKeyRequests"], told["estimatedApiKeyCost"]

    count, cost = spent(jumping.proxy)
    assert count == len(JUMPS) and cost > 0
    saved = home / "usage.json"
    assert fake.wait_until(saved.exists, 25), "the timer that saves it runs on"
    jumping.jump("-1d")
    jumping.proxy.stop()
    again = start(CCPROXY_HOME=str(home), CLAUDE_CODE_FIRST="false").proxy
    assert spent(again) == (count, pytest.approx(cost))
    assert again.get("/health").json()["problems"] == []


@pytest.mark.parametrize("offset", ["+3h", "-3h", "+40d", "-40d"])
def test_a_limit_holds_and_gives_way_by_the_clock(
    offset: str, start: Any, fake: FakeAnthropic
) -> None:
    """What was spent counts until its period is over; a clock that is set back does not free it."""
    jumping = start(CLAUDE_CODE_FIRST="false")
    assert jumping.proxy.post("/v1/messages", message()).status_code == 200
    budget = {"hourlyLimit": 0.0001, "enabled": True}
    assert jumping.proxy.post("/budget", budget).status_code == 200
    assert jumping.proxy.post("/v1/messages", message()).status_code == 429
    jumping.jump(offset)
    status = jumping.proxy.post("/v1/messages", message()).status_code
    assert status == (200 if offset.startswith("+") else 429), "an hour is over, or is not"
    jumping.jump("+0")
    assert jumping.proxy.post("/v1/messages", message()).status_code == 429
