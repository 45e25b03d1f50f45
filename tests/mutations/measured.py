"""Coverage of addon/ in one process, with the running test's id as context; the children's sitecustomize begins it.

Which test runs, a child reads from a file, every few milliseconds. Imports nothing slow: every child imports it.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coverage

FOLDER, TREE, CONTEXT = "MUTATIONS_DATA", "MUTATIONS_TREE", "MUTATIONS_CONTEXT"
FORKING = "tests.e2e.preloaded"
LOOK = 0.002
"""Seconds between two looks of a child at which test is running."""


def begin() -> coverage.Coverage:
    found = coverage.Coverage(
        data_file=str(Path(os.environ[FOLDER]) / "part"),
        data_suffix=f"{os.getpid()}-{time.monotonic_ns()}",
        branch=True,
        source=[str(Path(os.environ[TREE]) / "addon")],
        config_file=False,
        messages=False,
    )
    found.start()
    return found


def begin_in_child() -> None:
    """By sitecustomize. The process that forks proxies (tests/e2e/preloaded.py) is left alone, not what it forks."""
    if not all(name in os.environ for name in (FOLDER, TREE, CONTEXT)):
        return
    if FORKING in sys.orig_argv:
        os.register_at_fork(after_in_child=_measure)
    else:
        _measure()


def _measure() -> None:
    measured = begin()
    ended = threading.Event()
    file = Path(os.environ[CONTEXT])
    looking = threading.Thread(target=_follow, args=(measured, file, ended), daemon=True)
    looking.start()

    def end() -> None:
        ended.set()
        looking.join()
        measured.stop()
        measured.save()

    atexit.register(end)
    os.execv = _after(end, os.execv)  # type: ignore[assignment]  # the launcher becomes mitmdump
    os._exit = _after(end, os._exit)  # type: ignore[assignment]


def _after(first: Callable[[], None], then: Callable[..., Any]) -> Callable[..., Any]:
    def both(*arguments: Any) -> Any:
        first()
        return then(*arguments)

    return both


def _follow(measured: coverage.Coverage, file: Path, ended: threading.Event) -> None:
    known, seen = "", file.with_name(f"{file.name}.{os.getpid()}")
    while not ended.wait(LOOK):
        test = file.read_text(encoding="utf-8")
        if test and test != known:
            measured.switch_context(test)
            known = test
            seen.write_text(test, encoding="utf-8")
