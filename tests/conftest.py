"""What every test shares: which kinds are left out is said by name."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import settings

from tests.left_behind import left_behind, process_state

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


@pytest.fixture(autouse=True)
def leaves_the_process_as_it_was() -> Iterator[None]:
    """Fails the test that leaves something behind: otherwise another one fails, and only in some orders."""
    before = process_state()
    yield
    left = left_behind(before)
    assert not left, "this test left behind:\n" + "\n".join(left)


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEFT_OUT] = []
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell has what it runs in the background ignore Ctrl+C, and all that is started from there as well.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        item.config.stash[LEFT_OUT].append(item.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    told = getattr(session.config, "workeroutput", None)
    if told is not None:  # a process of pytest-xdist's, which tells the first one
        told["left_out"] = session.config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    # every process collects the same tests
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    left_out = config.stash[LEFT_OUT]
    if left_out and config.option.markexpr:
        terminalreporter.section(f"left out by -m '{config.option.markexpr}' (.ci/run runs them)")
        for node in left_out:
            terminalreporter.line(node)
