"""Writes in a thread of its own, so that neither a slow reader nor a full disk stops who has something to say."""

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
"""Bytes that may wait to be written; what comes beyond is dropped."""
CLOSE_SECONDS = 1.0
"""At the end, for what still waits."""
PAUSE = 0.05
"""Seconds between two tries of an output that would have to wait, but must not."""
NOT_READ = "nobody reads it"

type Write = Callable[[memoryview], int | None]
"""Of a raw file: how many bytes were written, which may be fewer than given; None: none at present. Raises OSError, or
ValueError when it is closed."""


class BackgroundWriter:
    """Writes lines in their order. What can't be written is dropped and counted; when writing works again, a line says
    how many are missing."""

    def __init__(
        self,
        name: str,
        write: Write,
        most_waiting: int = MOST_WAITING,
        finish: Callable[[], None] = lambda: None,
    ) -> None:
        """`name`: of what is written to, for people; `finish` is called at the end, to close it."""
        self.name = name
        self.dropped = 0
        """Lines, since the start."""
        self._write = write
        self._most_waiting = most_waiting
        self._finish = finish
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._untold = 0
        """Dropped lines that no line has told of."""
        self._reason = ""
        self._failing = False
        self._torn = False
        """What was written last is half a line."""
        self._closed = False
        # Reentrant: the garbage collector may run in here, and have Python print a warning.
        self._changed = threading.Condition(threading.RLock())
        self._thread = threading.Thread(target=self._run, name=f"write {name}", daemon=True)
        self._thread.start()

    def put(self, lines: bytes) -> None:
        """To be written soon. Never waits, never raises."""
        with self._changed:
            if self._closed or self._waiting_bytes >= self._most_waiting:
                self._drop(lines, NOT_READ)
                return
            self._waiting.append(lines)
            self._waiting_bytes += len(lines)
            self._changed.notify()

    @property
    def problem(self) -> str | None:
        """For /health: what can't be written at present, and why."""
        with self._changed:
            if not self._untold:
                return None
            return f"{self.name}: {self._missing()}."

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write what waits, within so many seconds, and nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)

    def _drop(self, lines: bytes, reason: str) -> None:
        self.dropped += lines.count(b"\n")
        self._untold += lines.count(b"\n")
        self._reason = reason

    def _run(self) -> None:
        while (lines := self._next()) is not None:
            self._write_all(lines)
        self._finish()

    def _next(self) -> bytes | None:
        """All that waits; none when there are only dropped lines to tell of. None at the end."""
        with self._changed:
            while not self._waiting and not self._closed and (self._failing or not self._untold):
                self._changed.wait()
            if not self._waiting and (self._failing or not self._untold):
                return None
            lines = b"".join(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
            return lines

    def _write_all(self, lines: bytes) -> None:
        with self._changed:
            untold, note = self._untold, self._note()
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
                self._untold -= untold
            if reason:
                self._drop(bytes(data[max(written, len(note)) :]), reason)
            if written:
                self._torn = data[written - 1] != ord("\n")

    def _note(self) -> bytes:
        if not self._untold:
            return b""
        torn = "\n" if self._torn else ""
        return f"{torn}[{self._missing()}]\n".encode()

    def _missing(self) -> str:
        lines = "1 line" if self._untold == 1 else f"{self._untold} lines"
        return f"{lines} could not be written: {self._reason}"


class _Handover(io.RawIOBase):
    """In place of the file below a stream: takes everything, and hands it to the writer."""

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
    """A stream that writes to the same file, but neither waits nor fails, and what writes for it."""
    with contextlib.suppress(OSError):  # what was said so far; a full disk is told later
        stream.flush()
    # below its buffer: a thread that is stuck in there would not let the process end
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
