"""All the places where the login may be, as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from addon.core.types import JsonObject
from addon.credentials.credential import LOGIN_AGAIN, Credential, CredentialError, parse
from addon.credentials.store import CredentialStore, Revision


@dataclass(frozen=True, slots=True)
class Stored:
    """A login and where it was read, which is where it must be written back."""

    credential: Credential
    store: CredentialStore
    document: JsonObject = field(repr=False)


class Vault:
    """Reads all stores and takes the login that lives longest: a Mac may hold an old file beside the Keychain."""

    def __init__(self, stores: Sequence[CredentialStore]) -> None:
        self._stores = tuple(stores)

    def revision(self) -> Revision:
        return tuple(store.revision() for store in self._stores)

    def read(self, now: float) -> Stored:
        """Blocks. Raises CredentialError `missing` or `malformed`. `now`: unix seconds."""
        found: list[Stored] = []
        failures: list[CredentialError] = []
        for store in self._stores:
            try:
                found += _read(store, now)
            except CredentialError as error:
                failures.append(error)
        if found:
            return max(found, key=lambda stored: stored.credential.expires_at or 0.0)
        if failures:
            raise failures[0]
        names = " or ".join(store.name for store in self._stores)
        raise CredentialError("missing", f"No Claude login in {names}. {LOGIN_AGAIN}")


def _read(store: CredentialStore, now: float) -> list[Stored]:
    document = store.load()
    credential = parse(document, store.source, now) if document is not None else None
    return [Stored(credential, store, document)] if document is not None and credential else []
