"""The login as the rest of the proxy uses it, and the implementation for a fixed token."""

from __future__ import annotations

import math
from typing import Protocol

from addon.core.clock import SYSTEM, Clock
from addon.core.frozen import frozen
from addon.credentials.credential import (
    Credential,
    CredentialError,
    CredentialErrorKind,
    LoginSource,
)

FRESH_SECONDS = 60.0
"""How long a rejected token is not sent again, and a new one is not refreshed again."""


@frozen(kw_only=True)
class CredentialStatus:
    """The login's state for `/health`, without secrets. Times are in unix seconds."""

    source: LoginSource | None = None
    """None: no login is known."""
    expires_at: float | None = None
    next_refresh: float | None = None
    refresh_token_expires_at: float | None = None
    """When a new `claude /login` is needed."""
    subscription_type: str | None = None
    last_error: CredentialErrorKind | None = None
    degraded: bool = False
    """The login is in memory only, or can't be refreshed at present."""


class Login(Protocol):
    """Provides the access token for requests."""

    async def access_token(self, force_refresh_of: str | None = None) -> str:
        """A token to send. `force_refresh_of`: a token that upstream has just rejected with a 401.

        Raises CredentialError. Cancelling the caller never cancels a refresh.
        """

    async def read(self) -> Credential:
        """The login as stored, without refreshing it. Raises CredentialError."""

    async def identity(self) -> int:
        """A number that changes when another login replaces this one, but not when it is refreshed. Reads the store if
        it has changed, and refreshes nothing."""

    def status(self) -> CredentialStatus:
        """The present state; triggers nothing."""

    async def drain(self) -> None:
        """Wait for a running refresh. Call it before the process ends."""


class StaticLogin:
    """A token from `claude setup-token`: it is valid for a year and can't be refreshed."""

    def __init__(self, token: str, clock: Clock = SYSTEM) -> None:
        self._credential = Credential(access_token=token, source="environment")
        self._clock = clock
        self._refused_until = -math.inf

    async def access_token(self, force_refresh_of: str | None = None) -> str:
        now = self._clock.monotonic()
        if force_refresh_of == self._credential.access_token:
            self._refused_until = now + FRESH_SECONDS
        if now < self._refused_until:
            raise CredentialError(
                "expired",
                "Anthropic rejects the token in CLAUDE_CODE_OAUTH_TOKEN. "
                "Run `claude setup-token` and set the new one.",
            )
        return self._credential.access_token

    async def read(self) -> Credential:
        return self._credential

    async def identity(self) -> int:
        return 0

    def status(self) -> CredentialStatus:
        refused = self._clock.monotonic() < self._refused_until
        return CredentialStatus(
            source="environment", last_error="expired" if refused else None, degraded=refused
        )

    async def drain(self) -> None:
        return
