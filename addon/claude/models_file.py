"""Reads and validates `models.toml`."""

from __future__ import annotations

import datetime
import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, replace
from typing import Any, get_args, get_type_hints

from addon.claude.model import Model, Prices


class CatalogueError(ValueError):
    """The models file has a mistake; the message names the row and the field."""


def parse_models_file(text: str) -> dict[str, Any]:
    """The document, whose tables are known to be tables. Raises CatalogueError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"models file: not valid TOML: {error}") from None
    for table in ("models", "retired", "defaults", "prices"):
        if not isinstance(document.get(table, {}), dict):
            raise CatalogueError(f"models file: [{table}] must be a table")
    for model_id, row in document.get("models", {}).items():
        if not isinstance(row, dict):
            raise CatalogueError(f"models file: {model_id}: must be a table of fields")
    for model_id, successor in document.get("retired", {}).items():
        if not isinstance(successor, str):
            raise CatalogueError(
                f"models file: retired: {model_id} must name the model to use instead"
            )
    return document


def build_row(model_id: str, row: Mapping[str, Any], base: Model | None = None) -> Model:
    """The Model of a row (field → value), which changes `base` if there is one. Raises CatalogueError."""
    given = {name: _read(model_id, name, value) for name, value in row.items() if name != "prices"}
    if "prices" in row or base is None:
        given["prices"] = _prices(model_id, row.get("prices"), base.prices if base else None)
    if base is not None:
        return replace(base, **given)
    _require(model_id, set(_READERS) - set(_OPTIONAL) - set(given))
    return Model(id=model_id, **given)


def _read(model_id: str, name: str, value: Any) -> Any:
    reader = _READERS.get(name)
    if reader is None:
        near = difflib.get_close_matches(name, _READERS, n=1)
        hint = f', did you mean "{near[0]}"?' if near else ""
        raise CatalogueError(f'models file: {model_id}: "{name}" is not a field{hint}')
    try:
        return reader(value)
    except ValueError as error:
        raise CatalogueError(f"models file: {model_id}: {name} {error}, not {value!r}") from None


def other_prices(document: Mapping[str, Any]) -> dict[str, Prices]:
    """The prices of models that are not Claude's: cached tokens cost as much as others unless it says otherwise. Raises
    CatalogueError."""
    return {
        name: _prices(name, _with_cache(row) if isinstance(row, dict) else row, None)
        for name, row in document.get("prices", {}).items()
    }


def _with_cache(row: Mapping[str, Any]) -> dict[str, Any]:
    kinds = ("cache_write_5m", "cache_write_1h", "cache_read")
    return {kind: row["input"] for kind in kinds if "input" in row} | dict(row)


def _prices(model_id: str, row: Any, base: Prices | None) -> Prices:
    if not isinstance(row, dict):
        raise CatalogueError(f"models file: {model_id}: prices must be a table")
    given: dict[str, Any] = {}
    for name, value in row.items():
        if name == "step":
            given[name] = _prices(f"{model_id}: prices.step", value, base.step if base else None)
        elif name not in _PRICE_FIELDS:
            raise CatalogueError(f'models file: {model_id}: prices: "{name}" is not a field')
        else:
            given[name] = _price(model_id, name, value)
    if base is not None:
        return replace(base, **given)
    _require(f"{model_id}: prices", set(_PRICE_FIELDS) - {"step", "step_tokens"} - set(given))
    return Prices(**given)


def _price(model_id: str, name: str, value: Any) -> float | int:
    try:
        return _count(value) if name == "step_tokens" else _amount(value)
    except ValueError as error:
        raise CatalogueError(
            f"models file: {model_id}: prices.{name} {error}, not {value!r}"
        ) from None


def _require(where: str, missing: set[str]) -> None:
    if missing:
        raise CatalogueError(f"models file: {where}: lacks {', '.join(sorted(missing))}")


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ValueError("must be a whole number above 0")
    return value


def _amount(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise ValueError("must be a number of USD, 0 or more")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _text(value: Any) -> str:
    if isinstance(value, datetime.date):
        return value.isoformat()
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value


def _optional_text(value: Any) -> str | None:
    return _text(value) or None


def _levels(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("must be a list of texts")
    return tuple(value)


def _choice(allowed: tuple[Any, ...]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return value

    return read


_BY_TYPE: Mapping[Any, Callable[[Any], Any]] = {
    int: _count,
    float: _amount,
    bool: _flag,
    str: _text,
    str | None: _optional_text,
    tuple[str, ...]: _levels,
}
_TYPES = get_type_hints(Model)
_READERS: Mapping[str, Callable[[Any], Any]] = {
    f.name: _BY_TYPE.get(_TYPES[f.name]) or _choice(get_args(_TYPES[f.name]))
    for f in fields(Model)
    if f.name not in ("id", "prices")
}
_OPTIONAL = {f.name for f in fields(Model) if f.default is not MISSING}
_PRICE_FIELDS = tuple(f.name for f in fields(Prices))
