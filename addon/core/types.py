"""Types that packages share which do not import each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

type JsonObject = dict[str, Any]
"""A decoded JSON object of an API."""

type Dialect = Literal["chat", "responses", "messages"]
"""The API that a client uses: OpenAI Chat Completions, OpenAI Responses, or Anthropic Messages."""

type Phase = Literal["connect", "before_headers", "before_content", "after_content"]
"""How far an attempt had got when it failed. Once the client has received content, nothing is retried."""


@dataclass(slots=True)
class Tried:
    """What was tried with the credential in use; reset when another credential takes over."""

    retries: int = 0
    reconnected: bool = False
    refreshed: bool = False
    waited: bool = False
    trimmed: bool = False
    stripped: bool = False


def _dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Codec:
    """The JSON implementation, passed in so that a faster one can be used (`loads` takes bytes or str)."""

    loads: Callable[[bytes | str], Any] = json.loads
    dumps: Callable[[Any], bytes] = _dumps


STDLIB = Codec()
