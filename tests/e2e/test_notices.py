"""What is wrong, what rests and when that is over: the same words in /health, the terminal and the dashboard's data."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.limits import windows
from addon.stand_in.script import Answer, exhausted, fail
from tests.e2e.conftest import StartProxy
from tests.e2e.hurry import HURRY, LOOK_SECONDS
from tests.e2e.proxy import OWN_PORT, Proxy, chat, rejected


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


def out_of(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def test_the_users_program_is_told_at_80_and_95_percent(
    fake: FakeAnthropic, start_proxy: StartProxy, tmp_path: Path
) -> None:
    out, script = tmp_path / "out", tmp_path / "note.py"
    script.write_text(
        f"import os, sys\nopen({str(out)!r}, 'a').write(sys.stdin.read() + repr(dict(os.environ)))\n"
    )
    proxy = start_proxy(
        launch=False, first=HURRY, mode=OWN_PORT, NOTIFY_COMMAND=f"{sys.executable} {script}"
    )
    for share, times in ((0.5, 0), (0.81, 1), (0.82, 1), (0.96, 2), (0.97, 2)):
        used = windows({"5h": time.time() + 3600}, utilization=share)
        fake.api.script.clear()
        fake.script(Answer(headers=used), when="oauth")
        assert proxy.post("/v1/chat/completions", chat()).status_code == 200
        assert fake.wait_until(lambda n=times: out_of(out).count("ccproxy: ") == n, 20)
        time.sleep(3 * LOOK_SECONDS)  # it would tell more
    told = out.read_text()
    assert told.count("ccproxy: ") == 2
    assert "ccproxy: 81% of the plan's limit of 5 hours is used; it resets at " in told
    assert "ccproxy: 96% of" in told
    assert "sk-ant" not in told and "ANTHROPIC" not in told


def test_the_program_can_not_be_set_as_an_option(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    with pytest.raises(AssertionError, match=r"can't be an option.*Set NOTIFY_COMMAND"):
        start_proxy(arguments=["--set", "ccproxy_notify_command=touch /tmp/x"])
