"""Writes files atomically: a reader finds the old or the new content, never a part, even if this process is killed."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from addon.core.json_codec import JsonError, loads

log = logging.getLogger(__name__)

POSIX = os.name == "posix"
# A damaged or foreign file may have any size; ours are much smaller.
MOST_BYTES = 16 * 1024 * 1024

_REPLACE_TRIES, _REPLACE_PAUSE = 10, 0.05
_ORPHAN_SECONDS = 60.0

type Replace = Callable[[Path, Path], None]


def write_atomically(
    path: Path,
    data: bytes,
    *,
    replace: Replace = os.replace,
    pause: Callable[[float], None] = time.sleep,
    posix: bool = POSIX,
) -> None:
    """Replace the content of `path` (of its target, if it is a link). Mode and owner are kept; a new file gets 0600.

    Raises OSError; the old content is then intact.
    """
    target = path.resolve()
    temporary = _write_temporary(target, data, posix)
    try:
        _replace(temporary, target, replace, pause)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if posix:
        _sync_folder(target.parent)


def check_writable(path: Path, size: int) -> None:
    """Raise OSError if `size` bytes can't be written beside `path` now."""
    target = path.resolve()
    _write_temporary(target, b"\0" * size, posix=False).unlink()


def sweep_orphans(path: Path, now: float) -> None:
    """Remove temporary files that a killed writer left beside `path`, whose name may be a pattern. They may hold tokens
    or prompts, and nobody else removes them."""
    target = path.resolve()
    for orphan in target.parent.glob(f"{_prefix(target)}*"):
        with contextlib.suppress(OSError):
            if now - orphan.stat().st_mtime > _ORPHAN_SECONDS:
                orphan.unlink()


def _write_temporary(target: Path, data: bytes, posix: bool) -> Path:
    descriptor, name = tempfile.mkstemp(prefix=_prefix(target), dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if posix:
                _copy_rights(target, descriptor)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _copy_rights(target: Path, descriptor: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        old = target.stat()
        # Only root can change the owner; other users own the files that they may replace.
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, old.st_mode & 0o777)


def _replace(
    temporary: Path, target: Path, replace: Replace, pause: Callable[[float], None]
) -> None:
    """Retries: Windows does not replace a file while another process has it open."""
    for _ in range(_REPLACE_TRIES - 1):
        try:
            return replace(temporary, target)
        except PermissionError:
            pause(_REPLACE_PAUSE)
    return replace(temporary, target)


def _sync_folder(folder: Path) -> None:
    """Make the rename survive a power cut. Some network file systems can't; the file has been replaced all the same."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _prefix(target: Path) -> str:
    return f"{target.name}.ccproxy-"


NO_WAITING = getattr(os, "O_NONBLOCK", 0)
"""To open a file for writing: a pipe in its place, which nobody reads, is an error, and does not block for ever."""


class NoFileOfOurs(OSError):
    """What is in a file's place would block whoever opens it, or fill memory."""


def read_file(path: Path, most: int = MOST_BYTES) -> bytes:
    """Raises OSError; NoFileOfOurs for what is not a regular file (a pipe would block for ever) or has more bytes."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise NoFileOfOurs(errno.EINVAL, "it is not a regular file", str(path))
    if about.st_size > most:
        raise NoFileOfOurs(errno.EFBIG, f"it is bigger than {most} bytes", str(path))
    return path.read_bytes()


def read_json(path: Path) -> Any | None:
    """The decoded content; None if the file is missing, unreadable, too large or not JSON."""
    try:
        return loads(read_file(path))
    except (OSError, JsonError):
        return None


def write_json(path: Path, value: Any) -> bool:
    """Replace the file; a new one is readable by its owner only. Returns False, and logs a warning, if that fails."""
    data = json.dumps(value, separators=(",", ":")).encode()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        log.warning("Could not save %s: %s", path, error)
        return False
    return True
