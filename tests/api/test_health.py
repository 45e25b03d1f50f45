"""What /health says, from what is known without asking anybody."""

from __future__ import annotations

from typing import Any

import pytest

from addon.addons.fallback_chain import FallbackChain
from addon.api.health import Health
from addon.core.background_writer import BackgroundWriter
from addon.core.settings import Settings
from addon.core.types import JsonObject
from addon.credentials.login import CredentialStatus
from addon.fallback.cooldowns import Cooldowns
from addon.fallback.messages import local_time
from addon.fallback.rate_limits import Limit, read_windows
from addon.usage.budget import Budget, BudgetSettings, PaidCalls
from addon.usage.ledger import UsageLedger
from addon.usage.subscription import SubscriptionState
from tests.claude.support import CATALOGUE
from tests.clock import NOW
from tests.usage.records import record

KEY = {"ANTHROPIC_API_KEY": "sk-ant-api03-canary"}
GOOD = CredentialStatus(source="file", expires_at=NOW + 3600, next_refresh=NOW + 3300)
EXPIRED = CredentialStatus(source="file", expires_at=NOW - 1)
DEAD = CredentialStatus(
    source="file", expires_at=NOW - 1, last_error="invalid_grant", degraded=True
)
NONE = CredentialStatus(last_error="missing")


class World:
    def __init__(self, env: dict[str, str] | None = None, login: CredentialStatus = GOOD) -> None:
        self.settings = Settings.from_env(KEY if env is None else env)
        self.login = login
        self.subscription = SubscriptionState(cooldowns=Cooldowns())  # NOW stands still
        self.budget = Budget(UsageLedger(lambda: NOW))
        self.problem: str | None = None
        self.counting_problem: str | None = None
        self.outputs: list[BackgroundWriter] = []

    def spend(self, dollars: float, **limits: float) -> None:
        ledger = UsageLedger(lambda: NOW)
        ledger.add(record(dollars=dollars))
        self.budget = Budget(ledger, BudgetSettings(**limits, enabled=True))

    def says(self, detailed: bool = True) -> JsonObject:
        return self.health()(detailed)

    def health(self) -> Health:
        paid = PaidCalls(self.settings, self.budget, CATALOGUE.get)
        return Health(
            self.settings,
            lambda: self.login,
            self.subscription,
            self.budget,
            FallbackChain(self.settings, CATALOGUE, self.subscription, paid),
            usage_problem=lambda: self.problem,
            counting_problem=lambda: self.counting_problem,
            outputs=self.outputs,
            clock=lambda: NOW,
        )


def resting(family: str | None, until: float = NOW + 60) -> World:
    world = World()
    world.subscription.cooldowns.start(
        "claude_code", Limit(family, until), reason="rate_limited", now=NOW
    )
    return world


def over_budget() -> World:
    world = World()
    world.spend(3, daily=3.0)
    return world


def unknown_budget() -> World:
    world = World()
    world.budget.restore(BudgetSettings(), known=False)
    return world


@pytest.mark.parametrize(
    ("world", "state"),
    [
        (World({}), "no_api_key"),
        (World({**KEY, "FALLBACK": "off"}), "off"),
        (World({**KEY, "FALLBACK_CHAIN": "wait"}), "off"),
        (World({**KEY, "CLAUDE_CODE_FIRST": "false", "FALLBACK": "off"}), "only"),
        (over_budget(), "over_budget"),
        (unknown_budget(), "over_budget"),
        (World(login=NONE), "active"),
        (World(login=DEAD), "active"),
        (resting(None), "active"),
        (resting("opus"), "ready"),
        (resting(None, NOW), "ready"),
        (World(login=EXPIRED), "ready"),
        (World(), "ready"),
    ],
)
def test_the_state_of_the_fallback(world: World, state: str) -> None:
    assert world.says()["fallbackState"] == state


@pytest.mark.parametrize(
    ("env", "login", "told"),
    [
        ({}, NONE, ["claude /login", "ANTHROPIC_API_KEY"]),
        ({"CLAUDE_CODE_FIRST": "false"}, GOOD, ["ANTHROPIC_API_KEY"]),
    ],
    ids=["no-login-and-no-key", "key-only-without-a-key"],
)
def test_it_says_when_nothing_can_serve(
    env: dict[str, str], login: CredentialStatus, told: list[str]
) -> None:
    said = World(env, login).says()
    assert said["status"] == "degraded"
    assert all(word in said["problems"][0] for word in told)


CHAIN = {"FALLBACK_CHAIN": "claude-haiku-5-5,api_key,wait"}
LATER = local_time(NOW + 60, NOW)


def rests(env: dict[str, str], family: str | None, reason: str = "rate_limited") -> World:
    world = World(env)
    limit = Limit(family, NOW + 60)
    world.subscription.cooldowns.start("claude_code", limit, reason=reason, now=NOW)
    return world


