"""stdout and stderr of this process, so that the proxy neither waits for who reads them nor ends when nobody can.

mitmproxy ends at the first line that it can't print (its `termlog`), and stops when a pipe is full.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import sys
from collections.abc import Iterator
from typing import TextIO

from mitmproxy.addonmanager import AddonManager

from addon.core.background_writer import BackgroundWriter


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
    with contextlib.suppress(OSError):  # what mitmproxy has said so far; a full disk is told later
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


def replace_streams(addons: AddonManager) -> Iterator[BackgroundWriter]:
    """Replaces both streams, for mitmproxy's log as well. Not in mitmproxy's console program, which draws on stdout."""
    termlog, dumper = addons.get("termlog"), addons.get("dumper")
    if termlog is None:
        return
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None:  # it was closed before Python started
            text, writer = in_background(stream, name)
            setattr(sys, name, text)
            yield writer
    termlog.logger.file = sys.stdout
    if dumper is not None:
        dumper.outfp = sys.stdout
