"""A lock between processes that the system releases when its holder dies."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


HELD = frozenset({errno.EAGAIN, errno.EACCES, errno.EDEADLK})
"""How flock(2) and Windows' _locking say that another process has it."""


class KernelLock:
    """Locks the file `path`, which is created and stays. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        """Whether it is ours now. Raises OSError if the file can't be created, or not be locked there."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in HELD:
                return False
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """May be called twice. A closed file is not locked any more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
