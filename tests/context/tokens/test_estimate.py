from __future__ import annotations

import pytest

from addon.context.tokens.estimate import Anchor, Found, Sizes, estimate
from addon.context.tokens.measure import Size


def sizes(text: int, fixed: int = 0) -> Sizes:
    messages = [Size(text=text, fixed=fixed, bytes=4 * text)]
    return Sizes(
        system=Size(),
        tools=Size(),
        messages=messages,
        thinking=[0],
        overhead=0,
        family="new",
        rough=False,
    )


def anchored(total: int, text: int, fixed: int = 0, exact: bool = True) -> Found:
    return Found(Anchor(total, text, fixed), exact)


@pytest.mark.parametrize(
    ("text", "found", "total"),
    [
        (1_000, None, 1_500),
        (10_500, anchored(20_000, 10_000), 21_000),
        (20_000, anchored(20_000, 10_000), 40_000),
        (21_000, anchored(2_000, 1_000), round(2_000 + (1.5 + 0.05 * 0.5) * 20_000)),
        (9_000, anchored(20_000, 10_000), 18_000),
        (10_000, anchored(90_000, 10_000, fixed=70_000), 20_000),
        (11_000, anchored(90_000, 10_000), 92_600),
    ],
    ids=[
        "no-anchor",
        "grown",
        "doubled",
        "short-anchor-counts-little",
        "shrunk",
        "image-gone",
        "clamped",
    ],
)
def test_growth_is_priced_by_the_conversations_own_ratio(
    text: int, found: Found | None, total: int
):
    assert estimate(sizes(text), 1.5, "calibrated", found).total == total


@pytest.mark.parametrize(
    ("found", "source", "margin"),
    [
        (None, "calibrated", 0.08),
        (anchored(20_000, 10_000, exact=False), "calibrated", 0.08),
        (anchored(20_000, 10_000), "anchored", 0.005),
    ],
    ids=["no-anchor", "other-tools", "same"],
)
def test_margin_says_how_sure_it_is(found: Found | None, source: str, margin: float):
    count = estimate(sizes(10_000), 1.5, "calibrated", found)
    assert (count.source, count.margin) == (source, margin)


def test_only_what_was_added_is_unsure():
    half = estimate(sizes(20_000), 1.5, "prior", anchored(20_000, 10_000))
    assert half.margin == pytest.approx(0.005 + 0.2 / 2)
    assert half.factor == pytest.approx(2.0)


def test_no_guess_is_above_one_token_a_byte():
    dense = [Size(text=10_000, fixed=50, bytes=10_000)]
    found = Sizes(Size(), Size(), dense, thinking=[7], overhead=3, family="new", rough=False)
    assert estimate(found, 2.6, "prior", None).total == 10_060
