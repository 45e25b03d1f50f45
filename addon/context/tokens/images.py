"""Calculates the tokens of images and PDFs from their headers, without decoding them."""

from __future__ import annotations

import base64
import binascii
import math
import re
import zlib
from collections.abc import Iterator

from addon.core.types import JsonObject

type Dimensions = tuple[int, int]
"""Width and height in pixels; (0, 0) if unknown (a URL, a file id, an unreadable header)."""

UNKNOWN: Dimensions = (0, 0)

# Maximal edge in pixels and maximal visual tokens, by tokenizer family (Anthropic's vision page; models from 4.7 on use
# a higher resolution). An image is scaled down to fit both, and costs one token per tile of 28 x 28 pixels.
LIMITS = {"old": (1568, 1568), "new": (2576, 4784)}
_TILE = 28
UNSEEN_TOKENS = 1568
"""Assumed for an image of unknown size. It may cost three times as much, but mostly doesn't."""

# The size of a JPEG may come after 64 KB of EXIF data; the other formats have it in the first bytes.
_HEADER_CHARS = 4 * 64 * 1024
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})


def visual_tokens(dimensions: Dimensions, family: str) -> int:
    """Input tokens of an image; the maximum if its dimensions are unknown."""
    longest, most = LIMITS[family]
    width, height = max(dimensions), min(dimensions)
    if height <= 0:
        return most
    for columns in range(math.ceil(min(width, longest) / _TILE), 0, -1):
        shown = min(width, longest, columns * _TILE)
        tokens = columns * math.ceil(shown * height / width / _TILE)
        if tokens <= most:
            return tokens
    return most


def source_dimensions(source: JsonObject) -> Dimensions:
    """Dimensions of an image block's `source`."""
    data = source.get("data")
    if source.get("type") != "base64" or not isinstance(data, str):
        return UNKNOWN
    return dimensions(decode(data, _HEADER_CHARS))


def decode(data: str, most: int | None = None) -> bytes:
    """The bytes of (the first `most` characters of) a base64 text; b"" if it is invalid."""
    part = data[:most]
    try:
        return base64.b64decode(part[: len(part) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def dimensions(header: bytes) -> Dimensions:
    """Dimensions from the first bytes of a PNG, GIF, WebP or JPEG file."""
    if header.startswith(b"\x89PNG\r\n\x1a\n"):
        return _big(header[16:20]), _big(header[20:24])
    if header.startswith((b"GIF87a", b"GIF89a")):
        return _little(header[6:8]), _little(header[8:10])
    if header.startswith(b"RIFF") and header[8:12] == b"WEBP":
        return _webp(header)
    return _jpeg(header) if header.startswith(b"\xff\xd8") else UNKNOWN


def _webp(header: bytes) -> Dimensions:
    match header[12:16]:
        case b"VP8 ":
            return _little(header[26:28]) & 0x3FFF, _little(header[28:30]) & 0x3FFF
        case b"VP8L":
            bits = _little(header[21:25])
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return _little(header[24:27]) + 1, _little(header[27:30]) + 1
    return UNKNOWN


def _jpeg(header: bytes) -> Dimensions:
    for kind, at in _jpeg_segments(header):
        if kind in _JPEG_SIZES:
            return _big(header[at + 5 : at + 7]), _big(header[at + 3 : at + 5])
    return UNKNOWN


def _jpeg_segments(header: bytes) -> Iterator[tuple[int, int]]:
    """Kind and offset after the marker, of each segment."""
    at = 2
    while at + 4 <= len(header) and header[at] == 0xFF:
        kind = header[at + 1]
        at += 2
        if kind == 0xFF:  # fill byte
            at -= 1
        elif kind not in _JPEG_BARE:
            yield kind, at
            at += _big(header[at : at + 2])


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


# Anthropic reads each page of a PDF as text and as an image. Measured for text pages: 2,098 to 2,481 tokens.
PAGE_TOKENS = {"old": 2200, "new": 2400}
MOST_PAGES = 600
"""Of one request; 100 for windows of 200K tokens (https://platform.claude.com/docs/en/build-with-claude/pdf-support)."""
_PAGE = re.compile(rb"/Type\s*/Page\b")
_COUNT = re.compile(
    rb"/Type\s*/Pages\b[^>]{0,400}?/Count\s+(\d{1,6})\b|/Count\s+(\d{1,6})\b[^>]{0,400}?/Type\s*/Pages\b"
)
_OBJECTS = re.compile(rb"/ObjStm\b[^>]{0,400}>>\s*stream\r?\n")
_MOST_UNPACKED = 4 * 1024 * 1024
_BYTES_PER_PAGE = 50_000


def pdf_pages(data: str) -> int:
    """Pages of a base64 PDF, at most `MOST_PAGES`: by its page objects, which may be compressed, by the count that its
    tree of pages tells, or else estimated from its size."""
    content = decode(data)
    parts = [content, *_object_streams(content)]
    pages = sum(len(_PAGE.findall(part)) for part in parts)
    told = (found[1] or found[2] for part in parts for found in _COUNT.finditer(part))
    pages = pages or max(map(int, told), default=0)
    return min(pages or max(1, math.ceil(len(content) / _BYTES_PER_PAGE)), MOST_PAGES)


def _object_streams(content: bytes) -> Iterator[bytes]:
    """Objects that are compressed together, as PDF does since 1.5 (ISO 32000-1, 7.5.7)."""
    left = _MOST_UNPACKED
    for found in _OBJECTS.finditer(content):
        try:
            unpacked = zlib.decompressobj().decompress(content[found.end() :], left)
        except zlib.error:
            continue
        yield unpacked
        left -= len(unpacked)
        if left <= 0:
            return
