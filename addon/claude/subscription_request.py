"""Adapts a request to what Anthropic requires of requests by subscription."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from addon.claude.blocks import blocks_of
from addon.core.types import JsonObject

SYSTEM_LINE = "You are Claude Code, Anthropic's official CLI for Claude."
"""Anthropic rejects a subscription's request if its system prompt does not begin with it."""
SUBSCRIPTION_BETAS = ("claude-code-20250219", "oauth-2025-04-20")
"""Without the second one, Anthropic does not accept the Bearer token of a subscription."""
BETA = "anthropic-beta"

SESSION_HEADER = "x-claude-code-session-id"
_ATTRIBUTION = "x-anthropic-billing-header:"
"""The beginning of a block that Claude Code adds. Anthropic removes it from the prompt, but only if it is the first
block (Claude Code gateway compatibility guide, "Attribution block")."""
_IDENTITY = re.compile(
    r"You are (Claude Code, Anthropic's official CLI for Claude"
    r"|a Claude agent, built on Anthropic's Claude Agent SDK)\b"
)
"""The system line of Claude Code, also "running within the Claude Agent SDK", or of the agent SDK (`claude -p`)."""

type Headers = list[tuple[str, str]]


def is_claude_code(request: JsonObject, headers: Collection[str]) -> bool:
    """Whether a `/v1/messages` request is from Claude Code or its agent SDK. `headers`: names in lower case."""
    if SESSION_HEADER in headers:
        return True
    first = next(iter(blocks_of(request.get("system"))), None)
    text = first.get("text") if isinstance(first, dict) else None
    return isinstance(text, str) and (
        text.startswith(_ATTRIBUTION) or _IDENTITY.match(text) is not None
    )


def betas_in(headers: Headers) -> list[str]:
    """The betas in the headers, in order."""
    values = [value for name, value in headers if name.lower() == BETA]
    return [beta for value in values for part in value.split(",") if (beta := part.strip())]


def with_betas(headers: Headers, wanted: Iterable[str], refused: Collection[str] = ()) -> Headers:
    """`headers` with missing betas added at the end, and without `refused` ones. Otherwise they are unchanged."""
    given = betas_in(headers)
    missing = [b for b in dict.fromkeys(wanted) if b not in given and b not in refused]
    out = [_without(header, refused) for header in headers]
    out = [(name, value) for name, value in out if value or name.lower() != BETA]
    last = max((at for at, (name, _) in enumerate(out) if name.lower() == BETA), default=None)
    if missing and last is None:
        out.append((BETA, ",".join(missing)))
    elif missing and last is not None:
        out[last] = (out[last][0], ",".join([out[last][1], *missing]))
    return out


def _without(header: tuple[str, str], refused: Collection[str]) -> tuple[str, str]:
    name, value = header
    if name.lower() != BETA or not any(part.strip() in refused for part in value.split(",")):
        return header
    return name, ",".join(part for part in value.split(",") if part.strip() not in refused)


def for_subscription(request: JsonObject, extra_instruction: str) -> JsonObject:
    """The request with the required system line first, followed by the operator's sentence. `request` is not changed; a
    `system` of an unknown shape is left for Anthropic to reject."""
    system = request.get("system")
    if not isinstance(system, str | list | None):
        return request
    lines = [SYSTEM_LINE, extra_instruction.strip()]
    blocks = [{"type": "text", "text": line} for line in lines if line]
    said = blocks_of(system) if system else []
    if said and isinstance(said[0], dict) and said[0].get("text") == SYSTEM_LINE:
        return request
    return {**request, "system": [*blocks, *said]}
