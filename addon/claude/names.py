"""Reads the model names that clients send: Anthropic's id, and what the name says about thinking.

Cursor writes `claude-4.5-opus-high-thinking` up to version 4.6, and `claude-opus-4-8-thinking-high-fast` from 4.7 on.
Routers put the provider in front (`anthropic/`, `us.anthropic.`), and Claude Code appends `[1m]`.
"""

from __future__ import annotations

import re
from functools import lru_cache

from addon.core.frozen import frozen

LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_FLAGS = frozenset((*LEVELS, "thinking", "fast"))
_IGNORED = frozenset(("latest",))

_PREFIX = "ak-"
"""Users write it in front of a name, so that Cursor does not use its own model of that name."""
_PROVIDER = re.compile(r"^(?:[a-z-]{2,12}\.)?anthropic\.")  # Bedrock: us-gov.anthropic.claude-…
_DECORATION = re.compile(
    r"\[1m\]|-v\d+(?::\d+)?$|:(?:beta|exacto|extended|floor|free|nitro|online)\b"
)
"""Claude Code's mark of the window; Bedrock's revision; OpenRouter's variants of how a model is served
(https://openrouter.ai/docs/guides/routing/model-variants), which mean nothing at Anthropic."""
_WINDOW = re.compile(r"\[1m\]\s*$", re.IGNORECASE)
_SEPARATOR = re.compile(
    r"[-:@()]+"
)  # OpenRouter's :thinking, Vertex's @20251101, CLIProxyAPI's (high)
_VERSION_DOT = re.compile(r"(?<=\d)\.(?=\d)")
_NAME = re.compile(r"claude-[a-z0-9_.-]*[a-z0-9]")

_OLD_ORDER_IDS_UNTIL = (
    3  # claude-3-5-sonnet-20241022 is a real id; from 4 on the family comes first
)


@frozen(kw_only=True)
class ModelChoice:
    """What a model name asks for; `None` if it says nothing."""

    id: str
    effort: str | None = None
    """One of LEVELS."""
    thinking: bool | None = None
    fast: bool = False
    whole_window: bool = False
    """`[1m]`: the conversation may fill the model's own window."""


@lru_cache(256)
def parse(name: str) -> ModelChoice | None:
    """None if `name` is not the name of a Claude model. Unknown versions are passed on; Anthropic then returns that
    there is no such model."""
    bare = _bare(name)
    if not bare.startswith("claude"):
        return None
    words = [word for word in _SEPARATOR.split(bare) if word and word not in _IGNORED]
    model_id = "-".join(_family_first([word for word in words if word not in _FLAGS]))
    if not _NAME.fullmatch(model_id):
        return None
    level = next((word for word in reversed(words) if word in LEVELS), None)
    return ModelChoice(
        id=model_id,
        effort=level,
        thinking=_thinking(words, level),
        fast="fast" in words,
        whole_window=_WINDOW.search(name) is not None,
    )


def _bare(name: str) -> str:
    bare = name.strip().lower().rsplit("/", 1)[-1].removeprefix(_PREFIX)
    bare = _DECORATION.sub("", _PROVIDER.sub("", bare))
    return _VERSION_DOT.sub("-", bare)


def _family_first(words: list[str]) -> list[str]:
    """`claude 4 5 opus` → `claude opus 4 5`."""
    versions = 0
    while versions < len(words) - 1 and _is_version(words[versions + 1]):
        versions += 1
    old_order = 0 < versions < len(words) - 1
    if not old_order or int(words[1]) <= _OLD_ORDER_IDS_UNTIL:
        return words
    return [words[0], words[versions + 1], *words[1 : versions + 1], *words[versions + 2 :]]


def _is_version(word: str) -> bool:
    return word.isdecimal() and len(word) <= 2


def _thinking(words: list[str], level: str | None) -> bool | None:
    if level == "none":
        return False
    return True if "thinking" in words else None
