"""The Python side of the two-language test: N times: lock, add one to the number in a file, unlock.

usage: python -m tests.credentials.count_under_lock LOCK FILE N
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from addon.credentials.locks import FolderLock


def main(lock: FolderLock, file: Path, rounds: int) -> None:
    for _ in range(rounds):
        while not lock.try_acquire():
            time.sleep(random.uniform(0.001, 0.008))  # noqa: S311 - no secret
        number = int(file.read_text())
        time.sleep(0.001)
        file.write_text(str(number + 1))
        lock.release()


if __name__ == "__main__":
    main(FolderLock(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3]))
