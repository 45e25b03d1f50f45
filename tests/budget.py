"""How much the tests that try many cases try: a part by default, all with `--all`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import settings

EXAMPLES = {"all": 100, "small": 20}
"""Of a property that names no number of its own."""


def choose(*, everything: bool) -> None:
    """Before tests are collected: their decorators ask `examples`."""
    # How long one example takes says more about the other work on the machine than about the code.
    for name, count in EXAMPLES.items():
        settings.register_profile(name, deadline=None, max_examples=count)
    settings.load_profile("all" if everything else "small")


def examples(count: int) -> int:
    """Of `count` cases, how many are tried in this run."""
    return max(1, count * settings().max_examples // EXAMPLES["all"])


def some[T](cases: Sequence[T]) -> Sequence[T]:
    """Of `cases`, as many as are tried in this run, evenly spread."""
    return cases[:: EXAMPLES["all"] // settings().max_examples]


def thorough_after(count: int, cases: Sequence[Any]) -> list[Any]:
    """Values of a parameter of which the first `count` are for every run, and the others for `--all`."""
    rest = (pytest.param(case, marks=pytest.mark.thorough) for case in cases[count:])
    return [*cases[:count], *rest]
