"""JSON as fast as orjson is, and as exact as the standard library where orjson is not."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from typing import Any, NoReturn

import orjson

from addon.core.errors import BadRequest, TooLarge, UnsupportedMedia
from addon.core.types import STDLIB, Codec, JsonObject

MAX_BODY = 33 * 1024 * 1024
"""Bytes. Anthropic itself refuses bodies over 32 MB."""

# orjson turns integers beyond 64 bits into floats; a run of 19 digits may be one. Looked for so, since a regular
# expression takes ten times as long as orjson itself.
_DIGITS_ALIKE = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
_STRIDE = 4
_SAMPLED = b"0" * (len(_LONG_NUMBER) // _STRIDE)
"""What is left of such a run in every fourth byte, wherever it begins."""


_MOST_DIGITS = 308
"""Of an integer: each number that is read can become a float without an OverflowError."""


class JsonError(ValueError):
    """A text that is not JSON, or that nobody should have to work with."""


def loads(text: bytes | str) -> Any:
    """The value of a JSON text. Raises JsonError and nothing else: also for what is not UTF-8, for NaN, Infinity and
    numbers that no float holds, and for nesting beyond all reason.

    Escaped lone surrogates and big integers are kept, as Python's own reader does."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if not _may_hold_long_number(data):
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError:
            pass  # may still be JSON that only the standard library takes: escaped lone surrogates
    try:
        return json.loads(
            data.decode("utf-8-sig"),
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_integer,
        )
    except RecursionError:
        raise JsonError("is nested too deeply") from None
    except ValueError as error:
        raise JsonError(str(error)) from None


def _may_hold_long_number(data: bytes) -> bool:
    if _SAMPLED not in data[::_STRIDE].translate(_DIGITS_ALIKE):
        return False
    return _LONG_NUMBER in data.translate(_DIGITS_ALIKE)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


def _integer(digits: str) -> int:
    return int(digits) if len(digits.lstrip("-")) <= _MOST_DIGITS else _refuse(f"{digits[:20]}…")


def dumps(value: Any) -> bytes:
    """Compact JSON in UTF-8; lone surrogates become `?`."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return STDLIB.dumps(value)


FAST = Codec(loads=loads, dumps=dumps)


def read_body(raw: bytes, encoding: str = "") -> JsonObject:
    """A request body as the JSON object that it must be. Raises BadRequest, TooLarge or UnsupportedMedia."""
    try:
        body = loads(inflate(raw, encoding))
    except ValueError as error:
        raise BadRequest(f"The request body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.")
    return body


def inflate(raw: bytes, encoding: str) -> bytes:
    """The body without its content encoding, never more than MAX_BODY of it: 300 KB of gzip can hold 300 MB."""
    match encoding.strip().lower():
        case "" | "identity":
            return raw
        case "gzip" | "x-gzip":
            return _gunzip(raw)
        case other:
            raise UnsupportedMedia(
                f"Content-Encoding {other} is not supported; send the body plain or as gzip."
            )


def _gunzip(raw: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        body = inflater.decompress(raw, MAX_BODY)
    except (zlib.error, gzip.BadGzipFile):
        raise BadRequest("The request body is not valid gzip.") from None
    if inflater.unconsumed_tail:
        raise TooLarge(f"The request body is over {MAX_BODY // 2**20} MB once unpacked.")
    if not inflater.eof:
        raise BadRequest("The request body is not valid gzip: it ends too early.")
    return body
