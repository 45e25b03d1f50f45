"""How much the tests that try many cases try: a part by default, all with `--all`."""

from __future__ import annotations

from hypothesis import settings

SMALL = 0.2
EXAMPLES = 100
"""Of a property that names no number of its own."""


def choose(*, everything: bool) -> None:
    """Before tests are collected: their decorators ask `examples`."""
    # How long one example takes says more about the other work on the machine than about the code.
    for name, count in (("all", EXAMPLES), ("small", int(EXAMPLES * SMALL))):
        settings.register_profile(name, deadline=None, max_examples=count)
    settings.load_profile("all" if everything else "small")


def examples(count: int) -> int:
    """Of `count` cases, how many are tried in this run."""
    return max(1, count * settings.default.max_examples // EXAMPLES)
