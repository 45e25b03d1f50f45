"""What every test shares: which kinds are left out is said by name."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import settings

# How long one example takes says more about the other work on the machine than about the code.
settings.register_profile("ccproxy", deadline=None)
settings.load_profile("ccproxy")

LEFT_OUT = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the golden files anew instead of comparing",
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEFT_OUT] = []


class Deselected:
    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.config.stash[LEFT_OUT] += [item.nodeid for item in items]


def pytest_collection(session: pytest.Session) -> None:
    session.config.pluginmanager.register(Deselected(session.config))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    left_out = config.stash[LEFT_OUT]
    if left_out and config.option.markexpr:
        terminalreporter.section(f"left out by -m '{config.option.markexpr}' (.ci/run runs them)")
        for node in left_out:
            terminalreporter.line(node)
