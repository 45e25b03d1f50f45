"""What every test shares: which kinds are left out is said by name."""

from __future__ import annotations

import gc
import signal
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import pytest

from tests import budget
from tests.left_behind import left_behind, process_state

HOW_TO_RUN = {
    "thorough": "./start.sh test --all",
    "node": ".ci/run",
    "browser": ".ci/run",
    "faketime": ".ci/run",
    "long": "pytest -m long",
}
"""The kinds of tests that are left out, see pyproject.toml."""
LEFT_OUT = pytest.StashKey[list[tuple[str, str]]]()
"""(kind, test) of each."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all",
        action="store_true",
        help="run the thorough tests as well, and all examples of the properties",
    )
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
    budget.choose(everything=config.getoption("--all"))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell has what it runs in the background ignore Ctrl+C, and all that is started from there as well.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Without a look for garbage, which would walk some thousands of tests again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--all") or "thorough" in config.option.markexpr.split():
        return
    thorough = [item for item in items if item.get_closest_marker("thorough")]
    if thorough:
        config.hook.pytest_deselected(items=thorough)
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        kind = next((name for name in HOW_TO_RUN if item.get_closest_marker(name)), None)
        if kind:
            item.config.stash[LEFT_OUT].append((kind, item.nodeid.partition("[")[0]))


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
    left_out = Counter(config.stash[LEFT_OUT])
    for kind, command in HOW_TO_RUN.items():
        tests = {test: count for (of, test), count in left_out.items() if of == kind}
        if tests:
            terminalreporter.section(f"left out: {sum(tests.values())} {kind} ({command})")
            for test, count in sorted(tests.items()):
                terminalreporter.line(f"{test} ({count})" if count > 1 else test)
    if not config.getoption("--all"):
        terminalreporter.line("Properties were tried with a fifth of their examples (--all: all).")
