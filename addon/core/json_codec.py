"""Reads and writes JSON with the speed of orjson and, where orjson is not exact, with the standard library."""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any, NoReturn

import orjson

from addon.core.content_encoding import MAX_BODY, inflate
from addon.core.errors import BadRequest
from addon.core.types import JsonObject

# orjson turns integers beyond 64 bits into floats. A run of 19 digits may be such an integer. It is searched for in
# this way because a regular expression takes ten times as long as orjson itself.
_DIGITS_ALIKE = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
_STRIDE = 4
_SAMPLED = b"0" * (len(_LONG_NUMBER) // _STRIDE)
"""What every fourth byte of such a run contains, wherever it begins."""


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_MOST_DIGITS = 308
"""Of an integer, so that each number that is read can be converted to a float without an OverflowError."""


_MOST_LEVELS = 1024

_LONG = 32 * 1024


class JsonError(ValueError):
    """The text is not JSON, or not JSON that is accepted (see `loads`)."""


def loads(text: bytes | str) -> Any:
    """The value of a JSON text. Raises JsonError and nothing else, also for invalid UTF-8, for NaN, Infinity and
    numbers beyond the range of a float, and for too deep nesting.

    Escaped lone surrogates and big integers are preserved, as by Python's own decoder."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if not _may_hold_long_number(data):
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError:
            pass  # only the standard library accepts escaped lone surrogates
    try:
        value = json.loads(
            data.decode("utf-8-sig"),
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_integer,
        )
        _check_depth(value)
        return value
    except RecursionError:
        raise JsonError("is nested too deeply") from None
    except ValueError as error:
        raise JsonError(str(error)) from None


def loads_string(text: bytes) -> str:
    """As `loads`, for the text of a JSON string."""
    try:
        value: str = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = loads(text)
    return value


def _may_hold_long_number(data: bytes) -> bool:
    if _SAMPLED not in data[::_STRIDE].translate(_DIGITS_ALIKE):
        return False
    return _LONG_NUMBER in data.translate(_DIGITS_ALIKE)


def _check_depth(value: Any) -> None:
    """As orjson does: how deep the standard library reads differs by Python's version, up to 10,000 levels."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_MOST_LEVELS):
        nested = [one.values() if isinstance(one, dict) else one for one in level]
        level = [inner for one in nested for inner in one if isinstance(inner, dict | list)]
        if not level:
            return
    raise RecursionError


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
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def dumps_to_keep(value: Any) -> bytes:
    """`dumps` for what is kept. orjson leaves room behind what it writes: 4 KB are allocated for 20 bytes, 64 KB for
    5,000 (3.13; `sys.getsizeof` doesn't show it). A long text is mapped by itself; what is not written there takes no
    memory."""
    data = dumps(value)
    return b"%b" % data if len(data) < _LONG else data  # a copy


def read_body(raw: bytes, encoding: str = "", most: int = MAX_BODY) -> JsonObject:
    """The JSON object in a request body. Raises BadRequest, TooLarge or UnsupportedMedia."""
    return read_object(inflate(raw, encoding, most))


def read_object(data: bytes) -> JsonObject:
    """The JSON object in a text. Raises BadRequest."""
    try:
        body = loads(data)
    except JsonError as error:
        raise BadRequest(f"The request body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.")
    return body


def holds_lone_surrogate(data: bytes) -> bool:
    """Whether a text that `loads` accepts escapes half of a surrogate pair. UTF-8 can't encode it, and strict JSON
    readers reject it."""
    if not _SURROGATE.search(data):
        return False
    try:
        orjson.loads(data.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError:
        return True
    return False
