"""One file that a crash cannot break: `usage.json` in ccproxy's own directory.

A save writes a new file, syncs it and renames it over the old one, so a reader finds the old or the new one, whole.
The one before stays as `usage.json.prev`. What cannot be read is renamed to `*.corrupt-<time>`, never deleted.

One process owns the directory, by a lock on `usage.lock`. A second one starts with what the file says and then keeps
its own usage in memory only: two writers would undo each other's work.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from addon.core.files import sweep_orphans, write_atomically
from addon.usage.snapshot_format import Snapshot, Unreadable, decode, encode

MAX_BYTES = 64 * 1024 * 1024
"""Twenty times what a full ledger needs. A bigger file is not ours, and reading it could take all memory."""


@dataclass(frozen=True, slots=True)
class Loaded:
    snapshot: Snapshot | None
    problems: list[str] = field(default_factory=list)
    """For people; empty when all was well, which includes that there was no file yet."""


class SnapshotFile:
    """Owns the directory `home` from `open` to `close`, or says in `refusal` why it does not."""

    def __init__(self, home: Path, clock: Callable[[], float]) -> None:
        self._home = home
        self._path = home / "usage.json"
        self._prev = home / "usage.json.prev"
        self._clock = clock
        self._lock = FileLock(home / "usage.lock", timeout=0, mode=0o600, thread_local=False)
        self.refusal: str | None = "not opened yet"
        """Why nothing is saved; None when it is."""

    def open(self) -> None:
        """Take the directory, if that is possible, and sweep what a killed process left in it."""
        try:
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            self.refusal = f"another ccproxy keeps its usage in {self._home}"
        # filelock raises NotImplementedError on file systems without locks.
        except (OSError, NotImplementedError) as error:
            self.refusal = f"{self._home} cannot be written: {error}"
        else:
            self.refusal = None
            sweep_orphans(self._path, now=math.inf)

    def load(self) -> Loaded:
        """The newest snapshot that can be read, or None."""
        problems: list[str] = []
        for path in (self._path, self._prev):
            try:
                return Loaded(decode(_read(path)), problems)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except Unreadable as error:
                problems.append(f"{path} cannot be used: {error}.{self._quarantine(path)}")
            except OSError as error:
                problems.append(f"{path} cannot be read: {error}.")
        return Loaded(None, problems)

    def _quarantine(self, path: Path) -> str:
        if self.refusal is not None:
            return ""
        aside = path.with_name(f"{path.name}.corrupt-{int(self._clock())}")
        try:
            path.replace(aside)
        except OSError as error:
            return f" It could not be renamed: {error}."
        return f" It is kept as {aside.name}."

    def save(self, snapshot: Snapshot) -> None:
        """Write `snapshot`, if this process owns the directory. Any thread, one at a time. Raises `OSError`, and
        then the file is what it was."""
        if self.refusal is None:
            data = encode(snapshot, saved_at=self._clock())
            write_atomically(self._path, data, replace=self._keep_previous_and_replace)

    def _keep_previous_and_replace(self, temporary: Path, path: Path) -> None:
        # Called again when Windows refused: then the last file may be the previous one already.
        if path.exists():
            self._prev.unlink(missing_ok=True)
            try:
                os.link(path, self._prev)
            except OSError:
                # No hard links here (FAT, some network drives): for a moment there is only the previous file, which
                # `load` takes as well.
                path.replace(self._prev)
        temporary.replace(path)

    def close(self) -> None:
        """Give the directory up. May be called twice."""
        self.refusal = "closed"
        self._lock.release()


def _read(path: Path) -> bytes:
    # Looked at before it is opened: opening a pipe would wait for ever.
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise Unreadable("it is no regular file")
    if about.st_size > MAX_BYTES:
        raise Unreadable(f"it is bigger than {MAX_BYTES} bytes")
    return path.read_bytes()
