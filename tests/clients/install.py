"""Coding agents as they are published, installed for one run into folders of their own, or once into a cache.

What is missing to install them is a skip, but never where CI is set.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

HERE = Path(__file__).parent
INSTALL_SECONDS = 500
NEWEST = bool(os.getenv("NEWEST_CLIENTS"))
"""Install the newest versions in place of the pinned ones, as the weekly run does."""
PIP_INSTALL = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile")


def codex(into: Path) -> Path:
    """The `codex` command, of the version that codex/package-lock.json pins."""
    npm_ci(HERE / "codex", into)
    return into / "node_modules" / ".bin" / "codex"


def claude() -> Path:
    """The `claude` program, of the version that claude/package-lock.json pins. It runs by itself: only to install it
    takes Node.js."""
    (program,) = _kept("claude").glob("node_modules/@anthropic-ai/claude-code-*/claude*")
    return program


def agents() -> Path:
    """The `node_modules` that agents/package-lock.json pins."""
    return _kept("agents") / "node_modules"


def _kept(client: str) -> Path:
    """Where the packages of `client` are. They have hundreds of megabytes, so that they are kept in the folder for
    temporary files."""
    lock = (HERE / client / "package-lock.json").read_bytes()
    cache = Path(tempfile.gettempdir()) / f"ccproxy-clients-{os.getuid()}"
    cache.mkdir(mode=0o700, exist_ok=True)
    assert cache.stat().st_uid == os.getuid(), f"{cache} belongs to somebody else"
    version = "newest" if NEWEST else hashlib.sha256(lock).hexdigest()[:12]
    kept = cache / f"{client}-{version}"
    if kept.is_dir():
        return kept
    with tempfile.TemporaryDirectory(dir=cache) as made:
        into = Path(made) / client
        into.mkdir()
        npm_ci(HERE / client, into)
        # another run may have been faster
        if not kept.is_dir():
            into.rename(kept)
    return kept


def ai_sdk(into: Path) -> Path:
    """`ai_sdk/talk.mjs` beside the packages that ai_sdk/package-lock.json pins; `node` runs it."""
    npm_ci(HERE / "ai_sdk", into)
    return Path(shutil.copy(HERE / "ai_sdk" / "talk.mjs", into))


def python(into: Path) -> Path:
    """A Python with the packages that python/requirements.txt pins, each by its hash."""
    _run(sys.executable, "-m", "venv", into)
    made = into / "bin" / "python"
    if NEWEST:
        asked = (HERE / "python" / "requirements.in").read_text(encoding="utf-8").splitlines()
        _run(made, *PIP_INSTALL, *(line.partition("==")[0] for line in asked))
    else:
        lock = HERE / "python" / "requirements.txt"
        _run(made, *PIP_INSTALL, "--only-binary=:all:", "--require-hashes", "-r", lock)
    return made


def aider(into: Path) -> Path:
    """The `aider` command; it pins each of its own requirements."""
    found = next(filter(_makes_environments, ("python3.12", "python3.11", "python3.10")), None)
    if found is None:
        _missing("a Python that aider runs on (3.10 to 3.12)")
    _run(found, "-m", "venv", into)
    _run(into / "bin" / "python", *PIP_INSTALL, "aider-chat==0.86.2")
    return into / "bin" / "aider"


def _makes_environments(python: str) -> bool:
    # pyenv puts a command on PATH for every version, also for those that it refuses to run
    asked = [python, "-c", "import ensurepip, venv"]
    return bool(shutil.which(python)) and not subprocess.run(asked, capture_output=True).returncode


def npm_ci(given: Path, into: Path) -> None:
    """Install into `into` what the two files in `given` pin, or the newest versions."""
    if not (shutil.which("node") and shutil.which("npm")):
        _missing("Node.js and npm")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(given / name, into)
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefix", into)
    if NEWEST:
        package = json.loads((given / "package.json").read_text(encoding="utf-8"))
        names = package["dependencies"] | package.get("optionalDependencies", {})
        _run("npm", "install", *options, *(f"{name}@latest" for name in names))
    else:
        _run("npm", "ci", *options)


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    assert done.returncode == 0, done.stderr


def _missing(what: str) -> NoReturn:
    if os.getenv("CI"):
        pytest.fail(f"CI has not {what}: a client is not tested")
    pytest.skip(f"needs {what}")