@pytest.mark.parametrize(
    ("world", "told"),
    [
        (rests(KEY, "sonnet"), f"sonnet rests until {LATER}; the API key pays until then"),
        (rests(KEY, None), f"the subscription rests until {LATER}; the API key pays until then"),
        (
            rests(KEY | CHAIN, "opus", "forbidden"),
            f"opus rests until {LATER} (forbidden); claude-haiku-5-5 serves until then",
        ),
        (
            rests(KEY | CHAIN, "haiku", "plan_only"),
            f"haiku rests until {LATER} (plan_only); the API key pays until then",
        ),
        (rests(CHAIN, None), f"the subscription rests until {LATER}; streams wait until then"),
        (rests({}, "opus"), f"opus rests until {LATER}; nothing serves until then"),
        (
            World(login=DEAD),
            "the Claude login can't be used: run `claude /login`; the API key pays until then",
        ),
    ],
)
def test_each_rest_says_until_when_and_who_serves(world: World, told: str) -> None:
    said = world.says()
    assert said["notices"] == [told]
    assert (said["ready"], said["problems"]) == (True, [])


def spent(env: dict[str, str]) -> World:
    world = rests(env, None)
    world.spend(3, daily=3.0)
    return world


@pytest.mark.parametrize(
    ("world", "why"),
    [
        (rests({}, None), f" until {LATER}: the subscription rests, and no API key is set."),
        (
            rests(KEY | {"FALLBACK": "off"}, None),
            f" until {LATER}: the subscription rests, and FALLBACK=off.",
        ),
        (spent(KEY), f" until {LATER}: the subscription rests, and the daily budget is spent."),
        (World({}, NONE), ": no API key is set. Run `claude /login`, or set ANTHROPIC_API_KEY."),
        (World({}, DEAD), ": no API key is set. Run `claude /login`, or set ANTHROPIC_API_KEY."),
    ],
)
def test_it_is_not_ready_when_nothing_can_serve(world: World, why: str) -> None:
    said = world.says()
    assert not said["ready"] and said["status"] == "degraded"
    assert said["problems"][0].startswith(f"Nothing can serve a request{why}")
    assert said["notices"][0] == said["problems"][0]
    assert world.health().notices()[0].bad


def test_a_rest_that_has_ended_is_no_notice() -> None:
    assert resting(None, NOW).says()["notices"] == []


def test_what_usage_and_budget_suffer_from_is_said() -> None:
    world = unknown_budget()
    world.problem = "Usage is kept in memory only: disk full"
    world.counting_problem = "Token counts are estimates"
    said = world.says()
    assert said["status"] == "degraded" and said["budget"]["known"] is False
    assert "POST /budget" in said["problems"][0] and "disk full" in said["problems"][1]
    assert "Token counts" in said["problems"][2]


def test_lines_that_could_not_be_written_are_counted_and_a_problem() -> None:
    world = World()
    with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123
        world.outputs = [BackgroundWriter("stdout", full.write)]
        world.outputs[0].put(b"one\ntwo\n")
        world.outputs[0].close()
        world.outputs.append(BackgroundWriter("stderr", full.write))
        world.outputs[1].close()
    said = world.says()
    assert said["status"] == "degraded"
    assert said["problems"] == ["stdout: 2 lines could not be written: No space left on device."]
    assert said["dropped"] == {"stdout": 2, "stderr": 0}


def test_a_sound_proxy_has_no_problems() -> None:
    said = World().says()
    assert (said["status"], said["problems"]) == ("ok", [])
    assert said["claudeCode"] == {
        "enabled": True,
        "authenticated": True,
        "source": "file",
        "subscriptionType": None,
        "expiresAt": (NOW + 3600) * 1000,
        "nextRefreshAt": (NOW + 3300) * 1000,
        "reloginDueAt": None,
        "lastError": None,
    }
    assert said["fallback"] is True and said["subscription"] is None and said["cooldowns"] == []


def test_windows_cooldowns_and_budget_are_shown_with_their_resets() -> None:
    world = over_budget()
    headers = {
        "anthropic-ratelimit-unified-status": "allowed_warning",
        "anthropic-ratelimit-unified-5h-utilization": "0.42",
        "anthropic-ratelimit-unified-5h-reset": str(NOW + 7200),
        "anthropic-ratelimit-unified-5h-status": "allowed_warning",
    }
    world.subscription.note_windows(read_windows(headers, NOW), NOW - 5)
    world.subscription.cooldowns.start(
        "claude_code", Limit("fable", NOW + 59.5), reason="rate_limited", now=NOW
    )
    said = world.says()
    assert said["subscription"]["status"] == "allowed_warning"
    assert said["subscription"]["windows"] == [
        {
            "name": "5h",
            "label": "5 hours",
            "utilization": 0.42,
            "resetsAt": (NOW + 7200) * 1000,
            "status": "allowed_warning",
            "seenAt": (NOW - 5) * 1000,
        }
    ]
    assert said["cooldowns"] == [
        {
            "credential": "claude_code",
            "family": "fable",
            "until": (NOW + 59.5) * 1000,
            "seconds": 60,
            "reason": "rate_limited",
        }
    ]
    assert said["budget"]["spent"]["day"] == 3.0
    assert said["budget"]["settings"]["dailyLimit"] == 3.0
    assert said["budget"]["exhausted"] == ["daily"]


def test_no_secret_is_in_it_and_a_tunnel_learns_nothing() -> None:
    env: dict[str, Any] = {
        **KEY,
        "PROXY_SECRET_KEY": "canary",
        "OPENAI_API_KEY": "canary",
        "CLAUDE_CODE_OAUTH_TOKEN": "canary",
    }
    world = World(env, DEAD)
    assert "canary" not in str(world.says())
    assert world.says(detailed=False) == {"status": "ok"}
