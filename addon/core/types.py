"""Names shared by the wire modules."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

type JsonObject = dict[str, Any]
"""A decoded JSON object in one of the wire formats."""

type Dialect = Literal["chat", "responses", "messages"]
"""What the client speaks: OpenAI Chat Completions, OpenAI Responses, or Anthropic Messages."""


def _dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Codec:
    """The JSON implementation, passed in so that a faster one can be used (`loads` takes bytes or str)."""

    loads: Callable[[bytes | str], Any] = json.loads
    dumps: Callable[[Any], bytes] = _dumps


STDLIB = Codec()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReply:
    """How a call of one upstream tool is given back to the client."""

    name: str
    """The client's own name for it (upstream's may be a sanitised one)."""
    custom: bool = False
    """Declared `type: custom`: the client wants the raw text of `input`, not JSON arguments."""
    wrapped: bool = False
    """The root schema was no object, so its value travels under the key `input`."""
    namespace: str | None = None
    """Responses only: the namespace the tool was declared in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a client asked of the shape of its answer; made by the request translation, used by the answer's."""

    model: str
    """The name the client asked for, echoed back (Cursor and cost dashboards key on it)."""
    stream: bool = False
    include_usage: bool = False
    tools: Mapping[str, ToolReply] = field(default_factory=dict)
    """By upstream tool name; a tool that is missing here goes back under its own name, as a function."""
    legacy_functions: bool = False
    """The request used `functions`: answer with `function_call`."""
    json_object: bool = False
    """The request asked for `response_format: json_object`: one code fence around the answer is taken off."""
    reasoning_fields: tuple[str, ...] = ("reasoning_content",)
    """Fields that carry thinking in chat answers; () shows none."""
    echo: JsonObject = field(default_factory=dict)
    """Responses only: request fields that the response object repeats (instructions, tools, ...)."""
