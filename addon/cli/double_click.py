"""start.bat opened by a double click: asks once about the tunnel, and keeps the window open when something is wrong."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from addon.core.environment import env_file, environment
from addon.core.settings import Settings, SettingsError

BY_EXPLORER = re.compile(r'/c ""[^"]+\.bat" "$', re.IGNORECASE)
"""How `cmd` is called for it: the registry's command for a .bat is `"%1" %*`. A terminal's call ends in `""`, or has
none of this."""
QUESTION = "Also open a tunnel for Cursor? [y/N] "
VARIABLE = "DOUBLE_CLICK_TUNNEL"


def start(run: Callable[[str], int]) -> int:
    """`run` the command that is meant, and return how it ended."""
    try:
        variables = environment()
        opened = BY_EXPLORER.search(variables.get("CCPROXY_OPENED_BY", "")) is not None
        tunnel = opened and wants_tunnel(Settings.from_env(variables), env_file(), input)
    except (EOFError, SettingsError):  # nobody to ask; what is wrong with the settings, `run` says
        tunnel = False
    ended = run("tunnel" if tunnel else "run")
    if opened and ended != 0:
        input("Press Enter to close this window.")
    return ended


def wants_tunnel(settings: Settings, file: Path, ask: Callable[[str], str]) -> bool:
    """As it was answered before, or now; the answer is kept in `file`."""
    if settings.double_click_tunnel is not None:
        return settings.double_click_tunnel
    wanted = ask(QUESTION).strip().lower() in ("y", "yes")
    try:
        _append(file, f"{VARIABLE}={str(wanted).lower()}")
    except OSError as error:
        sys.stderr.write(f"{file} can't be written ({error.strerror}): you are asked again.\n")
    return wanted


def _append(file: Path, line: str) -> None:
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    between = "" if not text or text.endswith("\n") else "\n"
    with file.open("a", encoding="utf-8") as out:
        out.write(f"{between}{line}\n")
