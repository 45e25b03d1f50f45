"""Runs NOTIFY_COMMAND and calls NOTIFY_WEBHOOK when most of a limit or of the budget is used.

No request waits for that: a timer looks at what is known anyway.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mitmproxy import ctx

from addon.core.clock import Ticker
from addon.core.environment import for_notifications
from addon.core.own_http import HttpError, OwnHttp
from addon.core.settings import Settings
from addon.fallback.messages import local_time
from addon.usage.budget import PERIOD_OF, Budget
from addon.usage.record import usd
from addon.usage.subscription import SubscriptionState

logger = logging.getLogger(__name__)

SHARES = (0.80, 0.95)
AGAIN_BELOW = 0.5
"""A limit that was used to less than this since is told anew."""
LOOK_EVERY = 2.0
SECONDS = 10.0
"""For the program, and for the webhook."""


class Used(NamedTuple):
    name: str
    share: float
    detail: str


class Notifications:
    def __init__(
        self,
        settings: Settings,
        subscription: SubscriptionState,
        budget: Budget,
        http: OwnHttp,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.command = settings.notify_command
        self.webhook = settings.notify_webhook
        self.subscription = subscription
        self.budget = budget
        self.http = http
        self.clock = clock
        self.told: set[tuple[str, float]] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.ticker = Ticker(LOOK_EVERY, self.look)

    def running(self) -> None:
        """What was reached before a restart was told then."""
        if ctx.options.server and (self.command or self.webhook):
            list(self.reached())
            self.ticker.start()

    def done(self) -> None:
        self.ticker.stop()

    def look(self) -> None:
        for text in self.reached():
            task = asyncio.get_running_loop().create_task(self.tell(text))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def reached(self) -> Iterator[str]:
        """A text for each limit of which another share is used since the last call."""
        for used in self.used():
            passed = {(used.name, share) for share in SHARES if used.share >= share}
            if used.share < AGAIN_BELOW:
                self.told -= {(used.name, share) for share in SHARES}
            if passed - self.told:
                self.told |= passed
                yield f"ccproxy: {used.share:.0%} of {used.name} is used{used.detail}."

    def used(self) -> Iterator[Used]:
        now = self.clock()
        for window in self.subscription.shown_windows():
            reset = window.resets_at
            if window.utilization is not None and (reset is None or reset > now):
                detail = "" if reset is None else f"; it resets at {local_time(reset, now)}"
                yield Used(f"the plan's limit of {window.label}", window.utilization, detail)
        settings, spent = self.budget.settings, self.budget.spent()
        for name, limit in settings.limits() if settings.enabled else ():
            if limit:
                dollars = spent[PERIOD_OF[name].name]
                detail = f" (${dollars:.2f} of ${usd(limit):.2f})"
                yield Used(f"the {name} budget", dollars / usd(limit), detail)

    async def tell(self, text: str) -> None:
        if self.command is not None:
            await asyncio.to_thread(run, self.command, text)
        if self.webhook is not None:
            try:
                response = await self.http.request(
                    "POST", self.webhook, json={"text": text}, timeout=SECONDS
                )
            except HttpError as error:
                logger.warning("NOTIFY_WEBHOOK failed: %s", error)
            else:
                if not 200 <= response.status < 300:
                    logger.warning("NOTIFY_WEBHOOK failed: status %d", response.status)


def run(command: tuple[str, ...], text: str) -> None:
    try:
        program = subprocess.Popen(  # noqa: S603 (the user's own program, and no shell)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=for_notifications(),
            start_new_session=sys.platform != "win32",
        )
    except OSError as error:
        logger.warning("NOTIFY_COMMAND can't be run: %s", error.strerror)
        return
    try:
        program.communicate(f"{text}\n".encode(), SECONDS)
    except subprocess.TimeoutExpired:
        logger.warning("NOTIFY_COMMAND was ended: it took more than %.0f seconds.", SECONDS)
        kill(program)
    else:
        if program.returncode:
            logger.warning("NOTIFY_COMMAND failed: it ended with %d.", program.returncode)


def kill(program: subprocess.Popen[bytes]) -> None:
    """With what it has started."""
    if sys.platform != "win32":
        os.killpg(program.pid, signal.SIGKILL)
    program.kill()
    program.wait()
