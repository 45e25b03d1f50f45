"""Changes other programs' configuration files, and takes the change back: pure functions on their text.

TOML and YAML get marked blocks, and a line that would contradict one is kept as a comment, so everything else stays as
it was, comments too. JSON has no comments: there single values are set, and a backup says what they were.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from addon.core.types import JsonObject

BEGIN = "# >>> ccproxy setup"
END = "# <<< ccproxy setup"
REPLACED = "# replaced by ccproxy setup: "
_TABLE = re.compile(r"\s*\[")


class CannotEdit(Exception):
    """The file can't be changed safely; the message says why."""


def block(lines: Sequence[str]) -> list[str]:
    return [BEGIN, *lines, END]


def without_blocks(text: str) -> str:
    """The text as it was before: without the marked blocks, and with the replaced lines."""
    kept: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        if line.strip() in (BEGIN, END):
            inside = line.strip() == BEGIN
        elif not inside:
            kept.append(line.replace(REPLACED, "", 1) if line.startswith(REPLACED) else line)
    return "".join(kept)


def _lines(text: str) -> list[str]:
    return without_blocks(text).splitlines()


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _commented(lines: Sequence[str], keys: Sequence[str], separator: str) -> list[str]:
    """`lines` with those at the left margin that set one of `keys` as comments."""
    setting = re.compile(rf"({'|'.join(map(re.escape, keys))})\s*{separator}")
    return [REPLACED + line if setting.match(line) else line for line in lines]


# ---- TOML


def toml(text: str, top: Mapping[str, str], table: str, values: Mapping[str, str]) -> str:
    """`text` with `top` as keys of the root, and with one table. Raises CannotEdit."""
    lines = _lines(text)
    first = next((at for at, line in enumerate(lines) if _TABLE.match(line)), len(lines))
    head = _commented(lines[:first], list(top), "=")
    body = _without_table(lines[first:], f"[{table}]")
    pairs = [f"{name} = {json.dumps(value)}" for name, value in top.items()]
    rows = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    made = _text([*block(pairs), *head, *body, *block([f"[{table}]", *rows])])
    try:
        wanted = tomllib.loads(without_blocks(text))
        found = tomllib.loads(made)
    except tomllib.TOMLDecodeError as error:
        raise CannotEdit(f"it is not TOML as expected: {error}") from None
    outer, _, inner = table.partition(".")
    expected = wanted | dict(top) | {outer: wanted.get(outer, {}) | {inner: dict(values)}}
    if found != expected:
        raise CannotEdit("its parts stand in an unusual order")
    return made


def _without_table(lines: Sequence[str], header: str) -> list[str]:
    """`lines` with those of this table as comments."""
    found: list[str] = []
    inside = False
    for line in lines:
        if _TABLE.match(line):
            inside = line.strip() == header
        found.append(REPLACED + line if inside and line.strip() else line)
    return found


# ---- YAML


def yaml_keys(text: str, values: Mapping[str, str | bool]) -> str:
    """`text`, a mapping, with these keys of the root."""
    lines = _commented(_lines(text), list(values), ":")
    return _text([*lines, *block([f"{name}: {json.dumps(v)}" for name, v in values.items()])])


def yaml_items(text: str, key: str, items: Sequence[JsonObject], otherwise: Sequence[str]) -> str:
    """`text` with `items` at the front of the list under `key`; `otherwise`: what an empty file begins with.
    Raises CannotEdit."""
    lines = _lines(text)
    at = next((n for n, line in enumerate(lines) if re.match(rf"{key}\s*:", line)), None)
    if at is None:
        head = [] if any(line.strip() for line in lines) else otherwise
        return _text([*lines, *block([*head, f"{key}:", *_yaml_list(items, "  ")])])
    rest = lines[at].partition(":")[2].partition(" #")[0].strip()
    if rest not in ("", "[]"):
        raise CannotEdit(f"the list {key} stands in one line")
    before, after = lines[: at + 1], lines[at + 1 :]
    if rest:
        before[-1] = REPLACED + before[-1]
        return _text([*before, *block([f"{key}:", *_yaml_list(items, "  ")]), *after])
    first = next((line for line in after if line.strip() and line.strip()[0] != "#"), "")
    dash = re.match(r"(\s*)- ", first)
    return _text([*before, *block(_yaml_list(items, dash[1] if dash else "  ")), *after])


def _yaml_list(items: Sequence[JsonObject], margin: str) -> list[str]:
    """JSON values are YAML."""
    lines: list[str] = []
    for item in items:
        rows = [f"{name}: {json.dumps(value)}" for name, value in item.items()]
        lines += [f"{margin}- {rows[0]}", *(f"{margin}  {row}" for row in rows[1:])]
    return lines


# ---- JSON


def json_values(text: str, values: Mapping[tuple[str, ...], Any]) -> str:
    """`text` with these values, by path. Raises CannotEdit."""
    root = read_object(text)
    for path, value in values.items():
        _set(root, path, value)
    return _dumped(root, text)


def without_json_values(text: str, paths: Sequence[tuple[str, ...]], before: str) -> str:
    """`text` with what stood at these paths in `before`; `before` itself if nothing else was changed. Raises
    CannotEdit."""
    root, old = read_object(text), read_object(before)
    for path in paths:
        _set(root, path, _get(old, path))
    return before if root == old else _dumped(root, text)


def read_object(text: str) -> JsonObject:
    try:
        root = json.loads(text or "{}")
    except ValueError as error:
        raise CannotEdit(f"it is not plain JSON: {error}") from None
    if not isinstance(root, dict):
        raise CannotEdit("it is not a JSON object")
    return root


def _get(root: Any, path: Sequence[str]) -> Any:
    for name in path:
        root = root.get(name) if isinstance(root, dict) else None
    return root


def _set(root: JsonObject, path: Sequence[str], value: Any) -> None:
    """None removes it, and what is empty then."""
    name, *rest = path
    if rest:
        inner = root.get(name, {})
        if not isinstance(inner, dict):
            raise CannotEdit(f"{name} is not an object")
        _set(inner, rest, value)
        value = inner or None
    if value is None:
        root.pop(name, None)
    else:
        root[name] = value


def _dumped(root: JsonObject, like: str) -> str:
    found = re.search(r"^[ \t]+(?=\")", like, re.MULTILINE)
    return json.dumps(root, indent=found[0] if found else 2, ensure_ascii=False) + "\n"
