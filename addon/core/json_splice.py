"""Changes single fields of a JSON object in its bytes, and keeps all other bytes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from addon.core.json_codec import dumps, loads
from addon.core.types import JsonObject

# All quantifiers are possessive, so that no byte is read twice.
_SPACE = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_MEMBER = re.compile(
    rb"%b(%b)%b:%b(%b|[^\[{,}\]\s]++)?+" % (_SPACE, _STRING, _SPACE, _SPACE, _STRING), re.DOTALL
)
"""Its key and, unless that is an object or an array, its value."""
_COMMA = re.compile(_SPACE + b",")
# One outside of strings.
_TO_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:%b[^"{}\[\]]*+)*+[{}\[\]]' % _STRING, re.DOTALL)


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
    while found := _MEMBER.match(data, at):
        value = found.end() if found[2] is None else found.start(2)
        end = found.end() if found[2] is not None else _end_of_brackets(data, value)
        yield _Member(loads(found[1]), found.start(1), value, end)
        comma = _COMMA.match(data, end)
        if comma is None:
            return
        at = comma.end()


def _end_of_brackets(data: bytes, at: int) -> int:
    depth = 0
    for bracket in _TO_BRACKET.finditer(data, at):
        depth += 1 if data[bracket.end() - 1] in b"{[" else -1
        if depth == 0:
            return bracket.end()
    raise ValueError("the text is not JSON")
