"""Builds the body of /health from what is known; makes no request and triggers nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, Protocol

from addon.addons.fallback_chain import FallbackChain
from addon.api.dashboard_data import budget_json
from addon.core.settings import Settings
from addon.core.types import JsonObject
from addon.credentials.login import CredentialStatus
from addon.fallback.messages import Notice, local_time, rest_notice, serves
from addon.usage.budget import Budget
from addon.usage.subscription import SUBSCRIPTION, SubscriptionState, milliseconds

type LoginStatus = Callable[[], CredentialStatus]
type Problem = Callable[[], str | None]
type Fallback = Literal["no_api_key", "off", "over_budget", "only", "active", "ready"]
"""`only`: the API key serves everything; `active`: it serves because the subscription currently can't."""

WAYS_OUT = "Run `claude /login`, or set ANTHROPIC_API_KEY."
UNCONFIRMED = (
    "Earlier spending is unknown: no paid calls are made until POST /budget confirms the budget."
)


class Output(Protocol):
    """Something that is written to, and what could not be."""

    @property
    def name(self) -> str: ...
    @property
    def dropped(self) -> int:
        """Lines or flows, since the start."""

    @property
    def problem(self) -> str | None:
        """What can't be written at present, and why."""


@dataclass(eq=False, repr=False)
class Health:
    settings: Settings
    login: LoginStatus
    subscription: SubscriptionState
    budget: Budget
    chain: FallbackChain
    _: KW_ONLY
    usage_problem: Problem
    """Why usage is not being saved; None if it is."""
    counting_problem: Problem
    """Why token counts are rough; None if they are not."""
    outputs: Sequence[Output] = ()
    """The writers of terminal and log."""
    clock: Callable[[], float] = time.time

    def __call__(self, detailed: bool) -> JsonObject:
        """`detailed`: for callers on this machine; a tunnel's client learns only that the proxy runs. Times are unix
        milliseconds, as in /analytics."""
        if not detailed:
            return {"status": "ok"}
        now, login = self.clock(), self.login()
        problems = list(self.problems(login))
        return {
            "status": "degraded" if problems or login.degraded else "ok",
            "ready": self.unserved(login, now) is None,
            "problems": [notice.text for notice in problems],
            "notices": [notice.text for notice in self.notices()],
            "claudeCode": self.claude_code(login, now),
            "subscription": self.windows_json(),
            "cooldowns": [
                cooldown
                | {
                    "until": milliseconds(cooldown["until"]),
                    "seconds": math.ceil(cooldown["seconds"]),
                }
                for cooldown in self.subscription.cooldowns.snapshot(now)
            ],
            "fallback": self.settings.api_key is not None and self.settings.fallback == "auto",
            "fallbackState": self.fallback(login, now),
            "budget": budget_json(self.budget) | {"exhausted": self.budget.exhausted},
            "dropped": {output.name: output.dropped for output in self.outputs},
            "openaiPassthrough": {
                "enabled": self.settings.openai_api_key is not None,
                "baseUrl": self.settings.openai_base_url,
            },
        }

    def claude_code(self, login: CredentialStatus, now: float) -> JsonObject:
        return {
            "enabled": self.settings.claude_code_first,
            "authenticated": authenticated(login, now),
            "source": login.source,
            "subscriptionType": login.subscription_type,
            "expiresAt": milliseconds(login.expires_at),
            "nextRefreshAt": milliseconds(login.next_refresh),
            "reloginDueAt": milliseconds(login.refresh_token_expires_at),
            "lastError": login.last_error,
        }

    def windows_json(self) -> JsonObject | None:
        """From the newest response; None before the first one."""
        windows = self.subscription.windows
        if windows is None:
            return None
        shown = [window.to_json() for window in self.subscription.shown_windows()]
        return windows.public() | {"reset": milliseconds(windows.reset), "windows": shown}

    def fallback(self, login: CredentialStatus, now: float) -> Fallback:
        settings = self.settings
        if settings.api_key is None:
            return "no_api_key"
        first = settings.claude_code_first
        if not settings.key_allowed or (first and "api_key" not in settings.fallback_chain):
            return "off"
        if self.budget.exhausted or not self.budget.known:
            return "over_budget"
        if not settings.claude_code_first:
            return "only"
        limited = any(
            cooldown["seconds"] > 0 and cooldown["family"] is None
            for cooldown in self.subscription.cooldowns.snapshot(now)
        )
        return "ready" if usable(login, now) and not limited else "active"

    def notices(self) -> list[Notice]:
        """The problems, and each rest of the subscription."""
        now, login = self.clock(), self.login()
        notices = list(self.problems(login))
        if self.settings.claude_code_first:
            if login.source is not None and not usable(login, now):
                notices += self.without_login(now)
            notices += [
                rest_notice(rest, self.chain.meanwhile(rest.family, now), now)
                for rest in self.subscription.cooldowns.active(SUBSCRIPTION, now)
            ]
        return notices

    def without_login(self, now: float) -> Iterator[Notice]:
        then = self.chain.meanwhile(None, now)
        if then is not None:
            text = f"the Claude login can't be used: run `claude /login`; {serves(then)} until then"
            yield Notice(text=text, over="the Claude login can be used again")

    def problems(self, login: CredentialStatus) -> Iterator[Notice]:
        """What the user should fix, and that nothing can serve."""
        unserved = self.unserved(login, self.clock())
        if unserved is not None:
            yield Notice(text=unserved, over="READY: requests are served again", bad=True)
        if not self.budget.known:
            yield Notice(text=UNCONFIRMED, over="the budget is confirmed")
        outputs = (output.problem for output in self.outputs)
        for problem in (self.usage_problem(), self.counting_problem(), *outputs):
            if problem is not None:
                yield Notice(text=problem, over=f"over: {problem}")

    def unserved(self, login: CredentialStatus, now: float) -> str | None:
        """Why nothing can serve a request at present; None: something can."""
        first = self.settings.claude_code_first
        rests = self.subscription.cooldowns.active(SUBSCRIPTION, now)
        rest = next((rest for rest in rests if rest.family is None), None)
        if first and usable(login, now) and rest is None:
            return None
        key = self.settings.can_pay and self.budget.known and not self.budget.exhausted
        if key if not first else self.chain.meanwhile(None, now):
            return None
        why = self.unpaid()
        if first and usable(login, now) and rest is not None:
            until = local_time(rest.until, now)
            return f"Nothing can serve a request until {until}: the subscription rests, and {why}."
        return f"Nothing can serve a request: {why}. {WAYS_OUT}"

    def unpaid(self) -> str:
        if self.settings.api_key is None:
            return "no API key is set"
        if not self.settings.key_allowed:
            return "FALLBACK=off"
        if not self.budget.known:
            return "earlier spending is unknown"
        if exhausted := self.budget.exhausted:
            return f"the {' and '.join(exhausted)} budget is spent"
        return "FALLBACK_CHAIN has no step that can"


def authenticated(login: CredentialStatus, now: float) -> bool:
    """Whether there is a token that is valid now."""
    return login.source is not None and (login.expires_at is None or login.expires_at > now)


def usable(login: CredentialStatus, now: float) -> bool:
    """Whether there is a token that is valid or can be refreshed."""
    return login.source is not None and (authenticated(login, now) or not login.degraded)
