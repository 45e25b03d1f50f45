"""Builds the body of /health from what is known; makes no request and triggers nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, Protocol

from addon.api.dashboard_data import budget_json
from addon.core.settings import Settings
from addon.core.types import JsonObject
from addon.credentials.login import CredentialStatus
from addon.usage.budget import Budget
from addon.usage.subscription import SubscriptionState, milliseconds

type LoginStatus = Callable[[], CredentialStatus]
type Problem = Callable[[], str | None]
type Fallback = Literal["no_api_key", "off", "over_budget", "only", "active", "ready"]
"""`only`: the API key serves everything; `active`: it serves because the subscription currently can't."""

NO_CREDENTIAL = "Nothing can serve a request: run `claude /login`, or set ANTHROPIC_API_KEY."
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
            "problems": problems,
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
        if not settings.key_allowed:
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

    def problems(self, login: CredentialStatus) -> Iterator[str]:
        """What the user should fix."""
        settings = self.settings
        key = settings.can_pay
        if not key and (login.source is None or not settings.claude_code_first):
            yield NO_CREDENTIAL
        if not self.budget.known:
            yield UNCONFIRMED
        outputs = (output.problem for output in self.outputs)
        for problem in (self.usage_problem(), self.counting_problem(), *outputs):
            if problem is not None:
                yield problem


def authenticated(login: CredentialStatus, now: float) -> bool:
    """Whether there is a token that is valid now."""
    return login.source is not None and (login.expires_at is None or login.expires_at > now)


def usable(login: CredentialStatus, now: float) -> bool:
    """Whether there is a token that is valid or can be refreshed."""
    return login.source is not None and (authenticated(login, now) or not login.degraded)
