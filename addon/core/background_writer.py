"""Writes lines in a thread of its own, so that neither a slow reader nor a full disk blocks the caller."""

from __future__ import annotations

import atexit
import contextlib
import io
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

MOST_WAITING = 1024 * 1024
"""Bytes that may wait to be written; lines beyond that are dropped."""
CLOSE_SECONDS = 1.0
"""Time to write the waiting lines at exit."""
PAUSE = 0.05
"""Seconds between two attempts to write to an output that would block."""
REST = 0.05
"""Seconds after each write: lines that come meanwhile go out together, and each would wake the thread."""
NOT_READ = "nobody reads it"

type Write = Callable[[memoryview], int | None]
"""`write` of a raw file. Returns how many bytes were written, which may be fewer than given; None: it would block.
Raises OSError, or ValueError if the file is closed."""


class BackgroundWriter:
    """Writes lines in order. Lines that can't be written are dropped and counted; once writing works again, a line says
    how many are missing."""

    def __init__(
        self,
        name: str,
        write: Write,
        most_waiting: int = MOST_WAITING,
        finish: Callable[[], None] = lambda: None,
    ) -> None:
        """`name`: that of the output, for people. `finish` is called at the end, to close the output."""
        self.name = name
        self.dropped = 0
        """How many lines, since the start."""
        self._write = write
        self._most_waiting = most_waiting
        self._finish = finish
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._unreported = 0
        """Dropped lines that were not reported yet."""
        self._reason = ""
        self._failing = False
        self._line_open = False
        """The last write ended inside a line."""
        self._closed = False
        # Reentrant: the garbage collector may run in here and print a warning, which is written by `put`.
        self._changed = threading.Condition(threading.RLock())
        self._thread = threading.Thread(target=self._run, name=f"write {name}", daemon=True)
        self._thread.start()

    def put(self, lines: bytes) -> None:
        """Queue lines for writing. Never blocks, never raises."""
        with self._changed:
            if self._closed or self._waiting_bytes >= self._most_waiting:
                self._drop(lines, NOT_READ)
                return
            self._waiting.append(lines)
            self._waiting_bytes += len(lines)
            self._changed.notify()

    @property
    def problem(self) -> str | None:
        """What can't be written at present, and why; for `/health`."""
        with self._changed:
            if not self._unreported:
                return None
            return f"{self.name}: {self._missing()}."

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write the waiting lines, for at most so many seconds, and accept no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)

    def _drop(self, lines: bytes, reason: str) -> None:
        self.dropped += lines.count(b"\n")
        self._unreported += lines.count(b"\n")
        self._reason = reason

    def _run(self) -> None:
        while (lines := self._next()) is not None:
            self._write_all(lines)
            time.sleep(REST)
        self._finish()

    def _next(self) -> bytes | None:
        """The waiting lines; b"" if only dropped lines are to be reported; None at the end."""
        with self._changed:
            while (
                not self._waiting and not self._closed and (self._failing or not self._unreported)
            ):
                self._changed.wait()
            if not self._waiting and (self._failing or not self._unreported):
                return None
            # before they are joined: a warning that the garbage collector prints meanwhile waits for the next time
            waiting, self._waiting = self._waiting, deque()
            self._waiting_bytes = 0
            return b"".join(waiting)

    def _write_all(self, lines: bytes) -> None:
        with self._changed:
            unreported, note = self._unreported, self._note()
        data, written = memoryview(note + lines), 0
        reason = ""
        try:
            while written < len(data):
                some = self._write(data[written:])
                written += some or 0
                if some is None:
                    time.sleep(PAUSE)
        except (OSError, ValueError) as error:
            reason = str(getattr(error, "strerror", None) or error)
        with self._changed:
            self._failing = bool(reason)
            if written >= len(note):
                self._unreported -= unreported
            if reason:
                self._drop(bytes(data[max(written, len(note)) :]), reason)
            if written:
                self._line_open = data[written - 1] != ord("\n")

    def _note(self) -> bytes:
        if not self._unreported:
            return b""
        line_end = "\n" if self._line_open else ""
        return f"{line_end}[{self._missing()}]\n".encode()

    def _missing(self) -> str:
        lines = "1 line" if self._unreported == 1 else f"{self._unreported} lines"
        return f"{lines} could not be written: {self._reason}"


class _Handover(io.RawIOBase):
    """Replaces the raw file of a stream: passes everything on to the writer."""

    def __init__(self, stream: TextIO, writer: BackgroundWriter) -> None:
        self.stream = stream
        self.writer = writer

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.writer.put(bytes(data))
        return len(data)

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()


def in_background(stream: TextIO, name: str) -> tuple[TextIO, BackgroundWriter]:
    """A stream that writes to the same file but neither blocks nor fails, and its writer."""
    with contextlib.suppress(OSError):  # a full disk is reported by the writer
        stream.flush()
    # Not its buffer: a thread that blocks inside of it would keep the process from ending.
    raw = getattr(stream.buffer, "raw", stream.buffer)
    writer = BackgroundWriter(name, raw.write)
    atexit.register(writer.close)
    handover: io.RawIOBase = _Handover(stream, writer)
    text = io.TextIOWrapper(
        handover,  # type: ignore[type-var]
        encoding=stream.encoding,
        errors="replace",
        line_buffering=True,
    )
    return text, writer
