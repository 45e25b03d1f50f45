"""Logs each request, what was sent upstream and the response to `api.log` (VERBOSE_LOGGING), without secrets."""

from __future__ import annotations

import json
import logging
import os
import time
from io import FileIO
from pathlib import Path
from typing import Any, Literal

from mitmproxy import http

from addon.core.background_writer import BackgroundWriter
from addon.core.content_encoding import inflate_if_possible
from addon.core.files import NO_WAITING
from addon.core.redaction import decoded, hider, redacted
from addon.core.settings import Settings
from addon.exchange.attempt import Attempt
from addon.exchange.http_messages import without_unknown_values
from addon.exchange.state import Exchanges

logger = logging.getLogger(__name__)

NAME = "api.log"
MAX_BYTES, BACKUPS = 10 * 2**20, 3
MOST_WAITING = 16 * 2**20
"""Bytes. A larger request, up to 33 MB, waits alone."""


class RotatingFile:
    """Appends to a file that only its owner can read. A full file is renamed to `path.1`, that to `path.2`, up to
    `backups`."""

    def __init__(self, path: Path, most: int = MAX_BYTES, backups: int = BACKUPS) -> None:
        self.path = path
        self.most = most
        self.backups = backups
        self.file: FileIO | None = None

    def open(self) -> FileIO:
        """Raises OSError."""
        if self.file is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.file = FileIO(self.path, "ab", opener=_for_owner_alone)
        return self.file

    def write(self, data: memoryview) -> int | None:
        """How many bytes of it were written. Raises OSError."""
        size = self.open().tell()
        if size and size + len(data) > self.most:
            self.rotate()
        return self.open().write(data)

    def rotate(self) -> None:
        self.close()  # Windows can't rename an open file
        paths = [self.path, *(Path(f"{self.path}.{n}") for n in range(1, self.backups + 1))]
        for older, newer in reversed(list(zip(paths[1:], paths, strict=False))):
            if newer.exists():
                newer.replace(older)

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


def _for_owner_alone(path: str, flags: int) -> int:
    return os.open(path, flags | NO_WAITING, 0o600)


def open_log(settings: Settings) -> BackgroundWriter | None:
    """None if VERBOSE_LOGGING is off. A file that can't be opened is tried again with each line."""
    if not settings.verbose_logging:
        return None
    file = RotatingFile(settings.home / NAME)
    try:
        file.open()
    except OSError as error:
        logger.warning("VERBOSE_LOGGING: %s can't be written: %s", file.path, error)
    return BackgroundWriter(NAME, file.write, MOST_WAITING, file.close)


class ApiLog:
    """Off by default. A disk error loses log lines, never a request."""

    def __init__(
        self, settings: Settings, exchanges: Exchanges, writer: BackgroundWriter | None
    ) -> None:
        """`writer`: to the file; None: nothing is logged."""
        self.exchanges = exchanges
        self.writer = writer
        self.hide = hider(settings.secret)

    def request(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        if self.writer is None or exchange is None:
            return
        self.write(exchange.id, f"← {flow.request.method} {flow.request.path}")
        self.write(exchange.id, "← headers", dict(flow.request.headers))
        encoding = flow.request.headers.get("content-encoding", "")
        body = inflate_if_possible(flow.request.raw_content or b"", encoding)
        self.write(exchange.id, "← body", decoded(body))

    def response(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        if self.writer is None or exchange is None:
            return
        for attempt in exchange.attempts:
            self.write(exchange.id, f"→ {_described(attempt)}", attempt.request)
        if exchange.notes or exchange.ignored:
            self.write(exchange.id, "notes", {"notes": exchange.notes, "ignored": exchange.ignored})
        if exchange.answer is not None:
            self.write(exchange.id, "← response", exchange.answer.message)
        if exchange.error is not None:
            self.write(
                exchange.id, f"error {exchange.error.status}", str(exchange.error), level="ERROR"
            )

    def error(self, flow: http.HTTPFlow) -> None:
        self.response(flow)

    def done(self) -> None:
        if self.writer is not None:
            self.writer.close()

    def write(
        self, ident: str, what: str, value: Any = None, *, level: Literal["INFO", "ERROR"] = "INFO"
    ) -> None:
        if self.writer is None:
            return
        shown = (
            json.dumps(redacted(value, self.hide), ensure_ascii=False) if value is not None else ""
        )
        line = f"[{_now()}] [{level}] {ident} {self.hide(what)} {shown}".rstrip()
        # half of a pair of surrogates, which UTF-8 can't have, stays readable as JSON has it
        self.writer.put(line.encode("utf-8", "backslashreplace") + b"\n")


def _now() -> str:
    seconds = time.time()
    date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    return f"{date},{int(seconds % 1 * 1000):03}"


def _described(attempt: Attempt) -> str:
    path = without_unknown_values(attempt.path)
    return f"{attempt.source} {attempt.scheme}://{attempt.host}{path} {attempt.outcome}".strip()
