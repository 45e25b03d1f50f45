"""What a test must leave as it found it: state of the process that outlives a test, and changes the next one.

The warnings' filters are not among it: pytest restores them itself. The C library's malloc options can't be read.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from mitmproxy import ctx

if sys.platform != "win32":
    import resource

SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE")
    if hasattr(signal, name)
]
PER_TEST = ("PYTEST_CURRENT_TEST",)
"""Variables that pytest itself changes."""
STAYING: set[int] = set()
"""Child processes that serve the tests after the one that started them."""
FROZEN_BY_PYTHON = 5_000
"""More than the interpreter itself keeps from its collector: some hundreds."""
ENDS_WITHIN = 1.0
"""Seconds for a thread that was told to end."""
AS_MADE: Mapping[str, object] = {
    "level": logging.NOTSET,
    "propagate": True,
    "disabled": False,
    "handlers": [],
    "filters": (),
}


def process_state() -> dict[str, object]:
    """Values that can be compared, by what they are."""
    return {
        "loggers": dict(_loggers()),
        "logging.disable": logging.root.manager.disable,
        "logging.raiseExceptions": logging.raiseExceptions,
        "umask": _umask(),
        "working directory": Path.cwd(),
        "environment": {k: v for k, v in os.environ.items() if k not in PER_TEST},  # noqa: TID251
        "sys.path": tuple(sys.path),
        "garbage collector": (gc.isenabled(), gc.get_threshold(), gc.get_debug()),
        "frozen objects": gc.get_freeze_count() > FROZEN_BY_PYTHON,
        "signal handlers": {s.name: signal.getsignal(s) for s in SIGNALS},
        "standard streams": (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook),
        "socket timeout": socket.getdefaulttimeout(),
        "descriptors allowed": _descriptors_allowed(),
        "temporary directory": tempfile.tempdir,
        "threads": _threads(),
        "child processes": frozenset(_children()) - STAYING,
        "open event loops": frozenset(_open_event_loops()),
        "mitmproxy's master": getattr(ctx, "master", None),
    }


def left_behind(before: Mapping[str, object]) -> list[str]:
    """What is not as it was when `before` was taken, one line each."""
    _let_threads_end(before["threads"])
    after = process_state()
    told = ((name, _difference(before[name], after[name])) for name in before)
    return [f"{name}: {difference}" for name, difference in told if difference]


def _threads() -> frozenset[threading.Thread]:
    """Those that run, but for the pool of an event loop: it ends with the loop, and a loop left open is named itself."""
    alive = (thread for thread in threading.enumerate() if thread.is_alive())
    return frozenset(thread for thread in alive if not thread.name.startswith("asyncio_"))


def _let_threads_end(before: object) -> None:
    """A pool's threads end once nobody holds it any more."""
    assert isinstance(before, frozenset)
    more = _threads() - before
    for generation, seconds in ((1, ENDS_WITHIN / 10), (2, ENDS_WITHIN)):  # all of it takes long
        if not any(thread.is_alive() for thread in more):
            return
        gc.collect(generation)
        for thread in more:
            thread.join(seconds)


def _difference(before: object, after: object) -> str | None:
    if isinstance(before, frozenset) and isinstance(after, frozenset):
        # what went is no loss: it may have been an earlier test's, and collected just now
        came = after - before
        return f"there are {set(came)}" if came else None
    if before == after:
        return None
    if isinstance(before, dict) and isinstance(after, dict):
        changed = [n for n in {**before, **after} if before.get(n) != after.get(n)]
        return "; ".join(f"{n} was {before.get(n)}, is {after.get(n)}" for n in changed)
    return f"was {before}, is {after}"


def _loggers() -> Iterator[tuple[str, object]]:
    """What was set at loggers and at their handlers, where it was set at all."""
    known = logging.root.manager.loggerDict
    for name, logger in [("root", logging.root), *known.items()]:
        if isinstance(logger, logging.Logger):
            found = {
                "level": logger.level,
                "propagate": logger.propagate,
                "disabled": logger.disabled,
                "handlers": [(h, h.level, tuple(h.filters)) for h in logger.handlers],
                "filters": tuple(logger.filters),
            }
            yield from ((f"{name}.{n}", v) for n, v in found.items() if v != AS_MADE[n])


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _descriptors_allowed() -> object:
    return None if sys.platform == "win32" else resource.getrlimit(resource.RLIMIT_NOFILE)


def _children() -> Iterator[int]:
    """Processes that this one started and has not waited for, where the system tells."""
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended
            yield from map(int, file.read_text().split())


def _open_event_loops() -> Iterator[str]:
    """The descriptors of Linux's: each loop has one for epoll."""
    for file in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):  # the listing's own
            if str(file.readlink()) == "anon_inode:[eventpoll]":
                yield file.name
