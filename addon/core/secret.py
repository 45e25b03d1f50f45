"""The proxy's own secret, which requests through a tunnel must carry: created once and stored in CCPROXY_HOME."""

from __future__ import annotations

import dataclasses
import os
import secrets
from pathlib import Path

from addon.core.files import read_file
from addon.core.settings import Settings, SettingsError

PREFIX = "sk-ccproxy-"
"""Some clients accept a key for OpenAI only if it begins with `sk-`."""
RANDOM_BYTES = 24
SHORTEST = 22
"""Characters: 128 bits in base64. A shorter file was truncated, or is not ours."""


def secret_file(home: Path) -> Path:
    return home / "secret"


def stored_secret(home: Path) -> str | None:
    """The secret that an earlier start has stored; None if there is none. Raises SettingsError if it can't be used."""
    path = secret_file(home)
    try:
        secret = read_file(path).decode().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"PROXY_SECRET_KEY: {path} cannot be read: {error}") from None
    if len(secret) < SHORTEST:
        raise SettingsError(
            f"PROXY_SECRET_KEY: {path} contains no usable secret. Delete it; ccproxy then creates a new one."
        )
    return secret


def keep_secret(home: Path) -> str:
    """The stored secret; created if there is none. Raises SettingsError, also if it can't be stored."""
    found = stored_secret(home)
    if found is not None:
        return found
    path = secret_file(home)
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        # O_EXCL: if two processes start together, the second one fails instead of replacing the secret of the first.
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise SettingsError(
            f"CCPROXY_HOME: the proxy's secret can't be stored in {path} ({error.strerror})."
        ) from None
    secret = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secret + "\n")
    return secret


def with_stored_secret(settings: Settings) -> Settings:
    """The settings with the stored secret, unless PROXY_SECRET_KEY names another. Raises SettingsError."""
    if settings.secret is not None:
        return settings
    return dataclasses.replace(settings, secret=stored_secret(settings.home))
