"""From the sizes of a request's parts to Claude's count."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from addon.context.tokens.anchors import Found
from addon.context.tokens.calibration import CLAMPS
from addon.context.tokens.count import Count, Source
from addon.context.tokens.measure import Size

# Share of the not anchored tokens that the estimate may be off by.
MARGINS: dict[Source, float] = {"calibrated": 0.08, "prior": 0.20, "weights": 0.30}
ANCHOR_MARGIN = 0.005


@dataclass(frozen=True)
class Sizes:
    """The sizes of a request's parts, and what lies outside of them."""

    system: Size
    tools: Size
    messages: list[Size]
    thinking: list[int]
    overhead: int
    family: str
    rough: bool
    """Some were weighed, for want of a count."""

    @cached_property
    def text(self) -> int:
        return self.system.text + self.tools.text + sum([size.text for size in self.messages])

    @cached_property
    def fixed(self) -> int:
        head = self.system.fixed_for(self.family) + self.tools.fixed_for(self.family)
        return self.overhead + head + sum(self.fixed_each)

    @cached_property
    def fixed_each(self) -> list[int]:
        """What each message costs besides its text."""
        parts = zip(self.messages, self.thinking, strict=True)
        return [size.fixed_for(self.family) + thinking for size, thinking in parts]


def estimate(sizes: Sizes, factor: float, source: Source, found: Found | None) -> Count:
    """The count by a `factor` that comes from `source`, on an anchor where one was found."""
    total = _total(sizes, factor, found)
    if found and found.exact:
        unsure = abs(total - found.anchor.total) / max(total, 1)
        return _count(sizes, total, ANCHOR_MARGIN + MARGINS[source] * unsure, "anchored")
    return _count(sizes, total, MARGINS[source], source)


def _total(sizes: Sizes, factor: float, found: Found | None) -> int:
    if found is None:
        return round(sizes.fixed + factor * sizes.text)
    anchor, grown = found.anchor, sizes.text - found.anchor.text
    if anchor.text:
        # A conversation's own ratio tells more of how it grows than that of all conversations, once it has some length.
        low, high = CLAMPS[sizes.family]
        own = min(max((anchor.total - anchor.fixed) / anchor.text, low), high)
        share = min(1.0, anchor.text / max(abs(grown), 1))
        factor += share * (own - factor)
    return max(0, round(anchor.total + sizes.fixed - anchor.fixed + factor * grown))


def _count(sizes: Sizes, total: int, margin: float, source: Source) -> Count:
    """Share the total out over the parts: each its fixed price, and its part of the rest by its text."""
    factor = (total - sizes.fixed) / sizes.text if sizes.text else 0.0

    def price(size: Size, fixed: int) -> int:
        return round(fixed + factor * size.text)

    return Count(
        total=total,
        system=price(sizes.system, sizes.system.fixed_for(sizes.family)),
        tools=price(sizes.tools, sizes.tools.fixed_for(sizes.family)) + sizes.overhead,
        per_message=tuple(map(price, sizes.messages, sizes.fixed_each)),
        factor=factor,
        margin=margin,
        source=source,
    )
