"""`VERBOSE_LOGGING`: what each request asked, what was sent and what came back, in `api.log`, secrets hidden."""

from __future__ import annotations

import json
import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from mitmproxy import http

from addon.core.json_codec import JsonError, loads
from addon.core.redaction import RedactingFilter, redact, redacted
from addon.core.settings import Settings
from addon.exchange.attempt import Attempt
from addon.exchange.state import Exchanges

logger = logging.getLogger(__name__)

MAX_BYTES, BACKUPS = 10 * 2**20, 3
FORMAT = "[%(asctime)s] [%(levelname)s] %(message)s"


class ApiLog:
    """Off unless asked for; a disk that refuses costs the log, never a request."""

    def __init__(self, settings: Settings, exchanges: Exchanges) -> None:
        self.exchanges = exchanges
        hide = RedactingFilter(settings.secret)
        self.log = _open(settings.home / "api.log", hide) if settings.verbose_logging else None

    def request(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        if self.log is None or exchange is None:
            return
        self.log.info("%s ← %s %s", exchange.id, flow.request.method, flow.request.path)
        self.write(exchange.id, "← headers", dict(flow.request.headers))
        self.write(exchange.id, "← body", _decoded(flow.request.raw_content or b""))

    def response(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        if self.log is None or exchange is None:
            return
        for attempt in exchange.attempts:
            self.write(exchange.id, f"→ {_told(attempt)}", attempt.request)
        if exchange.notes or exchange.ignored:
            self.write(exchange.id, "notes", {"notes": exchange.notes, "ignored": exchange.ignored})
        if exchange.answer is not None:
            self.write(exchange.id, "← answer", exchange.answer.message)
        if exchange.error is not None:
            self.log.error("%s error %s: %s", exchange.id, exchange.error.status, exchange.error)

    def error(self, flow: http.HTTPFlow) -> None:
        self.response(flow)

    def write(self, ident: str, what: str, value: Any) -> None:
        if self.log is not None:
            self.log.info("%s %s %s", ident, what, json.dumps(redacted(value), ensure_ascii=False))

    def done(self) -> None:
        for handler in self.log.handlers if self.log else ():
            handler.close()


def _open(path: Path, hide: logging.Filter) -> logging.Logger | None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        handler = RotatingFileHandler(
            path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8"
        )
    except OSError as error:
        logger.warning("VERBOSE_LOGGING: %s can't be written: %s", path, error)
        return None
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(hide)
    log = logging.Logger("ccproxy.api")  # apart from the others: nothing of it reaches the terminal
    log.addHandler(handler)
    return log


def _told(attempt: Attempt) -> str:
    return f"{attempt.source} {attempt.scheme}://{attempt.host}{attempt.path} {attempt.outcome}".strip()


def _decoded(body: bytes) -> Any:
    try:
        return loads(body)
    except JsonError:
        return redact(body[:2000].decode("utf-8", "replace"))
