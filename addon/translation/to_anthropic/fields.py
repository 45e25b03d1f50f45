"""Reads untrusted JSON: typed access, sanitized copies, and errors that name the field."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from addon.core.errors import BadRequest
from addon.core.types import JsonObject

MAX_DEPTH = 100
"""Makes recursion over a sanitized value safe: Python's limit is 1,000 frames, of which the proxy uses some."""
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Fields:
    """A JSON object from a client. null counts as absent: LangChain and others send null for every unset option.

    Each reader returns None for an absent field and raises BadRequest for one of another type.
    """

    def __init__(self, data: JsonObject, path: str = "") -> None:
        self._data = {name: value for name, value in data.items() if value is not None}
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def get(self, name: str) -> Any:
        return self._data.get(name)

    def text(self, name: str) -> str | None:
        return self._typed(name, str, "a string")

    def flag(self, name: str) -> bool | None:
        return self._typed(name, bool, "true or false")

    def items(self, name: str) -> list[Any] | None:
        return self._typed(name, list, "a list")

    def mapping(self, name: str) -> JsonObject | None:
        return self._typed(name, dict, "an object")

    def nested(self, name: str) -> Fields:
        """The object in `name`; empty if absent."""
        return Fields(self.mapping(name) or {}, self.path(name))

    def number(self, name: str) -> int | float | None:
        value = self._data.get(name)
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return value
        raise self.error(name, "expected a number")

    def positive(self, name: str) -> int | None:
        value = self._data.get(name)
        if value is None or (type(value) is int and value > 0):
            return value
        raise self.error(name, "expected an integer above 0")

    def path(self, name: str) -> str:
        return joined(self._path, name)

    def error(self, name: str, message: str, code: str | None = None) -> BadRequest:
        return BadRequest(message, param=self.path(name), code=code)

    def _typed[T](self, name: str, kind: type[T], expected: str) -> T | None:
        value = self._data.get(name)
        if value is None or isinstance(value, kind):
            return value
        raise self.error(name, f"expected {expected}")


def sanitized(value: Any, depth: int = MAX_DEPTH) -> Any:
    """A deep copy of decoded JSON. Lone surrogates (half an emoji, cut by a client) become U+FFFD, because they have no
    UTF-8 encoding. Raises BadRequest for nesting beyond `depth`, and for NaN and infinities, which are not JSON."""
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
        text.encode()  # finds them six times as fast as the expression
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub("\ufffd", text)
    return text


def expect_object(value: Any) -> JsonObject:
    if isinstance(value, dict):
        return value
    raise BadRequest("expected an object")


def joined(path: str, rest: str | None) -> str:
    if not rest or not path:
        return path or rest or ""
    return f"{path}{rest}" if rest.startswith("[") else f"{path}.{rest}"


def within(path: str, error: BadRequest) -> BadRequest:
    """The same error with `path` prefixed to its `param`."""
    return BadRequest(error.message, param=joined(path, error.param), code=error.code)


def located(path: str) -> _Located:
    """Prefixes `path` to the `param` of a BadRequest, so that inner code needs only the path of its own part."""
    return _Located(path)


class _Located:
    """A class because it is entered for each part of each message: `contextlib.contextmanager` takes three times as
    long."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, BadRequest):
            raise within(self._path, error) from None
