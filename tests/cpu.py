"""A guard against cost that grows with the square: CPU time of this process, whatever else the machine does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cpu_below(seconds: float = 10.0) -> Iterator[None]:
    """The block takes a small part of `seconds`, and would take a multiple if it were quadratic."""
    started = time.process_time()
    yield
    assert time.process_time() - started < seconds
