"""Estimates Claude's count from local sizes, with factors and anchors that are learnt from true counts.

A count is the fixed costs plus a factor times the tokens of the local vocabulary. The factor is learnt from the true
counts in responses, for each model and each tokenizer family; before the first one, it is assumed (`PRIORS`).

An anchor is the true count of a prefix that was sent. If the request continues such a prefix, only what has been added
since is estimated, so that the error doesn't grow with the conversation. If only tools or system differ, the difference
of their local sizes is added as well, and the result is less certain.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from addon.claude.digest import Fingerprint
from addon.claude.model import Model
from addon.context.tokens.count import Count, CountSource
from addon.context.tokens.measure import Size
from addon.core.frozen import frozen
from addon.core.lru import Lru


class Anchor(NamedTuple):
    """The true count of a prefix, and its local sizes."""

    total: int
    text: int
    fixed: int


class Found(NamedTuple):
    anchor: Anchor
    exact: bool
    """Tools and system are the same as well, not just the messages."""


class Anchors:
    """The newest 512 prefixes with a true count (digests and integers only)."""

    def __init__(self, size: int = 512) -> None:
        self._anchors: Lru[bytes, Anchor] = Lru(2 * size)

    def put(self, fingerprint: Fingerprint, family: str, anchor: Anchor) -> None:
        """Store the true count of a request; `family`: the tokenizer."""
        self._anchors.put(_whole(fingerprint, family) + fingerprint.prefix_digests[-1], anchor)
        self._anchors.put(_bare(family) + fingerprint.prefix_digests[-1], anchor)

    def find(self, fingerprint: Fingerprint, family: str) -> Found | None:
        """The longest known prefix; if there is none with these tools and system, one with others."""
        if anchor := self._longest(_whole(fingerprint, family), fingerprint.prefix_digests):
            return Found(anchor, exact=True)
        if anchor := self._longest(_bare(family), fingerprint.prefix_digests):
            return Found(anchor, exact=False)
        return None

    def _longest(self, head: bytes, names: list[bytes]) -> Anchor | None:
        return self._anchors.first(head + name for name in names[:0:-1])

    def dump(self) -> list[list[Any]]:
        return [[name.hex(), *anchor] for name, anchor in self._anchors.items()]

    def load(self, rows: list[Any]) -> None:
        """Load the result of `dump`; raises ValueError or TypeError for anything else. Leaves out sums of several
        prompts, which earlier versions took for one."""
        for name, *numbers in rows:
            anchor = Anchor(*map(int, numbers))
            if anchor.total <= anchor.fixed + _PLAUSIBLE[1] * anchor.text + _UNSEEN:
                self._anchors.put(bytes.fromhex(name), anchor)


def _whole(fingerprint: Fingerprint, family: str) -> bytes:
    """The beginning of an anchor's key; the digest of the messages follows."""
    return family.encode() + fingerprint.system + fingerprint.tools


def _bare(family: str) -> bytes:
    return family.encode()


type Basis = Literal["calibrated", "prior"]

# Measured against true counts: about 1.20 times cl100k up to 4.6, 1.55 times from 4.7 on. Until the first true count,
# somewhat more is assumed.
PRIORS = {"old": 1.25, "new": 1.60}
CLAMPS = {"old": (0.9, 2.2), "new": (1.0, 2.6)}

_PLAUSIBLE = (0.6, 3.0)
_UNSEEN = 1_000
"""Tokens that may be in a prompt besides what was measured: a line of the subscription's, server tools."""
_FULL_WEIGHT = 20_000
_SLOWEST = 0.2
_FIRST_SPREAD = 0.05


@dataclass(eq=False, repr=False, slots=True)
class _Factor:
    log: float
    spread: float = _FIRST_SPREAD
    seen: int = 0
    outlier: float | None = None
    """A reading that differs a lot; accepted if the next one agrees with it."""

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
    """Factors by model id, and by tokenizer family for models without one."""

    def __init__(self) -> None:
        self._factors: dict[str, _Factor] = {}

    def factor(self, model: Model) -> tuple[float, Basis]:
        for name in (model.id, model.tokenizer):
            if known := self._factors.get(name):
                return _clamped(math.exp(known.log), model), "calibrated"
        return PRIORS[model.tokenizer], "prior"

    def observe(self, model: Model, claude: int, local: int) -> None:
        """Learn from a text of `local` tokens and `claude` true tokens; implausible ratios are ignored."""
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
        """Load the result of `dump`; raises TypeError or ValueError for anything else."""
        for name, fields in factors.items():
            factor = _Factor(**fields)
            if not _PLAUSIBLE[0] <= math.exp(float(factor.log)) <= _PLAUSIBLE[1]:
                raise ValueError(f"factor of {name} is out of range")
            self._factors[name] = factor


