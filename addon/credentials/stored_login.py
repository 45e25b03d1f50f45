"""The login that is shared with Claude Code: provides tokens from memory or from the store, and refreshes them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any

from addon.core.clock import SYSTEM, Clock
from addon.core.frozen import frozen
from addon.credentials.credential import (
    LOGIN_AGAIN,
    Credential,
    CredentialError,
    CredentialErrorKind,
    digest,
)
from addon.credentials.login import FRESH_SECONDS, CredentialStatus
from addon.credentials.refresher import Refreshed, Refresher, Unsaved
from addon.credentials.store import LoginStores, Revision, StoredLogin

MARGIN, MARGIN_JITTER = 300.0, 60.0
"""Seconds before the expiry at which a refresh starts in the background; the jitter keeps instances apart."""
SAVE_PAUSE_MIN, SAVE_PAUSE_MAX = 1.0, 300.0
READ_PAUSE = 2.0
"""Seconds until an unreadable store is read again: its revision does not change when it becomes readable."""

BLOCK_SECONDS: Mapping[CredentialErrorKind, float] = {
    "invalid_grant": math.inf,
    "expired": math.inf,
    "unknown_outcome": 60.0,
    "rate_limited": 60.0,
    "unwritable": 30.0,
    "network": 30.0,
    "lock_timeout": 5.0,
}
"""How long a failed refresh is not repeated, unless the stored login changes."""


@frozen
class _Held:
    """The login in memory. `ends` (monotonic) is only known for a token that we have refreshed."""

    stored: StoredLogin
    margin: float
    refreshed_at: float = -math.inf
    ends: float = math.inf

    @property
    def credential(self) -> Credential:
        return self.stored.credential

    @property
    def token(self) -> str:
        return self.stored.credential.access_token

    def remaining(self, clock: Clock) -> float:
        """The lower of the seconds by two clocks: the wall clock may jump, the monotonic clock stops in suspend."""
        return min(_by_wall(self.credential, clock), self.ends - clock.monotonic())

    def renewed_by(self, other: Credential, clock: Clock) -> bool:
        return other.access_token != self.token and _by_wall(other, clock) > self.margin


@frozen
class _Block:
    """A failed refresh that must not be repeated for a while."""

    error: CredentialError
    refresh_token: str
    """Its digest: another login is not blocked."""
    until: float
    """Monotonic."""


@dataclass(eq=False, repr=False, slots=True)
class _Pending:
    """A refreshed login that is not saved yet."""

    unsaved: Unsaved
    retry_at: float
    pause: float = SAVE_PAUSE_MIN


class SharedLogin:
    """A `Login` in Claude Code's store.

    At most one task changes the store at any time (`_task`). All requests that need its result wait for the same task,
    and none of them can cancel it. Invariants:

    * While `_pending` is set, the store's refresh token has been used and the new login is in memory only. The store's
      login must then be neither used nor refreshed, which would end the login; saving comes before the next refresh.
    * A failed refresh is not repeated while `_block` holds, so that requests in a row can't flood the token endpoint.
    """

    def __init__(self, stores: LoginStores, refresher: Refresher, clock: Clock = SYSTEM) -> None:
        self._stores = stores
        self._refresher = refresher
        self._clock = clock
        self._held: _Held | None = None
        self._revision: Revision | None = None
        self._read_again_at = math.inf
        self._unreadable = CredentialError("missing", LOGIN_AGAIN)
        self._block: _Block | None = None
        self._pending: _Pending | None = None
        self._last_error: CredentialErrorKind | None = None
        self._task: asyncio.Task[CredentialError | None] | None = None
        self._reading = asyncio.Lock()
        self._found = 0
        """How many logins were found in the store, not counting those that we saved."""

    async def access_token(self, force_refresh_of: str | None = None) -> str:
        self._save_when_due()
        held = await self._current()
        refused = held.token == force_refresh_of
        if not refused and held.remaining(self._clock) > 0:
            self._refresh_early(held)
            return held.token
        if refused and self._clock.monotonic() - held.refreshed_at < FRESH_SECONDS:
            raise self._noted(_refused_when_fresh())
        return await self._renewed(held)

    async def read(self) -> Credential:
        return (await self._current()).credential

    async def identity(self) -> int:
        await self._look()
        return self._found

    def status(self) -> CredentialStatus:
        if self._held is None:
            return CredentialStatus(last_error=self._last_error)
        credential, ends = self._held.credential, self._held.credential.expires_at
        blocked = self._blocked(self._held) is not None
        return CredentialStatus(
            source=credential.source,
            expires_at=ends,
            next_refresh=None if ends is None or blocked else ends - self._held.margin,
            refresh_token_expires_at=credential.refresh_token_expires_at,
            subscription_type=credential.subscription_type,
            last_error=self._last_error,
            degraded=self._pending is not None or blocked,
        )

    async def drain(self) -> None:
        if self._task:
            await asyncio.wait([self._task])
        if self._pending:
            await asyncio.wait([self._start(self._save(self._pending))])

    async def _current(self) -> _Held:
        await self._look()
        if self._held is None:
            raise self._noted(self._unreadable)
        return self._held

    async def _look(self) -> None:
        """Read the store if it has changed (a new `claude /login` is used at once), or if reading it failed before."""
        async with self._reading:
            revision = self._stores.revision()
            if revision != self._revision or self._clock.monotonic() >= self._read_again_at:
                await self._reload()
                self._revision = revision

    async def _reload(self) -> None:
        try:
            stored = await asyncio.to_thread(self._stores.read, self._clock.wall())
        except CredentialError as error:
            self._unreadable = error
            self._held = self._held if self._pending else None
            wait = READ_PAUSE if isinstance(error.__cause__, OSError) else math.inf
            self._read_again_at = self._clock.monotonic() + wait
            return
        self._read_again_at = math.inf
        if not self._spent(stored.credential):
            self._hold(stored)

    def _spent(self, credential: Credential) -> bool:
        """Whether our unsaved login has replaced this one."""
        if self._pending is None:
            return False
        replaced = self._pending.unsaved.stored.credential
        return credential.refresh_token == replaced.refresh_token

    def _hold(self, stored: StoredLogin, lifetime: float | None = None) -> None:
        """Use this login from now on. `lifetime`: in seconds, if we have just refreshed it."""
        now, token = self._clock.monotonic(), stored.credential.access_token
        margin = MARGIN + MARGIN_JITTER * self._clock.random()
        self._pending = None
        if lifetime is not None:
            # A token with a lifetime below the margin would be refreshed again at once.
            self._held = _Held(stored, min(margin, lifetime / 4), now, now + lifetime)
        elif self._held and self._held.token == token:
            self._held = replace(self._held, stored=stored)
            return
        else:
            self._held = _Held(stored, margin)
            self._found += 1
        self._block = self._last_error = None

    def _blocked(self, held: _Held) -> CredentialError | None:
        block = self._block
        if block is None or self._clock.monotonic() >= block.until:
            return None
        same = block.refresh_token == digest(held.credential.refresh_token)
        return block.error if same else None

    def _refresh_early(self, held: _Held) -> None:
        due = held.remaining(self._clock) < held.margin
        if due and not self._is_busy and not self._blocked(held):
            self._start(self._refresh(held))

    async def _renewed(self, held: _Held) -> str:
        """Another token than that of `held`, whoever refreshed it."""
        for _ in range(2):  # the running task may be one that only saves
            if not self._is_busy:
                if blocked := self._blocked(held):
                    raise self._noted(blocked)
                self._start(self._refresh(held))
            if error := await self._result():
                raise self._noted(error)
            if self._held and self._held.token != held.token:
                return self._held.token
        raise self._noted(_refused_when_fresh())

    @property
    def _is_busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def _start(
        self, work: Coroutine[Any, Any, CredentialError | None]
    ) -> asyncio.Task[CredentialError | None]:
        self._task = asyncio.create_task(work)
        return self._task

    async def _result(self) -> CredentialError | None:
        return await asyncio.shield(self._task) if self._task else None

    async def _refresh(self, held: _Held) -> CredentialError | None:
        if self._pending and (error := await self._save(self._pending)):
            return error
        try:
            refreshed = await self._refresher.refresh(
                lambda other: held.renewed_by(other, self._clock)
            )
        except CredentialError as error:
            return await self._failed(held, error)
        self._adopt(refreshed)
        return None

    async def _save(self, pending: _Pending) -> CredentialError | None:
        try:
            saved = await self._refresher.save_again(pending.unsaved)
        except CredentialError as error:
            self._pending = self._held = self._revision = None
            return error
        if saved.unsaved is None:
            self._hold(saved.stored)
            return None
        pending.pause = min(pending.pause * 2, SAVE_PAUSE_MAX)
        pending.retry_at = self._clock.monotonic() + pending.pause
        return CredentialError("unwritable", "The refreshed Claude login cannot be saved.")

    def _save_when_due(self) -> None:
        pending = self._pending
        if pending and self._clock.monotonic() >= pending.retry_at and not self._is_busy:
            self._start(self._save(pending))

    def _adopt(self, refreshed: Refreshed) -> None:
        self._hold(refreshed.stored, refreshed.lifetime)
        if refreshed.unsaved:
            retry_at = self._clock.monotonic() + SAVE_PAUSE_MIN
            self._pending = _Pending(refreshed.unsaved, retry_at)
            self._last_error = "unwritable"

    async def _failed(self, held: _Held, error: CredentialError) -> CredentialError:
        await self._look()
        refresh_token = held.credential.refresh_token
        seconds = error.retry_after or BLOCK_SECONDS.get(error.kind)
        # A login that appeared meanwhile has not failed.
        if seconds and self._held and self._held.credential.refresh_token == refresh_token:
            until = self._clock.monotonic() + seconds
            self._block = _Block(error, digest(refresh_token), until)
        return self._noted(error)

    def _noted(self, error: CredentialError) -> CredentialError:
        """A new exception for each request, since each adds its own traceback."""
        self._last_error = error.kind
        return CredentialError(error.kind, error.message, retry_after=error.retry_after)


def _by_wall(credential: Credential, clock: Clock) -> float:
    return math.inf if credential.expires_at is None else credential.expires_at - clock.wall()


def _refused_when_fresh() -> CredentialError:
    return CredentialError(
        "refused", f"Anthropic rejects a token that has just been refreshed. {LOGIN_AGAIN}"
    )
