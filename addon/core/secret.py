"""The proxy's own secret: made once, kept in CCPROXY_HOME, given to whoever comes through a tunnel."""

from __future__ import annotations

import dataclasses
import os
import secrets
from pathlib import Path

from addon.core.settings import Settings, SettingsError

PREFIX = "sk-ccproxy-"
"""Some clients take nothing for an OpenAI key that does not begin with `sk-`."""
RANDOM_BYTES = 24
SHORTEST = 22
"""Characters: 128 bits as base64. A file that holds less was cut off, or is not ours."""


def secret_file(home: Path) -> Path:
    return home / "secret"


def stored_secret(home: Path) -> str | None:
    """The secret that an earlier start has kept; None if there is none. Raises SettingsError when it can't be used."""
    path = secret_file(home)
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"PROXY_SECRET_KEY: {path} cannot be read: {error}") from None
    if len(secret) < SHORTEST:
        raise SettingsError(
            f"PROXY_SECRET_KEY: {path} holds no usable secret. Delete it, and a new one is made."
        )
    return secret


def keep_secret(home: Path) -> str:
    """The stored secret, made now if there is none. Raises SettingsError, also when it can't be kept."""
    found = stored_secret(home)
    if found is not None:
        return found
    path = secret_file(home)
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        # O_EXCL: when two start together, one makes it and the other says so instead of replacing it
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise SettingsError(
            f"CCPROXY_HOME: the proxy's secret can't be kept in {path} ({error.strerror})."
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
