"""A fake Anthropic and a proxy in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.proxy import Proxy
from tests.fakes.anthropic import FakeAnthropic


@pytest.fixture
def fake() -> Iterator[FakeAnthropic]:
    with FakeAnthropic() as server:
        yield server


type StartProxy = Callable[..., Proxy]


@pytest.fixture
def start_proxy(fake: FakeAnthropic) -> Iterator[StartProxy]:
    """Starts a proxy in front of `fake`, with settings as keywords; it ends with the test."""
    with ExitStack() as stack:

        def start(upstream: str | None = None, **options: Any) -> Proxy:
            return stack.enter_context(Proxy(upstream or fake.url, **options))

        yield start
