"""The version of ccproxy, and how it was started. Imports the standard library only."""

from __future__ import annotations

import sys
import tomllib
from importlib import metadata
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
CHECKOUT = PROJECT.is_file()
"""Whether this is a checkout, with a .venv of its own, and not an installed package."""
_SCRIPT = "start.bat" if sys.platform == "win32" else "./start.sh"
STARTED_AS = _SCRIPT if CHECKOUT else "ccproxy"
"""What the user types to start it."""


def version() -> str:
    """From pyproject.toml in a checkout, from the package's metadata where it is installed."""
    if CHECKOUT:
        return str(tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"])
    return metadata.version("ccproxy")
