"""Commands for mitmproxy's prompt and mitmweb's command bar, such as `:ccproxy.analytics week`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Protocol

from mitmproxy import exceptions
from mitmproxy.addonmanager import Loader

from addon.api.analytics import analytics, breakdown
from addon.core.errors import CCProxyError
from addon.core.terminal import cents
from addon.usage.budget import PERIOD_OF, Budget
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
            told = analytics(self.ledger, period)
            rows = breakdown(self.ledger, period, "model")["rows"]
        except CCProxyError as error:
            raise exceptions.CommandError(str(error)) from None
        lines = [
            f"{told['totalRequests']} requests: {told['claudeCodeRequests']} by subscription,"
            f" {told['apiKeyRequests']} by API key, {told['errorRequests']} not served",
            f"{cents(told['estimatedApiKeyCost'])} paid, {cents(told['estimatedSavings'])} saved,"
            f" {told['cacheHitRate']:.0%} of the prompts from the cache",
            *(
                f"{row['model']}: {row['requests']} requests, {cents(row['spend'] + row['savings'])}"
                for row in rows
            ),
            *(
                f"{window.label}: {window.utilization or 0:.0%} used"
                for window in self.subscription.shown_windows()
            ),
        ]
        return "\n".join(lines)

    def show_budget(self) -> str:
        """The limits on paid calls, and how much of them is spent."""
        settings, spent = self.budget.settings, self.budget.spent()
        lines = ["Paid calls stop at these limits." if settings.enabled else "There is no budget."]
        for name, period in PERIOD_OF.items():
            limit = getattr(settings, name)
            most = f" of {cents(limit)}" if limit is not None else ""
            lines.append(f"last {period.name}: {cents(spent[period.name])} spent{most}")
        return "\n".join(lines)

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
