"""Adapts a request to what Anthropic requires of requests by subscription."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from addon.claude.blocks import blocks_of
from addon.core.types import JsonObject

SYSTEM_LINE = "You are Claude Code, Anthropic's official CLI for Claude."
"""Anthropic rejects a subscription's request if its system prompt does not begin with it."""
SUBSCRIPTION_BETAS = ("claude-code-20250219", "oauth-2025-04-20")
"""Without the second one, Anthropic does not accept the Bearer token of a subscription."""

# Long contexts no longer need a beta, and a subscription's request with it is rejected: "The long context beta is not
# yet available for this subscription." Cursor still sends it.
OBSOLETE_BETAS = frozenset({"context-1m-2025-08-07"})


_HOLDERS = ("system", "tools", "messages", "content")
"""The fields whose items may have cache marks."""


def beta_header(betas: Iterable[str], *, subscription: bool) -> str:
    """The value of `anthropic-beta`; may be empty."""
    wanted = set(betas) - OBSOLETE_BETAS - set(SUBSCRIPTION_BETAS)
    return ",".join([*(SUBSCRIPTION_BETAS if subscription else ()), *sorted(wanted)])


def for_subscription(request: JsonObject, extra_instruction: str) -> JsonObject:
    """The request with the required system line first, then the operator's sentence, and without `ttl` in its cache
    marks, which is rejected for subscriptions. `request` is not changed."""
    lines = [SYSTEM_LINE, extra_instruction.strip()]
    blocks: list[JsonObject] = [{"type": "text", "text": line} for line in lines if line]
    out = without_ttl(request)
    system = blocks_of(out.get("system") or [])
    if system and system[0].get("text") == SYSTEM_LINE:  # Claude Code itself is the client
        blocks = []
    return {**out, "system": blocks + system}


def without_ttl(value: Any) -> Any:
    """`value` without `ttl` in any `cache_control`; parts without it are shared, not copied."""
    return _without_ttl(value) if _holds_ttl(value) else value


def _holds_ttl(value: JsonObject) -> bool:
    """Most requests have none, and searching is much cheaper than copying."""
    mark = value.get("cache_control")
    if mark is not None and isinstance(mark, dict) and "ttl" in mark:
        return True
    for name in _HOLDERS if "messages" in value else ("content",):
        items = value.get(name)
        if isinstance(items, list):
            for item in items:
                if isinstance(item, dict) and _holds_ttl(item):
                    return True
    return False


def _without_ttl(value: Any) -> Any:
    if isinstance(value, list):
        items = [_without_ttl(item) for item in value]
        return (
            items if any(new is not old for new, old in zip(items, value, strict=True)) else value
        )
    if not isinstance(value, dict):
        return value
    mark = value.get("cache_control")
    changed = {
        key: _without_ttl(value[key]) for key in _HOLDERS if isinstance(value.get(key), list)
    }
    if isinstance(mark, dict) and "ttl" in mark:
        changed["cache_control"] = {key: item for key, item in mark.items() if key != "ttl"}
    if any(changed[key] is not value[key] for key in changed):
        return {**value, **changed}
    return value
