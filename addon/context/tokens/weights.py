"""Token count of a text without a vocabulary: a linear fit over character classes.

Fitted on 23 corpora of prose, code, JSON and CJK text to cl100k counts, so the same factor leads from it to Claude's
count. Ordinary text comes out within about 10 %, base64 and minified JavaScript up to 33 % low.
"""

from __future__ import annotations

import string

_PER_CLASS: tuple[tuple[bytes, float], ...] = (
    (string.ascii_lowercase.encode(), 0.20),
    (string.ascii_uppercase.encode(), 0.60),
    (string.digits.encode(), 0.93),
    (b"\n", 1.41),
    (string.punctuation.encode(), 0.34),
    (bytes(range(0xC0, 0xE0)), 0.45),  # lead byte of a two-byte character
    (bytes(range(0xE0, 0xF0)), 0.97),
    (bytes(range(0xF0, 0xF8)), 3.2),
)
_PER_WORD = 0.13


def weigh(text: str) -> int:
    """About how many cl100k tokens `text` has (15 ms per 800 KB)."""
    data = text.encode("utf-8", "surrogatepass")
    total = _PER_WORD * len(text.split())
    for characters, weight in _PER_CLASS:
        total += weight * (len(data) - len(data.translate(None, characters)))
    return round(total)
