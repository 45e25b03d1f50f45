"""When a limit is told of outside, and how the user's program is run."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import httpx
import pytest

from addon.addons import notifications
from addon.addons.notifications import Notifications, run
from addon.core.own_http import own_http
from addon.core.settings import Settings
from addon.fallback.rate_limits import Window, Windows
from addon.usage.budget import Budget, BudgetSettings
from addon.usage.ledger import UsageLedger
from addon.usage.subscription import SubscriptionState
from tests.clock import NOW
from tests.usage.records import record

NOTE = """
import os, sys
with open(sys.argv[1], "a") as file:
    file.write(sys.stdin.read() + "|" + ",".join(sorted(os.environ)) + "\\n")
"""


class World:
    def __init__(self, **env: str) -> None:
        self.subscription = SubscriptionState()
        self.ledger = UsageLedger(lambda: NOW)
        self.budget = Budget(self.ledger, BudgetSettings(daily=10, weekly=1000, enabled=True))
        self.posted: list[httpx.Request] = []
        self.http = own_http(transport=httpx.MockTransport(self.answer))
        self.status = 200
        self.notifications = Notifications(
            Settings.from_env(env), self.subscription, self.budget, self.http, lambda: NOW
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.posted.append(request)
        return httpx.Response(self.status)

    def use(self, share: float, reset: float = NOW + 3600) -> list[str]:
        self.subscription.note_windows(
            Windows(windows=(Window("5h", "allowed", share, reset),)), NOW
        )
        return list(self.notifications.reached())


def test_each_share_is_told_once() -> None:
    world = World()
    assert [len(world.use(share)) for share in (0.1, 0.79, 0.8, 0.9, 0.95, 1.0)] == [
        *(0, 0, 1, 0, 1, 0)
    ]


def test_a_share_that_is_passed_together_with_another_is_told_with_it() -> None:
    (text,) = World().use(0.97)
    assert text.startswith("ccproxy: 97% of the plan's limit of 5 hours is used; it resets at ")


def test_a_limit_that_was_reset_is_told_anew() -> None:
    world = World()
    assert len(world.use(0.9)) == 1
    assert world.use(0.7) == [] and world.use(0.9) == []
    assert world.use(0.01) == []
    assert len(world.use(0.9)) == 1


def test_a_window_that_was_reset_since_says_nothing() -> None:
    assert World().use(0.99, NOW - 1) == []


def test_the_budget_is_told_of_with_its_dollars() -> None:
    world = World()
    world.ledger.add(record(dollars=8.5))
    assert list(world.notifications.reached()) == [
        "ccproxy: 85% of the daily budget is used ($8.50 of $10.00)."
    ]
    world.budget.update({"enabled": False, "dailyLimit": 1})
    assert list(world.notifications.reached()) == []


async def test_the_webhook_gets_the_text_and_its_failure_hides_the_url(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(NOTIFY_WEBHOOK="https://hooks.example/T0/secret")
    await world.notifications.tell("Most is used")
    assert json.loads(world.posted[0].content) == {"text": "Most is used"}
    world.status = 404
    await world.notifications.tell("Most is used")
    assert "NOTIFY_WEBHOOK failed" in caplog.text and "hooks.example" not in caplog.text


def test_the_program_gets_the_text_on_stdin_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "HTTPS_PROXY", "AWS_SECRET"):
        monkeypatch.setenv(name, "secret")
    out = tmp_path / "out; touch injected"
    run((sys.executable, "-c", NOTE, str(out)), "Most; $(is) used")
    text, _, names = out.read_text().partition("|")
    assert text == "Most; $(is) used\n"
    allowed = {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "XDG_CONFIG_HOME"}
    allowed |= {"DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"}
    assert {n for n in names.strip().split(",") if not n.startswith("LC_")} <= allowed
    assert [file.name for file in tmp_path.iterdir()] == [out.name]


def test_a_program_that_takes_too_long_is_ended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notifications, "SECONDS", 0.3)
    began = time.monotonic()
    run((sys.executable, "-c", "import time; time.sleep(60)"), "x")
    assert time.monotonic() - began < 20
    assert "it took more than" in caplog.text


@pytest.mark.parametrize(
    ("command", "told"),
    [(("/no/such/program",), "can't be run"), ((sys.executable, "-c", "exit(3)"), "ended with 3")],
)
def test_a_program_that_fails_is_only_logged(
    command: tuple[str, ...], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    run(command, "x")
    assert told in caplog.text


async def test_looking_waits_for_nobody(tmp_path: Path) -> None:
    out = tmp_path / "out"
    world = World(NOTIFY_COMMAND=f"{sys.executable} -c 'import time; time.sleep(0.5)' {out}")
    world.subscription.note_windows(Windows(windows=(Window("5h", "allowed", 0.9),)), NOW)
    world.notifications.look()
    assert world.notifications.tasks, "the program runs, and was not waited for"
    await asyncio.gather(*world.notifications.tasks)
    assert world.notifications.tasks == set()
