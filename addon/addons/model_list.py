"""Anthropic's own list of models, asked for when a request names a Claude model that our file does not know."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import httpx

from addon.claude.catalogue import Catalogue
from addon.claude.subscription_request import beta_header
from addon.core.json_codec import JsonError, loads
from addon.core.settings import Settings
from addon.core.types import JsonObject
from addon.credentials.credential import CredentialError
from addon.credentials.login import Login
from addon.exchange.claude_request import ANTHROPIC_VERSION
from addon.usage.budget import PaidCalls

logger = logging.getLogger(__name__)

ASK_AGAIN_SECONDS = 3600.0
"""A name that is nowhere would otherwise cost a question with every request."""
PATIENCE_SECONDS = 5.0
"""The client waits meanwhile; without an answer the newest model of the family is what we go by."""


class ModelList:
    """`catalogue` is what is known so far; `look_up` may put a fuller one in its place."""

    def __init__(
        self,
        catalogue: Catalogue,
        ask: Callable[[], Awaitable[JsonObject]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ask`: Anthropic's answer to `GET /v1/models`; raises LookupError when there is none."""
        self.catalogue = catalogue
        self.ask = ask
        self.clock = clock
        self.asked_at: float | None = None
        self.lock = asyncio.Lock()

    async def look_up(self, model_id: str) -> None:
        """Make sure that the catalogue knows what Anthropic tells of a model. Never fails, and waits at most
        PATIENCE_SECONDS; for a known model, and most of the time for any other, there is nothing to wait for."""
        if self.catalogue.knows(model_id):
            return
        async with self.lock:  # those who ask at the same time wait for one answer
            if self.catalogue.knows(model_id) or not self.is_due():
                return
            self.asked_at = self.clock()
            try:
                self.catalogue = self.catalogue.with_upstream(await self.ask())
            except LookupError as error:
                logger.debug("Anthropic's list of models: %s", error)

    def is_due(self) -> bool:
        return self.asked_at is None or self.clock() - self.asked_at >= ASK_AGAIN_SECONDS


class UpstreamModels:
    """`GET /v1/models` of Anthropic, with the subscription or else our API key. It costs nothing, but the key is used
    only where `paid` allows it."""

    def __init__(
        self, settings: Settings, login: Login, http: httpx.AsyncClient, paid: PaidCalls
    ) -> None:
        self.settings = settings
        self.paid = paid
        self.login = login
        self.http = http

    async def __call__(self) -> JsonObject:
        # Outside of the time limit: a refresh of the login must not be cancelled.
        headers = {"anthropic-version": ANTHROPIC_VERSION, **await self.credential()}
        url = f"{self.settings.upstream_url}/v1/models"
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                response = await self.http.get(url, params={"limit": 1000}, headers=headers)
            document = loads(response.content)
        except (httpx.HTTPError, TimeoutError, JsonError) as error:
            raise LookupError(type(error).__name__) from error
        if response.status_code != 200 or not isinstance(document, dict):
            raise LookupError(f"answered {response.status_code}")
        return document

    async def credential(self) -> dict[str, str]:
        """Headers. Raises LookupError."""
        if self.settings.claude_code_first:
            try:
                token = await self.login.access_token()
            except CredentialError as error:
                logger.debug("Anthropic's list of models: no subscription (%s)", error.kind)
            else:
                betas = beta_header((), subscription=True)
                return {"authorization": f"Bearer {token}", "anthropic-beta": betas}
        key = self.settings.api_key
        if hindrance := self.paid.hindrance(key):
            raise LookupError(hindrance)
        return {"x-api-key": key or ""}
