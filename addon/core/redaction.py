"""Removes secrets from everything that is logged, saved or shown."""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

from addon.core.json_codec import JsonError, loads

type Hide = Callable[[str], str]

_KEY = (
    r"sk-[A-Za-z0-9_-]{8,}"  # Anthropic's and OpenAI's keys and tokens
    r"|(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{8,}"
)
_KEYS = re.compile(_KEY)
# The last part matches text that only begins like a JWT, so that it is not scanned again from each `eyJ` in it.
_SECRETS = re.compile(
    _KEY
    + r"|eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"  # a JWT
    + r"|(?P<no_jwt>eyJ[A-Za-z0-9_-]*)"
)
LONGEST_SECRET = 2_000
"""Characters; so much text beyond the end of an excerpt is searched for secrets."""
HIDDEN = "[hidden]"
MOST_LEVELS = 200
"""Nesting depth of lists and objects up to which they are shown."""
LONG_DATA = 200
"""Characters; of longer base64 only the length is shown."""


def redact(text: str) -> str:
    """The text with `[hidden]` for every key, token and JWT in it."""
    return _SECRETS.sub(_hidden, text)


def _hidden(found: re.Match[str]) -> str:
    no_jwt: str | None = found["no_jwt"]
    return HIDDEN if no_jwt is None else _KEYS.sub(HIDDEN, no_jwt)


def excerpt(text: str, length: int) -> str:
    """The beginning of a text with secrets hidden, also a secret that is cut off at the end."""
    return redact(text[: length + LONGEST_SECRET])[:length]


def hider(*secrets: str | None) -> Hide:
    """A `redact` that also hides these secrets, as they are and as they appear in JSON, a repr or a URL."""
    words = {form for secret in secrets if secret for form in _forms(secret)}
    if not words:
        return redact
    # The longest first: one form may be the beginning of another.
    known = re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))
    return lambda text: redact(known.sub(HIDDEN, text))


def _forms(secret: str) -> list[str]:
    in_json = [json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)]
    return [secret, *in_json, repr(secret)[1:-1], quote(secret, safe=""), quote_plus(secret)]


def redacted(value: Any, hide: Hide = redact, levels: int = MOST_LEVELS) -> Any:
    """A copy of a JSON value with secrets hidden, and images and files replaced by their length."""
    if not levels:
        return "[nested too deeply]"
    match value:
        case str():
            is_text = len(value) < LONG_DATA or " " in value
            return hide(value) if is_text else _shortened(value, hide)
        case list() | tuple():
            return [redacted(item, hide, levels - 1) for item in value]
        case dict():
            return {hide(key): redacted(item, hide, levels - 1) for key, item in value.items()}
        case _:
            return value


def _shortened(text: str, hide: Hide) -> str:
    is_data = text.startswith("data:") or re.fullmatch(r"[A-Za-z0-9+/_=\s-]+", text[:LONG_DATA])
    return f"[{len(text)} characters of data]" if is_data else hide(text)


class RedactingFilter(logging.Filter):
    """A filter for log handlers that removes secrets from the text and the traceback."""

    def __init__(self, *secrets: str | None) -> None:
        """`secrets`: further texts to hide, such as the proxy's own secret."""
        super().__init__()
        self.hide = hider(*secrets)

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
            record.exc_info = record.exc_text = None
        record.msg, record.args = self.hide(text), None
        return True


def decoded(body: bytes) -> Any:
    """The JSON value of a body, or the redacted start of its text."""
    try:
        return loads(body)
    except JsonError:
        return redact(body[:2000].decode("utf-8", "replace"))


def hide_in_logs(*secrets: str | None) -> None:
    """Make every log handler of the process, including mitmproxy's, hide these and all known secrets."""
    hide = RedactingFilter(*secrets)
    for handler in logging.getLogger().handlers:
        handler.addFilter(hide)
