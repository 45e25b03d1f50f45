"""Loads and saves `usage.json` in CCPROXY_HOME, such that a crash can't damage it.

A file is replaced as a whole; the previous one is kept as `usage.json.prev`. A file that can't be read is renamed to
`*.corrupt-<time>`, never deleted.

One process owns the directory, by a lock on `usage.lock`. A second process starts with the content of the file, and
then keeps its own usage in memory only: two writers would overwrite each other's data.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import field
from pathlib import Path

from filelock import FileLock, Timeout

from addon.core.files import NoFileOfOurs, read_file, sweep_orphans, write_atomically
from addon.core.frozen import frozen
from addon.usage.snapshot_format import Snapshot, Unreadable, decode, encode

MAX_BYTES = 64 * 1024 * 1024
"""Twenty times the size of a full ledger. A bigger file is not ours, and reading it could use up the memory."""


@frozen
class Loaded:
    snapshot: Snapshot | None
    problems: list[str] = field(default_factory=list)
    """For people; empty if there was none, or no file yet."""


class SnapshotFile:
    """Owns the directory `home` from `open` to `close`; if not, `refusal` says why."""

    def __init__(self, home: Path, clock: Callable[[], float]) -> None:
        self._home = home
        self._path = home / "usage.json"
        self._prev = home / "usage.json.prev"
        self._clock = clock
        self._lock = FileLock(home / "usage.lock", timeout=0, mode=0o600, thread_local=False)
        self.refusal: str | None = "not opened yet"
        """Why nothing is saved; None if it is."""

    def open(self) -> None:
        """Lock the directory if possible, and remove temporary files of processes that were killed."""
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
        """The newest readable snapshot, or None."""
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
        """Write `snapshot` if this process owns the directory. From any thread, but one at a time. Raises `OSError`,
        and leaves the file as it was."""
        if self.refusal is None:
            data = encode(snapshot, saved_at=self._clock())
            write_atomically(self._path, data, replace=self._keep_previous_and_replace)

    def _keep_previous_and_replace(self, temporary: Path, path: Path) -> None:
        # On Windows this may be called again after a failure: then `path` may have become the previous file already.
        if path.exists():
            self._prev.unlink(missing_ok=True)
            try:
                os.link(path, self._prev)
            except OSError:
                # FAT and some network drives have no hard links: for a moment there is only the previous file, which
                # `load` reads as well.
                path.replace(self._prev)
        temporary.replace(path)

    def close(self) -> None:
        """Unlock the directory. May be called twice."""
        self.refusal = "closed"
        self._lock.release()


def _read(path: Path) -> bytes:
    try:
        return read_file(path, MAX_BYTES)
    except NoFileOfOurs as error:
        raise Unreadable(str(error.strerror)) from None
