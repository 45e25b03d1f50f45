"""What start.sh and start.bat do once they have found a Python: a .venv beside them with the packages in it.

Imports the standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

from addon.cli.double_click import hold_window

RUNTIME, TESTS = "requirements.txt", "requirements-dev.txt"
OLDEST = (3, 12)
PROGRAM = Path(__file__).parent
"""This folder, which Python runs by its `__main__.py`."""
LAST_LINES = 15
"""Of pip's output, shown when it fails."""


class SetUpFailed(Exception):
    """There is no usable .venv; the message says what to do."""


def prepare(root: Path, arguments: Sequence[str], *, with_tests: bool = False) -> int | None:
    """See to `root`'s .venv. Runs `arguments` in it and returns how that ended; None: this already is its Python."""
    venv = root / ".venv"
    try:
        if not is_own(venv):
            python = make(venv)
            return become([str(python), str(PROGRAM), "bootstrap", *arguments])
        install(venv, root, TESTS if with_tests else RUNTIME)
    except SetUpFailed as error:
        sys.stderr.write(f"{error}\n")
        hold_window()
        return 1
    return None


def is_own(venv: Path) -> bool:
    """Whether this process is the Python of `venv`."""
    return venv.exists() and Path(sys.prefix).samefile(venv)


def python_of(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def make(venv: Path) -> Path:
    """The Python of `venv`, which is made if it can't be used. Raises SetUpFailed."""
    python = python_of(venv)
    if _works(python):
        return python
    if venv.is_symlink():
        raise SetUpFailed(f"{venv} leads to a folder without a usable Python. Remove that link.")
    if venv.exists() and not (venv / "pyvenv.cfg").is_file():
        raise SetUpFailed(f"{venv} is not a virtual environment. Move it away, or remove it.")
    if venv.exists():
        shutil.rmtree(venv)
    _say(f"Making {venv} with Python {sys.version.split()[0]} ...")
    made = subprocess.run([sys.executable, "-m", "venv", str(venv)], check=False)  # noqa: S603
    if made.returncode != 0 or not _works(python):
        shutil.rmtree(venv, ignore_errors=True)
        raise SetUpFailed(
            "Python could not make a virtual environment; the lines above say why."
            " On Debian and Ubuntu: apt install python3-venv."
        )
    return python


def _works(python: Path) -> bool:
    """Whether it is new enough, and knows that it is that folder's: one that does not would start itself again."""
    command = [
        str(python),
        "-c",
        "import sys; print(*sys.version_info[:2]); print(sys.prefix)",
    ]
    try:
        said = subprocess.run(command, check=False, capture_output=True, text=True).stdout  # noqa: S603
    except OSError:
        return False
    version, _, prefix = said.strip().partition("\n")
    if not prefix or tuple(map(int, version.split())) < OLDEST:
        return False
    return Path(prefix).samefile(python.parents[1])


def install(venv: Path, root: Path, requirements: str) -> None:
    """Install what `requirements` lists, unless that has been done. Raises SetUpFailed."""
    stamp = venv / f".installed-{requirements}"
    wanted = "".join((root / name).read_text(encoding="utf-8") for name in (RUNTIME, requirements))
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    if find_spec("pip") is None:  # as uv makes it
        subprocess.run([sys.executable, "-m", "ensurepip"], check=False, stdout=subprocess.DEVNULL)
    _say("Installing packages into .venv. Only the first start takes this minute ...")
    lines = _pip_install(root / requirements)
    if lines is not None:
        raise SetUpFailed(
            "\n".join(lines[-LAST_LINES:])
            + "\nInstalling the packages failed; the lines above say why. Is this machine online?"
        )
    stamp.write_text(wanted, encoding="utf-8")


def _pip_install(file: Path) -> list[str] | None:
    """What pip said, if it failed."""
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    command = [sys.executable, "-m", "pip", "install", *options, "-r", str(file)]
    progress = Progress(sys.stdout)
    lines: list[str] = []
    with subprocess.Popen(  # noqa: S603
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as pip:
        for line in pip.stdout or ():
            lines.append(line.rstrip())
            progress.show(line)
    progress.end()
    return lines if pip.returncode else None


class Progress:
    """One line that changes in a terminal; nothing in a file."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.live = stream.isatty()
        self.packages = 0

    def show(self, line: str) -> None:
        """`line`: of pip's output."""
        words = line.split()
        if not self.live or not words:
            return
        if words[0] == "Collecting":
            self.packages += 1
            self._write(f"  package {self.packages}: {words[1]}")
        elif line.startswith("Installing collected packages"):
            self._write(f"  {self.packages} packages: installing")

    def end(self) -> None:
        if self.packages:
            self._write("")

    def _write(self, text: str) -> None:
        self.stream.write(f"\r\x1b[K{text[:78]}")
        self.stream.flush()


def become(command: Sequence[str]) -> int:
    """Run it in place of this process, where the system can."""
    if sys.platform == "win32":  # exec there returns to the shell at once
        return subprocess.call(command)  # noqa: S603
    os.execv(command[0], list(command))  # noqa: S606


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
