"""Changes single fields of a JSON object in its bytes, and keeps all other bytes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from addon.core.json_codec import dumps, loads
from addon.core.types import JsonObject

# All quantifiers are possessive, so that no byte is read twice.
_SPACE = re.compile(rb"[ \t\r\n]*+")
_IN_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_STRING = re.compile(_IN_STRING, re.DOTALL)
_SCALAR = re.compile(rb"[^,}\]\s]++")
_TO_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:' + _IN_STRING + rb'[^"{}\[\]]*+)*+', re.DOTALL)


class _Member(NamedTuple):
    name: str
    start: int
    """Of its key."""
    value: int
    end: int


def spliced(
    data: bytes, body: JsonObject, new: Mapping[str, Any], gone: Collection[str] = ()
) -> bytes:
    """The JSON object `data`, whose value is `body`, with the values `new` at its top level, and without the fields
    `gone`. A field that is written twice is changed twice; one that is missing is put at the end."""
    changed = {name: value for name, value in new.items() if name in body}
    if changed or not body.keys().isdisjoint(gone):
        data = _changed(data, changed, gone)
    added = [dumps(name) + b":" + dumps(value) for name, value in new.items() if name not in body]
    if not added:
        return data
    end = len(data[: data.rindex(b"}")].rstrip())
    comma = b"" if data[end - 1 : end] == b"{" else b","
    return data[:end] + comma + b",".join(added) + data[end:]


def _changed(data: bytes, new: Mapping[str, Any], gone: Collection[str]) -> bytes:
    first = end = data.index(b"{") + 1
    pieces: list[bytes] = []
    for member in _members(data, first):
        before, end = data[end : member.start], member.end
        if member.name in gone:
            continue
        key, value = data[member.start : member.value], data[member.value : member.end]
        pieces.append(before if pieces else before.replace(b",", b""))
        pieces.append(key + (dumps(new[member.name]) if member.name in new else value))
    return data[:first] + b"".join(pieces) + data[end:]


def _members(data: bytes, at: int) -> Iterator[_Member]:
    at = _space(data, at)
    while data[at : at + 1] == b'"':
        start, key_end = at, _end(_STRING, data, at)
        value = _space(data, _space(data, key_end) + 1)
        end = _value_end(data, value)
        yield _Member(loads(data[start:key_end]), start, value, end)
        at = _space(data, end)
        if data[at : at + 1] != b",":
            return
        at = _space(data, at + 1)


def _value_end(data: bytes, at: int) -> int:
    if data[at : at + 1] == b'"':
        return _end(_STRING, data, at)
    if data[at : at + 1] not in (b"{", b"["):
        return _end(_SCALAR, data, at)
    depth = 0
    while True:
        depth += 1 if data[at] in b"{[" else -1
        at += 1
        if depth == 0:
            return at
        at = _end(_TO_BRACKET, data, at)


def _space(data: bytes, at: int) -> int:
    return _end(_SPACE, data, at)


def _end(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    found = pattern.match(data, at)
    if found is None:
        raise ValueError("the text is not JSON")
    return found.end()
