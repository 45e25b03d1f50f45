"""A copy of a JSON value that can be sent: of bounded depth, finite, encodable as UTF-8."""

from __future__ import annotations

import math
import re
from typing import Any

from addon.core.errors import BadRequest

MAX_DEPTH = 100
"""Recursion over a sanitized value is safe: Python's own limit is 1,000 frames, and the proxy uses some of them."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def sanitized(value: Any, depth: int = MAX_DEPTH) -> Any:
    """A deep copy of decoded JSON. Lone surrogates (half an emoji, cut by a client) become U+FFFD, as they have no
    UTF-8 form. Raises BadRequest for nesting beyond `depth` and for NaN and infinities, which are not JSON."""
    if isinstance(value, str):
        return value if value.isascii() else sanitized_text(value)
    if isinstance(value, dict | list):
        if depth == 0:
            raise BadRequest(f"nested more than {MAX_DEPTH} levels deep", code="nesting_too_deep")
        if isinstance(value, list):
            return [sanitized(item, depth - 1) for item in value]
        return {
            key if key.isascii() else sanitized_text(key): sanitized(item, depth - 1)
            for key, item in value.items()
        }
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRequest("NaN and infinity are not JSON numbers")
    return value


def sanitized_text(text: str) -> str:
    try:
        text.encode()  # looks for them six times as fast as the expression
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub("\ufffd", text)
    return text
