"""What somebody may have meant who wrote a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

CUTOFF = 0.75
"""How alike two names must be. `tunel` and `tunnel` are 0.9, `CONTEX_STRATEGY` and `CONTEXT_STRATEGY` 0.97."""


def closest(word: str, known: Iterable[str]) -> str | None:
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=CUTOFF)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence to put behind another one, with a blank in front; empty when nothing is close."""
    found = closest(word, known)
    return f" Did you mean {found}?" if found else ""
