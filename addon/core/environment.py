"""The one place that reads the process's environment."""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import dotenv_values

from addon.core.settings import SettingsError

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """The process's variables, over those of the `.env` beside `ccproxy_addon.py`. Raises SettingsError."""
    file = env_file()
    try:
        from_file = dotenv_values(file) if file.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} cannot be read: {error}. Save it as text in UTF-8.") from None
    return {name: value for name, value in from_file.items() if value is not None} | dict(
        os.environ
    )


def env_file() -> Path:
    return Path(os.environ.get("CCPROXY_ENV_FILE", ROOT / ".env"))


def inherited(**more: str) -> dict[str, str]:
    """The environment for a process of ours: this process's own, without what only `.env` says, and `more`."""
    return dict(os.environ) | more
