"""Fetches Anthropic's list of models when a request names a Claude model that models.toml does not contain."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from addon.claude.catalogue import Catalogue
from addon.claude.subscription_request import BETA, SUBSCRIPTION_BETAS
from addon.core.json_codec import JsonError, loads
from addon.core.own_http import HttpError, OwnHttp
from addon.core.settings import Settings
from addon.core.types import JsonObject
from addon.credentials.credential import CredentialError
from addon.credentials.login import Login
from addon.exchange.claude_request import ANTHROPIC_VERSION
from addon.usage.budget import PaidCalls

logger = logging.getLogger(__name__)

ASK_AGAIN_SECONDS = 3600.0
"""Limits the requests for a name that does not exist anywhere."""
PATIENCE_SECONDS = 5.0
"""The client waits meanwhile; without a response the newest model of the family is used as a template."""


def utc_day(now: float | None = None) -> str:
    """The ISO date at a time in Unix seconds, by default now."""
    return time.strftime("%Y-%m-%d", time.gmtime(now))


class ModelList:
    """Holds the current catalogue; `look_up` may replace it with a fuller one."""

    def __init__(
        self,
        catalogue: Catalogue,
        ask: Callable[[], Awaitable[JsonObject]],
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], str] = utc_day,
    ) -> None:
        """`ask`: returns the body of `GET /v1/models`; raises LookupError if it fails. `today`: an ISO date."""
        self.ask = ask
        self.clock = clock
        self.today = today
        self.all = catalogue
        """With the models that are retired by now."""
        self.day, self.served = "", catalogue
        self.asked_at: float | None = None
        self.lock = asyncio.Lock()

    @property
    def catalogue(self) -> Catalogue:
        """What Anthropic serves today."""
        today = self.today()
        if today != self.day:
            self.day, self.served = today, self.all.on(today)
        return self.served

    async def look_up(self, model_id: str) -> None:
        """Adds what Anthropic reports about a model to the catalogue. Never raises, and waits at most
        PATIENCE_SECONDS; usually, and for known models always, it does not wait at all."""
        if self.catalogue.knows(model_id):
            return
        async with self.lock:  # concurrent callers wait for one request
            if self.catalogue.knows(model_id) or not self.is_due():
                return
            self.asked_at = self.clock()
            try:
                self.all = self.all.with_upstream(await self.ask())
                self.day = ""
            except LookupError as error:
                logger.debug("Anthropic's list of models: %s", error)

    def is_due(self) -> bool:
        return self.asked_at is None or self.clock() - self.asked_at >= ASK_AGAIN_SECONDS


@dataclass(eq=False, repr=False)
class UpstreamModels:
    """Requests `GET /v1/models` from Anthropic, with the subscription or else the API key. It costs nothing, but the
    key is used only if `paid` allows it."""

    settings: Settings
    login: Login
    http: OwnHttp
    paid: PaidCalls

    async def __call__(self) -> JsonObject:
        # Outside the timeout: a refresh of the login must not be cancelled.
        headers = {"anthropic-version": ANTHROPIC_VERSION, **await self.credential()}
        url = f"{self.settings.upstream_url}/v1/models"
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                response = await self.http.request(
                    "GET", url, params={"limit": 1000}, headers=headers
                )
            document = loads(response.body)
        except (HttpError, TimeoutError, JsonError) as error:
            why = str(error) if isinstance(error, HttpError) else type(error).__name__
            raise LookupError(why) from error
        if response.status != 200 or not isinstance(document, dict):
            raise LookupError(f"status {response.status}")
        return document

    async def credential(self) -> dict[str, str]:
        """The headers with a credential. Raises LookupError."""
        if self.settings.claude_code_first:
            try:
                token = await self.login.access_token()
            except CredentialError as error:
                logger.debug("Anthropic's list of models: no subscription (%s)", error.kind)
            else:
                return {"authorization": f"Bearer {token}", BETA: ",".join(SUBSCRIPTION_BETAS)}
        key = self.settings.api_key
        if hindrance := self.paid.hindrance(key):
            raise LookupError(hindrance)
        return {"x-api-key": key or ""}
