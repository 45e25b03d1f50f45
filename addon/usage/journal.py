"""Writes down what a paid request may cost before it is sent, so that a kill can't hide what was spent.

`paid.journal` in CCPROXY_HOME has a line for each reservation, and one more with the cost when the request has ended.
`usage.json` is saved only every few seconds; what it does not know is here. A line is written to the operating system
at once, which survives the end of the process at any moment; it is not synced to the disk, so a power failure may lose
the newest ones.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from addon.core.files import NO_WAITING, read_file
from addon.core.json_codec import JsonError, dumps, loads
from addon.usage.budget import Reservation

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024 * 1024
"""A bigger file is not ours."""


class PaidJournal:
    """From `open` to `close`; before and after, nothing is written. `note` is called from the event loop, `keep` from
    a thread."""

    def __init__(self, home: Path) -> None:
        self._path = home / "paid.journal"
        self._lock = threading.Lock()
        self._file: int | None = None
        self._failed = False

    def open(self) -> None:
        """Raises OSError."""
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_WAITING, 0o600)
        os.write(self._file, b"\n")  # the last line may have been cut short

    def close(self) -> None:
        """May be called twice."""
        with self._lock:
            file, self._file = self._file, None
            if file is not None:
                os.close(file)

    def note(self, reservation: Reservation) -> None:
        """Write a reservation, or with the same id what became of it. Never raises."""
        with self._lock:
            if self._file is None:
                return
            try:
                os.write(self._file, _line(reservation))
            except OSError as error:
                if not self._failed:
                    log.warning("What paid requests may cost can't be written down: %s", error)
                self._failed = True

    def read(self) -> dict[int, Reservation]:
        """By id, as last noted. A line that a kill or a full disk cut short is left out."""
        with contextlib.suppress(OSError):
            lines = read_file(self._path, MAX_BYTES).splitlines()
            return {each.id: each for line in lines for each in _read(line)}
        return {}

    def keep(self, after: int, held: Collection[int]) -> None:
        """Forget what a saved snapshot knows: all up to the id `after`, except for what was held then. Raises
        OSError."""
        with self._lock:
            if self._file is None:
                return
            kept = [each for id, each in self.read().items() if id > after or id in held]
            temporary = self._path.with_name(f"{self._path.name}.new")
            temporary.write_bytes(b"".join(map(_line, kept)))
            temporary.replace(self._path)
            os.close(self._file)
            self.open()


def _line(reservation: Reservation) -> bytes:
    row = [reservation.id, reservation.time, reservation.model, reservation.amount]
    return dumps(row) + b"\n"


def _read(line: bytes) -> Iterator[Reservation]:
    try:
        row: Any = loads(line)
    except JsonError:
        return
    match row:
        case [int(id), int() | float() as time, str(model), int(amount)] if amount >= 0:
            yield Reservation(id, amount, model, float(time))
