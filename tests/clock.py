"""The clock of the tests: it stands still until it is moved."""

from __future__ import annotations

from dataclasses import dataclass

NOW = 1_790_000_000.0


@dataclass(slots=True)
class Clock:
    """Call it for the time; add to `now` to let time pass."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now
