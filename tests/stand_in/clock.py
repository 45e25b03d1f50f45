"""A clock that a test sets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Clock:
    """Call it for the time; add to `now` to let time pass."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now
