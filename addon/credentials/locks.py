"""Locks that keep two programs from refreshing the same login at the same time.

A refresh token can be used once; using it again may end the whole login. Claude Code guards its refresh with the npm
package proper-lockfile: whoever creates a certain folder holds the lock, and updates its modification time every few
seconds. `filelock` does not support that protocol. The original ccproxy has a lock file of its own, and so does this
one.

All of these block; call them from a worker thread.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from addon.core.clock import SYSTEM, Clock
from addon.core.files import NoFileOfOurs, read_file
from addon.core.frozen import frozen
from addon.credentials.credential import CredentialError


class TryLock(Protocol):
    def try_acquire(self) -> bool:
        """Acquire the lock if it is free. Raises CredentialError if waiting will not help."""

    def release(self) -> None:
        """Release the lock if it is still ours."""


@frozen(kw_only=True)
class LockTiming:
    """Seconds. The defaults are those of Claude Code's lock."""

    stale: float = 60.0
    heartbeat: float = 5.0
    watch: float = 6.0
    """One heartbeat and a margin: if a lock does not change for so long, its holder is dead."""


DEFAULT_TIMING = LockTiming()
MARKER_TIMING = LockTiming(stale=30.0)

type Mark = tuple[object, ...]
"""The state of a lock. Equal marks: nobody has touched the lock in between."""


class _Watch:
    """Decides whether the holder of a lock is dead. The age of the lock is not enough: it looks too high after the
    clock jumped or the machine was suspended, and a lock dated in the future never gets old (claude-code#95739). So the
    lock is watched as well.
    """

    def __init__(self, timing: LockTiming, clock: Clock) -> None:
        self._timing = timing
        self._clock = clock
        self._mark: Mark = ()
        self._since = 0.0

    def is_dead(self, mark: Mark, dated: float) -> bool:
        if mark != self._mark:
            self._mark, self._since = mark, self._clock.monotonic()
        watched = self._clock.monotonic() - self._since
        old = self._clock.wall() - dated > self._timing.stale
        return watched >= self._timing.stale or (old and watched >= self._timing.watch)


class FolderLock:
    """proper-lockfile's lock at `path`. `optional`: if the folder can't be created, the lock counts as acquired."""

    def __init__(
        self,
        path: Path,
        *,
        optional: bool = False,
        timing: LockTiming = DEFAULT_TIMING,
        clock: Clock = SYSTEM,
    ) -> None:
        self.path = path
        self.compromised = False
        """Another process took the lock while we held it."""
        self._optional = optional
        self._timing = timing
        self._clock = clock
        self._watch = _Watch(timing, clock)
        self._mark: Mark = ()
        self._stop = threading.Event()
        self._heart: threading.Thread | None = None

    def try_acquire(self) -> bool:
        try:
            if not self._make() and not (self._break_if_dead() and self._make()):
                return False
            self._touch()
        except OSError as error:
            if self._optional:
                return True
            raise CredentialError(
                "unwritable", f"{self.path} cannot be created ({error.strerror})."
            ) from error
        self.compromised = False
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, args=(self._stop,), daemon=True)
        self._heart.start()
        return True

    def release(self) -> None:
        if self._heart is None:
            return
        self._stop.set()
        self._heart.join()
        self._heart = None
        with contextlib.suppress(OSError):
            if not self.compromised and self._look() == self._mark:
                self.path.rmdir()

    def _make(self) -> bool:
        try:
            self.path.mkdir()
        except FileExistsError:
            return False
        except FileNotFoundError:
            # With the login in the Keychain, Claude Code's folder need not exist.
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._make()
        return True

    def _break_if_dead(self) -> bool:
        try:
            found = self.path.stat()
            if not stat.S_ISDIR(found.st_mode):
                raise self._in_the_way("is not a folder")
            if self._watch.is_dead(_mark(found), found.st_mtime) and self._look() == _mark(found):
                self.path.rmdir()
                return True
        except FileNotFoundError:
            return True
        except OSError as error:
            raise self._in_the_way(f"cannot be removed ({error.strerror})") from error
        return False

    def _in_the_way(self, why: str) -> CredentialError:
        return CredentialError(
            "lock_timeout",
            f"The lock {self.path} {why}. If no `claude` is running, remove it yourself.",
        )

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(self._timing.heartbeat):
            try:
                if self._look() != self._mark:
                    self.compromised = True
                    return
                self._touch()
            except OSError:
                self.compromised = True
                return

    def _touch(self) -> None:
        now = int(self._clock.wall() * 1e9)
        os.utime(self.path, ns=(now, now))
        self._mark = self._look()

    def _look(self) -> Mark:
        return _mark(self.path.stat())


