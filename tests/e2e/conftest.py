"""A fake Anthropic and a proxy in front of it: one for each test, or one shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from tests.dashboard.conftest import chromium, pictures
from tests.e2e.proxy import Proxy

__all__ = ["chromium", "pictures"]


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


@dataclass(frozen=True, slots=True)
class World:
    """A fake and a proxy that serve many tests. What the proxy remembers (a resting credential) stays."""

    fake: FakeAnthropic
    proxy: Proxy

    def reset(self) -> None:
        """Forget what came, what was scripted and what was cached."""
        self.fake.log.clear()
        self.fake.api.script.clear()
        self.fake.rules.cache.clear()
        self.fake.greet("serve")

    @property
    def untouched(self) -> bool:
        """Upstream has seen nothing, not even a connection."""
        return not self.fake.connections and not self.fake.requests


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    """Of the module's shared proxy; a module overrides this fixture."""
    return {}


@pytest.fixture(scope="module")
def running(settings: Mapping[str, Any]) -> Iterator[World]:
    with FakeAnthropic() as server, Proxy(server.url, **settings) as proxy:
        yield World(server, proxy)


@pytest.fixture
def world(running: World) -> Iterator[World]:
    """The module's fake and proxy, as new."""
    running.reset()
    yield running
    running.proxy.hang_up()
