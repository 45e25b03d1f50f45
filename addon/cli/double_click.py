"""start.bat opened by a double click: asks once about the tunnel, and keeps the window open when something is wrong.

Imports the standard library only: installing the packages can fail, too.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from addon.core.settings import Settings

BY_EXPLORER = re.compile(r'/c ""[^"]+\.bat" "$', re.IGNORECASE)
"""How `cmd` is called for it: the registry's command for a .bat is `"%1" %*`. A terminal's call ends in `""`, or has
none of this."""
QUESTION = "Also open a tunnel for Cursor? [y/N] "
VARIABLE = "DOUBLE_CLICK_TUNNEL"


def start(run: Callable[[str], int]) -> int:
    """`run` the command that is meant, and return how it ended."""
    try:
        ended = run("tunnel" if by_explorer() and _asked_for_tunnel() else "run")
    except SystemExit as error:  # how the launcher ends, with its message written
        ended = error.code if isinstance(error.code, int) else 1
    if ended != 0:
        hold_window()
    return ended


def by_explorer() -> bool:
    # the process's own variable, from start.bat: a .env that can't be read must not matter here
    return BY_EXPLORER.search(os.environ.get("CCPROXY_OPENED_BY", "")) is not None  # noqa: TID251


def hold_window() -> None:
    """Waits for Enter if Explorer opened the window: it closes when this process ends, with the error unread."""
    if by_explorer():
        with contextlib.suppress(EOFError):
            input("Press Enter to close this window.")


def _asked_for_tunnel() -> bool:
    from addon.core.environment import env_file, environment
    from addon.core.settings import Settings, SettingsError

    try:
        return wants_tunnel(Settings.from_env(environment()), env_file(), input)
    except (
        EOFError,
        SettingsError,
    ):  # nobody to ask; what is wrong with the settings, the command says
        return False


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
