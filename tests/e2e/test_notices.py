"""What is wrong, what rests and when that is over: the same words in /health, the terminal and the dashboard's data."""

from __future__ import annotations

import time

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.script import exhausted, fail
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import Proxy, chat, rejected


def says(proxy: Proxy, text: str) -> bool:
    """In its terminal, soon."""
    until = time.monotonic() + 15
    while text not in proxy.output and time.monotonic() < until:
        time.sleep(0.05)
    return text in proxy.output


def test_a_rest_is_told_when_it_begins_and_when_it_ends(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    reset = time.time() + 3
    fake.script([exhausted({"5h": reset + 3600, "7d_opus": reset}, rejected="7d_opus")])
    proxy.post("/v1/chat/completions", chat())
    (notice,) = proxy.get("/health").json()["notices"]
    assert notice.startswith("opus rests until ")
    assert notice.endswith("; the API key pays until then")
    assert proxy.get("/dashboard/data").json()["notices"] == [notice]
    assert says(proxy, f" {notice}\n")
    assert says(proxy, " opus rests no longer\n")
    assert proxy.get("/dashboard/data").json()["notices"] == []


def test_nothing_can_serve(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(FALLBACK="off")
    fake.script(fail(429, headers=rejected(4 / 3600)), when="oauth")
    assert proxy.post("/v1/chat/completions", chat()).status_code == 429
    health, data = proxy.get("/health").json(), proxy.get("/dashboard/data").json()
    assert (health["ready"], data["ready"], health["status"]) == (False, False, "degraded")
    first, second = health["notices"]
    assert first.startswith("Nothing can serve a request until ") and "FALLBACK=off" in first
    assert second.endswith("; nothing serves until then")
    assert data["notices"] == health["notices"]
    assert says(proxy, f" NOT READY: {first}\n")
    assert says(proxy, " READY: requests are served again\n")
    assert proxy.get("/health").json()["ready"]


@pytest.mark.parametrize("key", [None, "sk-ant-api03-test"])
def test_the_banner_says_that_nothing_can_serve(start_proxy: StartProxy, key: str | None) -> None:
    proxy = start_proxy(CLAUDE_CODE_OAUTH_TOKEN=None, ANTHROPIC_API_KEY=key)
    unready = "NOT READY: Nothing can serve a request: no API key is set. Run `claude /login`"
    assert says(proxy, unready if key is None else "API key")
    assert ("NOT READY" in proxy.output) is (key is None)