def _clamped(factor: float, model: Model) -> float:
    low, high = CLAMPS[model.tokenizer]
    return min(max(factor, low), high)


# The possible error, as a share of the tokens without an anchor.
MARGINS: dict[CountSource, float] = {"calibrated": 0.08, "prior": 0.20, "weights": 0.30}
ANCHOR_MARGIN = 0.005


@frozen(slots=False)
class Sizes:
    """The sizes of a request's parts, and its other costs."""

    system: Size
    tools: Size
    messages: list[Size]
    thinking: list[int]
    overhead: int
    family: str
    rough: bool = False
    """Some sizes are estimates by weights."""
    unsure: int = 0
    """By how many tokens of the vocabulary a sample of texts may be too low."""

    @cached_property
    def text(self) -> int:
        return self.system.text + self.tools.text + sum([size.text for size in self.messages])

    @cached_property
    def fixed(self) -> int:
        head = self.system.fixed_for(self.family) + self.tools.fixed_for(self.family)
        return self.overhead + head + sum(self.fixed_each)

    @cached_property
    def most(self) -> int:
        """What the request can't exceed, so that no guess above it is believed."""
        parts = (self.system, self.tools, *self.messages)
        return self.overhead + sum(self.thinking) + sum(p.most_for(self.family) for p in parts)

    def unsure_for(self, factor: float) -> float:
        """`unsure` in Claude's tokens. A `factor` of all parts is too low for text where images were smaller than
        estimated."""
        return max(factor, PRIORS[self.family]) * self.unsure

    def can_be(self, total: int) -> bool:
        """Whether a response that claims so many tokens may be right."""
        return total <= self.most + _UNSEEN

    @cached_property
    def fixed_each(self) -> list[int]:
        """The tokens of each message besides its text."""
        parts = zip(self.messages, self.thinking, strict=True)
        return [size.fixed_for(self.family) + thinking for size, thinking in parts]


def estimate(sizes: Sizes, factor: float, source: CountSource, found: Found | None) -> Count:
    """The count by a `factor` that comes from `source`, and by an anchor if one was found."""
    total = _total(sizes, factor, found)
    if found and found.exact:
        unsure = abs(total - found.anchor.total) / max(total, 1)
        return _count(sizes, total, ANCHOR_MARGIN + MARGINS[source] * unsure, "anchored")
    return _count(sizes, min(total, sizes.most), MARGINS[source], source)


def _total(sizes: Sizes, factor: float, found: Found | None) -> int:
    if found is None:
        return round(sizes.fixed + factor * sizes.text)
    anchor, grown = found.anchor, sizes.text - found.anchor.text
    if anchor.text:
        # Once a conversation is long enough, its own ratio predicts its growth better than that of all conversations.
        low, high = CLAMPS[sizes.family]
        own = min(max((anchor.total - anchor.fixed) / anchor.text, low), high)
        share = min(1.0, anchor.text / max(abs(grown), 1))
        factor += share * (own - factor)
    return max(0, round(anchor.total + sizes.fixed - anchor.fixed + factor * grown))


def _count(sizes: Sizes, total: int, margin: float, source: CountSource) -> Count:
    """Distribute the total over the parts: the fixed tokens of each, and the others in proportion to its text. Where
    the total is less than what is fixed (an estimate, too), in proportion to the latter."""
    factor = (total - sizes.fixed) / sizes.text if sizes.text else 0.0
    share = min(1.0, total / max(sizes.fixed, 1))
    sampling = sizes.unsure_for(factor) / max(total, 1)

    def price(size: Size, fixed: int) -> int:
        return round(fixed * share + max(0.0, factor) * size.text)

    return Count(
        total=total,
        system=price(sizes.system, sizes.system.fixed_for(sizes.family)),
        tools=price(sizes.tools, sizes.tools.fixed_for(sizes.family) + sizes.overhead)
        if sizes.tools.text
        else 0,
        per_message=tuple(map(price, sizes.messages, sizes.fixed_each)),
        factor=factor,
        margin=math.hypot(margin, sampling),
        source=source,
    )
