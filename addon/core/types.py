"""Types that packages share which do not import each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

type JsonObject = dict[str, Any]
"""A decoded JSON object of an API."""

type Dialect = Literal["chat", "responses", "messages"]
"""The API that a client uses: OpenAI Chat Completions, OpenAI Responses, or Anthropic Messages."""

type Phase = Literal["connect", "before_headers", "before_content", "after_content"]
"""How far an attempt had got when it failed. Once the client has received content, nothing is retried."""


@dataclass(eq=False, repr=False, slots=True)
class Tried:
    """What was tried with the credential in use; reset when another credential takes over."""

    retries: int = 0
    reconnected: bool = False
    refreshed: bool = False
    waited: bool = False
    trimmed: bool = False
    stripped: bool = False
    server_tools_dropped: bool = False
    mended: int = 0
