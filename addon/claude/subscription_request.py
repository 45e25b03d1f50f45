"""Adapts a request to what Anthropic requires of requests by subscription."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from addon.claude.blocks import blocks_of
from addon.core.types import JsonObject

SYSTEM_LINE = "You are Claude Code, Anthropic's official CLI for Claude."
"""Anthropic rejects a subscription's request if its system prompt does not begin with it."""
SUBSCRIPTION_BETAS = ("claude-code-20250219", "oauth-2025-04-20")
"""Without the second one a Bearer token is not taken for a subscription's."""
BETA = "anthropic-beta"

SESSION_HEADER = "x-claude-code-session-id"
_ATTRIBUTION = "x-anthropic-billing-header:"
"""Anthropic strips this block of Claude Code's from the prompt, but only where it is the first one (Claude Code gateway
compatibility guide, "Attribution block")."""
_IDENTITY = re.compile(
    r"You are (Claude Code, Anthropic's official CLI for Claude"
    r"|a Claude agent, built on Anthropic's Claude Agent SDK)\b"
)
"""Claude Code's own, with and without "running within the Claude Agent SDK", and the agent SDK's (`claude -p`)."""

type Headers = list[tuple[str, str]]


def is_claude_code(request: JsonObject, headers: Collection[str]) -> bool:
    """Whether a `/v1/messages` request is of Claude Code or its agent SDK. `headers`: their names in lower case."""
    if SESSION_HEADER in headers:
        return True
    first = next(iter(blocks_of(request.get("system"))), None)
    text = first.get("text") if isinstance(first, dict) else None
    return isinstance(text, str) and (
        text.startswith(_ATTRIBUTION) or _IDENTITY.match(text) is not None
    )


def betas_in(headers: Headers) -> list[str]:
    """The betas that headers name, in their order."""
    values = [value for name, value in headers if name.lower() == BETA]
    return [beta for value in values for part in value.split(",") if (beta := part.strip())]


def with_betas(headers: Headers, wanted: Iterable[str], refused: Collection[str] = ()) -> Headers:
    """`headers` with the betas that they lack put behind the others, and without the `refused`; what need not change
    stays as it was written."""
    told = betas_in(headers)
    missing = [b for b in dict.fromkeys(wanted) if b not in told and b not in refused]
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
    """The request with the required system line in front and the operator's sentence behind it. Nothing in `request` is
    changed; a `system` of another shape is left for Anthropic to refuse."""
    system = request.get("system")
    if not isinstance(system, str | list | None):
        return request
    lines = [SYSTEM_LINE, extra_instruction.strip()]
    blocks = [{"type": "text", "text": line} for line in lines if line]
    said = blocks_of(system) if system else []
    if said and isinstance(said[0], dict) and said[0].get("text") == SYSTEM_LINE:
        return request
    return {**request, "system": [*blocks, *said]}