def _mark(found: os.stat_result) -> Mark:
    return (found.st_ino, found.st_mtime_ns)


class MarkerLock:
    """The original ccproxy's lock: a file that contains its time of creation, in milliseconds."""

    def __init__(
        self, path: Path, *, timing: LockTiming = MARKER_TIMING, clock: Clock = SYSTEM
    ) -> None:
        self.path = path
        self._clock = clock
        self._watch = _Watch(timing, clock)
        self._mark: Mark = ()

    def try_acquire(self) -> bool:
        try:
            return self._make() or (self._break_if_dead() and self._make())
        except NoFileOfOurs:
            return True  # not the original's lock, which is never a folder or a pipe
        except OSError as error:
            raise CredentialError(
                "unwritable", f"{self.path} cannot be created ({error.strerror})."
            ) from error

    def release(self) -> None:
        with contextlib.suppress(OSError):
            if self._mark and self._look()[0] == self._mark:
                self.path.unlink()
        self._mark = ()

    def _make(self) -> bool:
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"%d" % int(self._clock.wall() * 1000))
        self._mark = self._look()[0]
        return True

    def _break_if_dead(self) -> bool:
        try:
            mark, dated = self._look()
            if self._watch.is_dead(mark, dated) and self._look()[0] == mark:
                self.path.unlink()
                return True
        except FileNotFoundError:
            return True
        return False

    def _look(self) -> tuple[Mark, float]:
        content = read_file(self.path)
        found = self.path.stat()
        # It may be empty, since it is written after it was created; and other content was seen, too.
        dated = int(content) / 1000 if content.isdigit() else found.st_mtime
        return (found.st_ino, content), dated


class OwnLock:
    """The lock between instances of ccproxy: a kernel lock, which is released when its process dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Acquired and released by different worker threads.
        self._lock = FileLock(path, thread_local=False, mode=0o600)

    def try_acquire(self) -> bool:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except OSError as error:
            raise CredentialError(
                "unwritable", f"{self._path} cannot be created ({error.strerror})."
            ) from error
        return True

    def release(self) -> None:
        self._lock.release()


class AllLocks:
    """Several locks as one. Acquires all or none, so that two programs with different orders can't block each other."""

    def __init__(self, locks: Sequence[TryLock]) -> None:
        self._locks = tuple(locks)

    def try_acquire(self) -> bool:
        with contextlib.ExitStack() as taken:
            for lock in self._locks:
                if not lock.try_acquire():
                    return False
                taken.callback(lock.release)
            taken.pop_all()
        return True

    def release(self) -> None:
        for lock in reversed(self._locks):
            lock.release()


def refresh_locks(folder: Path, home: Path, clock: Clock = SYSTEM) -> AllLocks:
    """The locks that a refresh needs. `folder`: Claude Code's; `home`: CCPROXY_HOME."""
    return AllLocks(
        [
            OwnLock(home / "refresh.lock"),
            FolderLock(folder / ".oauth_refresh.lock", clock=clock),
            FolderLock(_beside(folder.resolve(), ".lock"), optional=True, clock=clock),
            MarkerLock(folder / ".credentials.json.lock", clock=clock),
        ]
    )


def write_lock(folder: Path, clock: Clock = SYSTEM) -> FolderLock:
    """The lock that Claude Code holds while it writes its login."""
    return FolderLock(folder / ".storage-write.lock", clock=clock)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
