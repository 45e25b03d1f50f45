"""Small JSON files that survive a restart, and are never worth failing for."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from addon.core.files import write_atomically

log = logging.getLogger(__name__)

# A damaged or foreign file may be of any size; ours stay far below.
MOST_BYTES = 16 * 1024 * 1024


def read_json(path: Path) -> Any | None:
    """The decoded content; None for a file that is missing, unreadable, too large or no JSON."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def write_json(path: Path, value: Any) -> bool:
    """Replace the file whole, readable by its owner only; False, with a warning, when the disk refuses."""
    data = json.dumps(value, separators=(",", ":")).encode()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        log.warning("Could not save %s: %s", path, error)
        return False
    return True
