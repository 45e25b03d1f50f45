"""Suggests the right name for a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

CUTOFF = 0.75
"""How similar two names must be. `tunel` and `tunnel` are 0.9, `CONTEX_STRATEGY` and `CONTEXT_STRATEGY` 0.97."""


def closest(word: str, known: Iterable[str]) -> str | None:
    known = list(known)
    found = [name for name in known if sorted(name) == sorted(word)]  # `rnu`: too short for CUTOFF
    found = found or difflib.get_close_matches(word, known, n=1, cutoff=CUTOFF)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence to append to another one, with a leading space; empty if no name is similar."""
    found = closest(word, known)
    return f" Did you mean {found}?" if found else ""
