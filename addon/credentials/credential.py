"""Defines a Claude login, and reads and updates it in the JSON document that Claude Code stores."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from addon.core.frozen import frozen
from addon.core.types import JsonObject

type CredentialErrorKind = Literal[
    "missing",
    "malformed",
    "expired",
    "refused",
    "invalid_grant",
    "lock_timeout",
    "unknown_outcome",
    "unwritable",
    "rate_limited",
    "network",
]
type LoginSource = Literal["environment", "file", "keychain"]

ENTRY = "claudeAiOauth"
"""The login's key in the document; the other keys (`mcpOAuth`, ...) belong to Claude Code."""

LOGIN_AGAIN = "Run `claude /login`."

_WORD = re.compile(r"[!-~]+")
_YEAR = 366 * 86400.0
_MILLISECONDS_FROM = 1e11
"""In seconds this is the year 5138, so any larger time is in milliseconds."""


class CredentialError(Exception):
    """There is no usable login. `message` says what to do, and never holds a secret."""

    def __init__(
        self, kind: CredentialErrorKind, message: str, *, retry_after: float | None = None
    ) -> None:
        """`retry_after`: seconds to wait before the next request, if the token endpoint said so."""
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after


@frozen(kw_only=True)
class Credential:
    """A login. Times are in unix seconds; None: unknown."""

    access_token: str = field(repr=False)
    source: LoginSource
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    refresh_token_expires_at: float | None = None
    """When a new `claude /login` is needed; a refresh does not change it."""
    scopes: tuple[str, ...] = ()
    subscription_type: str | None = None
    client_id: str | None = None

    def needs_login(self, now: float) -> bool:
        """Whether it has expired and no refresh can help."""
        if self.refresh_token is None:
            return self.expires_at is not None and self.expires_at <= now
        ends = self.refresh_token_expires_at
        return ends is not None and ends <= now


@frozen(kw_only=True)
class Grant:
    """The new tokens from the token endpoint."""

    access_token: str = field(repr=False)
    expires_in: float
    """Seconds."""
    refresh_token: str | None = field(default=None, repr=False)
    """None: the old one remains valid."""


def parse(document: JsonObject, source: LoginSource, now: float) -> Credential | None:
    """The login in a document; None if there is none.

    Raises CredentialError `malformed` if it can't be read.
    """
    entry = document.get(ENTRY)
    if entry is None:
        return None
    if not isinstance(entry, dict):
        raise CredentialError(
            "malformed", f"`{ENTRY}` in the {source} is not an object. {LOGIN_AGAIN}"
        )
    access_token = _text(entry, "accessToken")
    if access_token is None:
        return None
    if word(access_token) is None:
        raise CredentialError(
            "malformed",
            f"`accessToken` in the {source} contains characters that are not allowed in a token. {LOGIN_AGAIN}",
        )
    return Credential(
        access_token=access_token,
        source=source,
        refresh_token=word(entry.get("refreshToken")),
        expires_at=unix_seconds(entry.get("expiresAt"), now),
        refresh_token_expires_at=unix_seconds(entry.get("refreshTokenExpiresAt"), now),
        scopes=_scopes(entry.get("scopes")),
        subscription_type=_text(entry, "subscriptionType"),
        client_id=word(entry.get("clientId")),
    )


def merged(document: JsonObject, grant: Grant, now: float) -> JsonObject:
    """The document with the new tokens; everything else is unchanged, in the same order.

    Claude Code logs out if `scopes` or `expiresAt` are missing, and switches to API billing if `subscriptionType` is
    (claude-code#85262, hermes-agent#83338).
    """
    entry = {**document[ENTRY], "accessToken": grant.access_token}
    if grant.refresh_token is not None:
        entry["refreshToken"] = grant.refresh_token
    entry["expiresAt"] = int((now + grant.expires_in) * 1000)
    return {**document, ENTRY: entry}


def unix_seconds(value: object, now: float) -> float | None:
    """A stored time in seconds or milliseconds; None if it is unknown or implausibly far away."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 < value < (now + _YEAR) * 1000:
        return None
    seconds = value / 1000 if value >= _MILLISECONDS_FROM else float(value)
    return seconds if seconds < now + _YEAR else None


def digest(token: str | None) -> str:
    """A hash of the token, to compare it later without storing it."""
    return hashlib.sha256((token or "").encode("utf-8", "replace")).hexdigest()[:16]


def word(value: object) -> str | None:
    """`value` if it may be sent in a header: visible ASCII (RFC 6750, section 2.1). A line break in a token would start
    another header."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _text(entry: Mapping[str, Any], key: str) -> str | None:
    value = entry.get(key)
    return value if isinstance(value, str) and value else None


def _scopes(value: object) -> tuple[str, ...]:
    return tuple(filter(None, map(word, value))) if isinstance(value, list) else ()
