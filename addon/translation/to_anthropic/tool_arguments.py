"""Converts tool call arguments, which are text in OpenAI's APIs, to the JSON object that Anthropic requires."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from addon.core.errors import BadRequest
from addon.core.types import JsonObject
from addon.translation.to_anthropic.fields import sanitized, sanitized_text
from addon.translation.types import ToolReply

WRAPPER = "input"
"""The only property of a tool whose input is not an object but text, a list or a number."""
RAW = "_raw_arguments"
"""Holds arguments that can't be parsed, so that the model sees its own mistake instead of an empty call."""

_PLAIN = ToolReply(name="")


def parse_arguments(arguments: Any, tool: ToolReply | None = None) -> JsonObject:
    """The `input` of a tool_use. `arguments`: JSON text, a decoded value, or None; `tool`: how the tool was declared,
    if it was. Never raises: text that can't be parsed is passed on under `RAW`."""
    tool = tool or _PLAIN
    if tool.custom:
        return arguments if isinstance(arguments, dict) else {WRAPPER: _as_text(arguments)}
    value = _decoded(arguments) if isinstance(arguments, str) else arguments
    if isinstance(value, str) and not tool.wrapped:
        value = _unwrapped(value)
    if value is None or (value == [] and not tool.wrapped):  # PHP writes an empty object as a list
        return {}
    if isinstance(value, dict) and (not tool.wrapped or _is_raw(value)):
        return renamed_keys(value, dict(tool.renamed))
    return {WRAPPER: value}


def renamed_keys(value: JsonObject, names: Mapping[str, str]) -> JsonObject:
    """`value` with the keys that `names` lists under their other name."""
    return {names.get(key, key): inner for key, inner in value.items()} if names else value


def _decoded(text: str) -> Any:
    """The JSON value of `text`. Models append prose or a second object to a complete one: the first object is used."""
    stripped = text.strip()
    if not stripped:
        return None
    try:
        value, end = _DECODER.raw_decode(stripped)
        if end == len(stripped) or isinstance(value, dict):
            return sanitized(value)
    except (ValueError, RecursionError, BadRequest):
        pass
    return {RAW: sanitized_text(text)}


def _unwrapped(text: str) -> Any:
    """Some clients encode the arguments twice: a JSON string that holds an object."""
    value = _decoded(text) if text.lstrip().startswith("{") else text
    return text if _is_raw(value) else value


def _is_raw(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {RAW}


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


# strict=False: models write raw newlines inside JSON strings. NaN, Infinity and 1e400 can't be encoded as JSON.
_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse, strict=False)
