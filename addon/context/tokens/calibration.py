"""The factor from local tokens to Claude's, learnt from answers."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from addon.claude.model import Model

type Basis = Literal["calibrated", "prior"]

# Measured against API-verified tokens: about 1.20 times cl100k up to 4.6, 1.55 times from 4.7 on. Until the first
# answer the safe side of it.
PRIORS = {"old": 1.25, "new": 1.60}
CLAMPS = {"old": (0.9, 2.2), "new": (1.0, 2.6)}

_PLAUSIBLE = (0.6, 3.0)
_FULL_WEIGHT = 20_000
_SLOWEST = 0.2
_FIRST_SPREAD = 0.05


@dataclass(slots=True)
class _Factor:
    log: float
    spread: float = _FIRST_SPREAD
    seen: int = 0
    outlier: float | None = None
    """A reading far off; believed when the next one agrees with it."""

    def observe(self, reading: float, weight: float) -> None:
        error = abs(reading - self.log)
        if self.seen and error > 3 * self.spread and not self._agrees(reading):
            self.outlier = reading
            return
        self.outlier = None
        rate = max(_SLOWEST, 1 / (self.seen + 1)) * weight
        self.spread = max(0.01, (1 - rate) * self.spread + rate * error)
        self.log += rate * (reading - self.log)
        self.seen += 1

    def _agrees(self, reading: float) -> bool:
        return self.outlier is not None and abs(reading - self.outlier) <= 3 * self.spread


class Calibration:
    """Factors by model id, with the tokenizer family's as the fall-back."""

    def __init__(self) -> None:
        self._factors: dict[str, _Factor] = {}

    def factor(self, model: Model) -> tuple[float, Basis]:
        for name in (model.id, model.tokenizer):
            if known := self._factors.get(name):
                return _clamped(math.exp(known.log), model), "calibrated"
        return PRIORS[model.tokenizer], "prior"

    def observe(self, model: Model, claude: int, local: int) -> None:
        """Learn from a text of `local` tokens that was `claude` tokens; implausible ratios are ignored."""
        ratio = claude / local if local > 0 else 0.0
        if not _PLAUSIBLE[0] <= ratio <= _PLAUSIBLE[1]:
            return
        reading, weight = math.log(ratio), min(1.0, local / _FULL_WEIGHT)
        for name in (model.id, model.tokenizer):
            if name not in self._factors:
                self._factors[name] = _Factor(reading, seen=1)
            else:
                self._factors[name].observe(reading, weight)

    def dump(self) -> dict[str, Any]:
        return {name: asdict(factor) for name, factor in self._factors.items()}

    def load(self, factors: dict[str, Any]) -> None:
        """Take up what `dump` gave; raises TypeError or ValueError for anything else."""
        for name, fields in factors.items():
            factor = _Factor(**fields)
            if not _PLAUSIBLE[0] <= math.exp(float(factor.log)) <= _PLAUSIBLE[1]:
                raise ValueError(f"factor of {name} is out of range")
            self._factors[name] = factor


def _clamped(factor: float, model: Model) -> float:
    low, high = CLAMPS[model.tokenizer]
    return min(max(factor, low), high)
