"""What outlives a request: loaded at start, saved while running and at the end."""

from __future__ import annotations

import asyncio

import httpx

from addon.context.counter import TokenCounter
from addon.credentials.login import Login
from addon.usage.store import UsageStore


class State:
    def __init__(
        self, store: UsageStore, counter: TokenCounter, login: Login, http: httpx.AsyncClient
    ) -> None:
        self.store = store
        self.counter = counter
        self.login = login
        self.http = http
        self.saving: asyncio.Task[None] | None = None

    async def running(self) -> None:
        self.store.load()
        self.saving = asyncio.create_task(self.store.run())

    async def done(self) -> None:
        if self.saving is not None:
            self.saving.cancel()
        await self.login.drain()  # a refresh under way has spent the old token: it must be saved
        self.store.close()
        self.counter.close()
        await self.http.aclose()
