"""Refreshes the login once: lock, read again, check that it can be saved, post, save, unlock."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path

from addon.core.clock import SYSTEM, Clock
from addon.core.files import write_atomically
from addon.core.frozen import frozen
from addon.credentials.credential import (
    LOGIN_AGAIN,
    Credential,
    CredentialError,
    Grant,
    merged,
    parse,
)
from addon.credentials.locks import TryLock
from addon.credentials.store import LoginStores, StoredLogin, encoded
from addon.credentials.token_endpoint import TokenEndpoint

logger = logging.getLogger(__name__)

LOCK_WAIT = 30.0
"""Seconds; Claude Code's own refresh has ended by then."""
WRITE_LOCK_WAIT = 10.0
"""Seconds. Then the new login is written without the lock: losing it would be worse than a concurrent write."""
_WRITE_LOCK_PAUSE = 0.1

type Good = Callable[[Credential], bool]


@frozen
class Unsaved:
    """New tokens that are not saved in a store yet, and the login that they renew."""

    stored: StoredLogin
    grant: Grant
    granted_at: float
    """Unix seconds."""


@frozen(kw_only=True)
class Refreshed:
    """The login to use from now on."""

    stored: StoredLogin
    lifetime: float | None = None
    """Seconds from now; None if another process refreshed the login."""
    unsaved: Unsaved | None = None


@dataclass(eq=False, repr=False)
class Refresher:
    """`locks` are held for the whole refresh, `write_lock` while the store is written. If the store can't be written,
    the login is saved at the first `emergency` path that can."""

    stores: LoginStores
    endpoint: TokenEndpoint
    _: KW_ONLY
    locks: TryLock
    write_lock: TryLock
    emergency: Sequence[Path] = ()
    clock: Clock = SYSTEM

    async def refresh(self, good: Good) -> Refreshed:
        """A login for which `good` is true: one that another process has refreshed meanwhile, or a new one.

        Raises CredentialError. Must not be cancelled: a refresh token that was posted can't be used again.
        """
        found = await self._lock_unless_found(good)
        if found:
            return Refreshed(stored=found)
        try:
            return await self._refresh_locked(good)
        finally:
            await asyncio.to_thread(self.locks.release)

    async def save_again(self, unsaved: Unsaved) -> Refreshed:
        """Try again to save a login."""
        return await asyncio.to_thread(self._keep, unsaved)

    async def _lock_unless_found(self, good: Good) -> StoredLogin | None:
        """Acquire the locks, unless their holder has written a good login meanwhile."""
        deadline = self.clock.monotonic() + LOCK_WAIT
        while not await asyncio.to_thread(self.locks.try_acquire):
            if self.clock.monotonic() >= deadline:
                raise CredentialError(
                    "lock_timeout",
                    "Another program has been refreshing the Claude login for too long. "
                    "Try again, or end other `claude` processes.",
                )
            await self.clock.sleep(1 + self.clock.random())
            with contextlib.suppress(CredentialError):
                found = await self._read()
                if good(found.credential):
                    return found
        return None

    async def _read(self) -> StoredLogin:
        return await asyncio.to_thread(self.stores.read, self.clock.wall())

    async def _refresh_locked(self, good: Good) -> Refreshed:
        stored = await self._read()
        if good(stored.credential):
            return Refreshed(stored=stored)
        try:
            return await self._rotate(stored)
        except CredentialError as error:
            if error.kind != "invalid_grant":
                raise
            # A program without our locks may have been faster (a new `claude /login`).
            newer = await self._read()
            if newer.credential.refresh_token == stored.credential.refresh_token:
                raise
        return Refreshed(stored=newer) if good(newer.credential) else await self._rotate(newer)

    async def _rotate(self, stored: StoredLogin) -> Refreshed:
        if stored.credential.refresh_token is None:
            raise CredentialError(
                "expired", f"The Claude login has expired and cannot be refreshed. {LOGIN_AGAIN}"
            )
        await asyncio.to_thread(stored.store.check_writable, stored.document)
        grant = await self.endpoint.refresh(stored.credential)
        unsaved = Unsaved(stored, grant, self.clock.wall())
        return await asyncio.to_thread(self._keep, unsaved)

    def _keep(self, unsaved: Unsaved) -> Refreshed:
        try:
            with self._writing():
                return self._write(unsaved)
        except CredentialError as error:
            if error.kind == "missing":
                raise  # the user has logged out meanwhile
            logger.error("The refreshed Claude login is only in memory: %s", error.message)
            self._write_emergency_copy(unsaved)
            kept = self._with_grant(unsaved, unsaved.stored)
            return Refreshed(stored=kept, lifetime=unsaved.grant.expires_in, unsaved=unsaved)

    def _write(self, unsaved: Unsaved) -> Refreshed:
        """Compare and swap by the refresh token: a login that was written meanwhile is newer than ours."""
        stored, now = unsaved.stored, self.clock.wall()
        document = stored.store.load()
        current = parse(document, stored.store.source, now) if document is not None else None
        if document is None or current is None:
            raise CredentialError("missing", f"Logged out of {stored.store.name}. {LOGIN_AGAIN}")
        if current.refresh_token != stored.credential.refresh_token:
            return Refreshed(stored=StoredLogin(current, stored.store, document))
        kept = self._with_grant(unsaved, StoredLogin(current, stored.store, document))
        stored.store.save(kept.document)
        self._remove_emergency_copies()
        return Refreshed(stored=kept, lifetime=unsaved.grant.expires_in)

    def _with_grant(self, unsaved: Unsaved, stored: StoredLogin) -> StoredLogin:
        grant = unsaved.grant
        credential = replace(
            stored.credential,
            access_token=grant.access_token,
            refresh_token=grant.refresh_token or stored.credential.refresh_token,
            expires_at=unsaved.granted_at + grant.expires_in,
        )
        return StoredLogin(
            credential, stored.store, merged(stored.document, grant, unsaved.granted_at)
        )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        deadline = self.clock.monotonic() + WRITE_LOCK_WAIT
        held = False
        with contextlib.suppress(CredentialError):
            while not (held := self.write_lock.try_acquire()):
                if self.clock.monotonic() >= deadline:
                    break
                self.clock.pause(_WRITE_LOCK_PAUSE)
        try:
            yield
        finally:
            if held:
                self.write_lock.release()

    def _write_emergency_copy(self, unsaved: Unsaved) -> None:
        content = encoded(self._with_grant(unsaved, unsaved.stored).document)
        for path in self.emergency:
            with contextlib.suppress(OSError):
                write_atomically(path, content)
                logger.error(
                    "A copy of the login is in %s. Copy it over the login file yourself.",
                    path,
                )
                return

    def _remove_emergency_copies(self) -> None:
        for path in self.emergency:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
