"""A fake for each test, on a clock that the test sets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fake(clock: Clock) -> Iterator[FakeAnthropic]:
    with FakeAnthropic(clock=clock) as fake:
        yield fake
