"""A login that can be read, and nothing else."""

from __future__ import annotations

from typing import Any

from addon.credentials.credential import Credential, CredentialError
from addon.credentials.login import CredentialStatus


class ReadableLogin:
    """Holds a credential, or the error that reading it raises."""

    def __init__(self, found: Credential | CredentialError) -> None:
        self.found = found

    async def read(self) -> Credential:
        if isinstance(self.found, CredentialError):
            raise self.found
        return self.found

    async def access_token(self, force_refresh_of: str | None = None) -> str:
        raise AssertionError("who only looks asks for no token")

    def status(self) -> CredentialStatus:
        raise AssertionError("who only looks reads the login itself")

    async def drain(self) -> None:
        raise AssertionError("there is nothing to wait for")


def stored(**times: Any) -> Credential:
    return Credential(access_token="t", source="file", **{"refresh_token": "r", **times})
