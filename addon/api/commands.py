"""Commands for mitmproxy's prompt and mitmweb's command bar, such as `:ccproxy.analytics week`."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Protocol

from mitmproxy import exceptions
from mitmproxy.addonmanager import Loader

from addon.api.analytics import analytics
from addon.core.errors import CCProxyError
from addon.core.types import JsonObject
from addon.usage.budget import Budget, get_budget
from addon.usage.ledger import UsageLedger
from addon.usage.subscription import SubscriptionState

logger = logging.getLogger(__name__)


class Finding(Protocol):
    """The result of one of the doctor's checks."""

    @property
    def check(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def todo(self) -> str: ...


@dataclass(eq=False, repr=False)
class Commands:
    ledger: UsageLedger
    budget: Budget
    subscription: SubscriptionState
    examine_machine: Callable[[], AsyncIterator[Finding]]
    """Runs the doctor's checks."""
    examining: asyncio.Task[None] | None = field(default=None, init=False)

    def load(self, loader: Loader) -> None:
        loader.add_command("ccproxy.analytics", self.analytics)
        loader.add_command("ccproxy.budget", self.show_budget)
        loader.add_command("ccproxy.doctor", self.doctor)

    def analytics(self, period: str = "day") -> str:
        """Usage, cost and savings of the last hour, day, week or month, or of all time."""
        try:
            return _shown(analytics(self.ledger, period, self.subscription.shown_windows()))
        except CCProxyError as error:
            raise exceptions.CommandError(str(error)) from None

    def show_budget(self) -> str:
        """The limits on paid calls, and how much of them is spent."""
        return _shown(get_budget(self.budget))

    def doctor(self) -> str:
        """Check everything between Cursor and Claude; the findings go to the event log."""
        if self.examining is None or self.examining.done():
            self.examining = asyncio.get_running_loop().create_task(self.examine())
        return "The doctor is running; its findings go to the event log."

    async def examine(self) -> None:
        async for finding in self.examine_machine():
            level = logging.INFO if finding.state == "ok" else logging.WARNING
            text = f"{finding.state} {finding.check}: {finding.text} {finding.todo}"
            logger.log(level, "%s", text.strip())

    def done(self) -> None:
        if self.examining is not None:
            self.examining.cancel()


def _shown(body: JsonObject) -> str:
    return json.dumps(body, indent=2, ensure_ascii=False)
