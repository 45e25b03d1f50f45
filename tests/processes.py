"""What Linux tells of a process."""

from __future__ import annotations

import contextlib
from pathlib import Path


def open_files(pid: int) -> list[Path]:
    """What the descriptors of a process lead to; one that is closed while they are read is not open."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(link.readlink())
    return found
