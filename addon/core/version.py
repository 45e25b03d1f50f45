"""The version of ccproxy, and how it was started. Imports the standard library only."""

from __future__ import annotations

import sys
from pathlib import Path

VERSION = "0.1.0"
"""pyproject.toml takes it from here."""
CHECKOUT = (Path(__file__).resolve().parents[2] / "pyproject.toml").is_file()
"""Whether this is a checkout, with a .venv of its own, and not an installed package."""
_SCRIPT = "start.bat" if sys.platform == "win32" else "./start.sh"
STARTED_AS = _SCRIPT if CHECKOUT else "ccproxy"
"""What the user types to start it."""
