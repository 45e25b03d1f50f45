"""The counter: stable, additive, of the right size, and another for each tokenizer family."""

from __future__ import annotations

import base64
import struct

import pytest

from addon.stand_in.models import FakeModel, table
from addon.stand_in.record import JsonObject
from addon.stand_in.tokens import Counter, image_tokens, kind_of

OLD, NEW = table()["claude-opus-4-5"], table()["claude-opus-5-5"]
PROSE = "It was the best of times, it was the worst of times, it was the age of wisdom. " * 50
CODE = "def add(a, b):\n    return (a + b)\n\nfor i in range(10):\n    print(add(i, 1))\n" * 50


@pytest.mark.parametrize(
    ("sample", "kind"),
    [
        (PROSE, "prose"),
        ("const a = 1;\nfunction f() {\n  return a;\n}\n" * 9, "code"),
        ('{"a": 1}', "json"),
        ("1\tfoo\n2\tbar\n3\tbaz\n", "numbered"),
        ("# A\n- b\n- c\n- d\n", "markdown"),
        ("QUJD" * 99, "base64"),
        ("搜索一下这个问题", "wide"),
    ],
)
def test_kinds_of_text_are_told_apart(sample: str, kind: str) -> None:
    assert kind_of(sample) == kind


@pytest.mark.parametrize(("model", "low", "high"), [(OLD, 3.5, 5.0), (NEW, 2.4, 3.6)])
def test_characters_per_token_of_prose_are_those_of_the_family(
    model: FakeModel, low: float, high: float
) -> None:
    assert low < len(PROSE) / Counter().text(PROSE, model) < high


def test_the_same_text_always_counts_the_same() -> None:
    assert Counter().text(CODE, NEW) == Counter().text(CODE, NEW)


def test_noise_differs_from_text_to_text() -> None:
    counter = Counter()
    assert len({counter.text(f"{PROSE}{n}", NEW) for n in range(9)}) > 3


def png(width: int, height: int) -> JsonObject:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)
    return {"type": "base64", "data": base64.b64encode(head + bytes(40)).decode()}


@pytest.mark.parametrize(
    ("width", "height", "old", "new"),
    [(1000, 1000, 1296, 1296), (1920, 1080, 1568, 2691), (2560, 1440, 1568, 4784)],
)
def test_images_cost_their_tiles_up_to_the_cap(width: int, height: int, old: int, new: int) -> None:
    # The published figure for the first two on old models is 1560: their last row of tiles is cut off.
    assert abs(image_tokens(png(width, height), OLD) - old) <= 32
    assert image_tokens(png(width, height), NEW) == new


def test_images_of_unknown_size_cost_the_cap() -> None:
    assert image_tokens({"type": "url", "url": "https://a/b.png"}, NEW) == 4784
