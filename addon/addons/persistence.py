"""What outlives a request: loaded at start, saved while running and at the end."""

from __future__ import annotations

import asyncio
import contextlib
import time

import httpx
from mitmproxy import ctx

from addon.addons.banner import banner
from addon.context.tokens.counter import TokenCounter
from addon.core.redaction import hide_in_logs
from addon.core.settings import Settings
from addon.core.terminal import Terminal
from addon.credentials.login import Login
from addon.usage.store import UsageStore

DRAIN_SECONDS = 75.0
"""The longest refresh: 30 s for the lock, 30 s for the answer, 10 s for the write."""


class State:
    def __init__(
        self,
        settings: Settings,
        store: UsageStore,
        counter: TokenCounter,
        login: Login,
        http: httpx.AsyncClient,
        terminal: Terminal,
    ) -> None:
        self.settings = settings
        self.terminal = terminal
        self.store = store
        self.counter = counter
        self.login = login
        self.http = http
        self.saving: asyncio.Task[None] | None = None

    async def running(self) -> None:
        hide_in_logs(self.settings.secret)
        if not ctx.options.server:  # `-n`: somebody looks at saved flows, maybe while a proxy runs
            return
        self.store.load()
        self.saving = asyncio.create_task(self.store.run())
        self.saving.add_done_callback(self.store.ended)
        private = self.terminal.private
        for line in await banner(self.settings, self.login, time.time(), private=private):
            self.terminal.line(line)
        # only mitmweb has one; its own line, with the token in it, is below the level that is shown
        if web_url := getattr(ctx.master, "web_url", None):
            self.terminal.line(f"  mitmweb       {web_url}")

    async def done(self) -> None:
        if self.saving is not None:
            self.saving.cancel()
        # A refresh under way has spent the old token: it must be saved, and is never cancelled.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.login.drain()), DRAIN_SECONDS)
        self.store.close()
        self.counter.close()
        await self.http.aclose()
