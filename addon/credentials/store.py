"""Stores of a login: their interface, the credentials file, and the choice among several stores."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Protocol

from addon.core.files import (
    POSIX,
    Replace,
    check_writable,
    read_file,
    sweep_orphans,
    write_atomically,
)
from addon.core.frozen import frozen
from addon.core.json_codec import JsonError, loads
from addon.core.types import JsonObject
from addon.credentials.credential import (
    LOGIN_AGAIN,
    Credential,
    CredentialError,
    LoginSource,
    parse,
)

logger = logging.getLogger(__name__)

_READS, _PAUSE_BETWEEN_READS = 4, 0.33

type Revision = tuple[object, ...]
"""A value that changes if the stored document may have changed; opaque."""


class CredentialStore(Protocol):
    """All methods except `revision` block; call them from a worker thread."""

    @property
    def source(self) -> LoginSource:
        """The kind of store, for people."""

    @property
    def name(self) -> str:
        """The name of this store, for people."""

    def revision(self) -> Revision:
        """Cheap enough to call for each request."""

    def load(self) -> JsonObject | None:
        """The document; None if there is none. Raises CredentialError `malformed`."""

    def check_writable(self, document: JsonObject) -> None:
        """Raises CredentialError `unwritable` if a document of this size could not be saved now."""

    def save(self, document: JsonObject) -> None:
        """Replace the document. Raises CredentialError `unwritable`; the old document is then intact."""


@dataclass(eq=False, repr=False)
class FileStore:
    """`.credentials.json`, where Claude Code stores the login on Linux and Windows."""

    path: Path
    _: KW_ONLY
    replace: Replace = os.replace
    pause: Callable[[float], None] = time.sleep
    wall: Callable[[], float] = time.time
    source: LoginSource = field(default="file", init=False)

    @property
    def name(self) -> str:
        return str(self.path)

    def revision(self) -> Revision:
        try:
            stat = self.path.stat()
        except OSError:
            return ()
        # A chmod that makes the file readable changes the ctime only.
        return (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_size)

    def load(self) -> JsonObject | None:
        # Not every program writes this file atomically: an incomplete document is complete a moment later.
        for _ in range(_READS - 1):
            try:
                return self._read()
            except CredentialError:
                self.pause(_PAUSE_BETWEEN_READS)
        return self._read()

    def _read(self) -> JsonObject | None:
        try:
            self._warn_if_open()
            document = loads(read_file(self.path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CredentialError(
                "malformed", f"{self.path} cannot be read: {error.strerror}."
            ) from error
        except JsonError:
            # Without the cause, which quotes the file.
            raise CredentialError("malformed", f"{self.path} is not JSON. {LOGIN_AGAIN}") from None
        if not isinstance(document, dict):
            raise CredentialError(
                "malformed", f"{self.path} does not contain a JSON object. {LOGIN_AGAIN}"
            )
        return document

    def _warn_if_open(self) -> None:
        if POSIX and self.path.stat().st_mode & 0o077:
            logger.warning(
                "Other users of this machine can read %s. Run `chmod 600` on it.", self.path
            )

    def check_writable(self, document: JsonObject) -> None:
        try:
            check_writable(self.path, len(encoded(document)))
        except OSError as error:
            raise self._unwritable(error) from error

    def save(self, document: JsonObject) -> None:
        try:
            sweep_orphans(self.path, self.wall())
            write_atomically(self.path, encoded(document), replace=self.replace, pause=self.pause)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> CredentialError:
        return CredentialError(
            "unwritable",
            f"{self.path} cannot be written ({error.strerror}), so a refreshed login could not be saved. "
            "Make its folder writable.",
        )


def encoded(document: JsonObject) -> bytes:
    """The document as one line of ASCII: `security` prints anything else in hexadecimal."""
    return json.dumps(document, separators=(",", ":")).encode("ascii")


@frozen
class StoredLogin:
    """A login, and the store and the document from which it was read and to which it must be written back."""

    credential: Credential
    store: CredentialStore
    document: JsonObject = field(repr=False)


@dataclass(eq=False, repr=False)
class LoginStores:
    """Reads all stores and uses the login that expires last: a Mac may have an old file beside the Keychain."""

    stores: Sequence[CredentialStore]

    def revision(self) -> Revision:
        return tuple(store.revision() for store in self.stores)

    def read(self, now: float) -> StoredLogin:
        """Blocks. Raises CredentialError `missing` or `malformed`. `now`: unix seconds."""
        found: list[StoredLogin] = []
        failures: list[CredentialError] = []
        for store in self.stores:
            try:
                found += _read(store, now)
            except CredentialError as error:
                failures.append(error)
        if found:
            return max(found, key=lambda stored: stored.credential.expires_at or 0.0)
        if failures:
            raise failures[0]
        names = " or ".join(store.name for store in self.stores)
        raise CredentialError("missing", f"No Claude login in {names}. {LOGIN_AGAIN}")


def _read(store: CredentialStore, now: float) -> list[StoredLogin]:
    document = store.load()
    credential = parse(document, store.source, now) if document is not None else None
    return [StoredLogin(credential, store, document)] if document is not None and credential else []
