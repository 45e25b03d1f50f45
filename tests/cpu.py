"""Guards against cost that grows with the square: CPU time of this process, whatever else the machine does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def cpu_below(seconds: float = 10.0) -> Iterator[None]:
    """The block takes a small part of `seconds`, and would take a multiple if it were quadratic."""
    started = time.process_time()
    yield
    assert time.process_time() - started < seconds


def assert_linear(work: Callable[[int], object], size: int) -> None:
    """Twice the size, twice: four times the cost where it is linear, sixteen times where it is quadratic.

    `size` is one at which a quadratic cost is far above the hundredth of a second that noise is allowed."""
    once, twice, four_times = (_least(work, size * factor) for factor in (1, 2, 4))
    assert four_times < 9 * once + 0.01, (once, twice, four_times)


def _least(work: Callable[[int], object], size: int, tries: int = 3) -> float:
    """Seconds of the best of several tries."""
    seconds = []
    for _ in range(tries):
        started = time.process_time()
        work(size)
        seconds.append(time.process_time() - started)
    return min(seconds)
