"""One file that a crash cannot break: `usage.json` in ccproxy's own directory.

A save writes a new file, syncs it and renames it over the old one, so a reader finds the old or the new one, whole.
The one before stays as `usage.json.prev`. What cannot be read is renamed to `*.corrupt-<time>`, never deleted.

One process owns the directory, by a lock on `usage.lock`. A second one starts with what the file says and then keeps
its own usage in memory only: two writers would undo each other's work.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

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
        self._temp = home / f"usage.json.{os.getpid()}.tmp"
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
            self._sweep()

    def _sweep(self) -> None:
        for orphan in self._home.glob("usage.json.*.tmp"):
            with contextlib.suppress(OSError):
                orphan.unlink()

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
        if self.refusal is not None:
            return
        try:
            _write(self._temp, encode(snapshot, saved_at=self._clock()))
            self._keep_previous()
            self._temp.replace(self._path)
        finally:
            with contextlib.suppress(OSError):
                self._temp.unlink()
        _sync_directory(self._home)

    def _keep_previous(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._prev.unlink()
        try:
            os.link(self._path, self._prev)
        except FileNotFoundError:
            return
        except OSError:
            # No hard links here (FAT, some network drives): for a moment there is only the previous file, which
            # `load` takes as well.
            self._path.replace(self._prev)

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


def _write(path: Path, data: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    # O_EXCL: never through a link that somebody else put there.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    # Makes the rename last through a power cut. Windows cannot open a directory; there it is done without.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
