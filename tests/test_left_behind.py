"""A test that leaves something behind fails itself."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import ctx

from tests.left_behind import ENDS_WITHIN, left_behind, process_state
from tests.masters import addon_context, masters_end

type Leak = Callable[[ExitStack], Any]
"""Changes something of the process, and has the stack set it right."""


def a_logger(undo: ExitStack) -> None:
    logger = logging.getLogger("some.where")
    undo.callback(logger.setLevel, logger.level)
    logger.setLevel(logging.ERROR)


def a_handler(undo: ExitStack) -> None:
    handler = logging.NullHandler()
    logging.root.addHandler(handler)
    undo.callback(logging.root.removeHandler, handler)


def a_filter(undo: ExitStack) -> None:
    handler, added = logging.root.handlers[0], logging.Filter()
    handler.addFilter(added)
    undo.callback(handler.removeFilter, added)


def all_logging(undo: ExitStack) -> None:
    logging.disable(logging.ERROR)
    undo.callback(logging.disable, logging.NOTSET)


def umask(undo: ExitStack) -> None:
    undo.callback(os.umask, os.umask(0o027))


def folder(undo: ExitStack) -> None:
    undo.callback(os.chdir, Path.cwd())
    os.chdir("/")


def variable(undo: ExitStack) -> None:
    os.environ["CCPROXY_LEFT"] = "1"  # noqa: TID251
    undo.callback(os.environ.pop, "CCPROXY_LEFT")  # noqa: TID251


def path(undo: ExitStack) -> None:
    sys.path.insert(0, "/left")
    undo.callback(sys.path.remove, "/left")


def collector(undo: ExitStack) -> None:
    undo.callback(gc.set_threshold, *gc.get_threshold())
    gc.set_threshold(12_345)


def frozen(undo: ExitStack) -> None:
    gc.freeze()
    undo.callback(gc.unfreeze)


def a_signal(undo: ExitStack) -> None:
    undo.callback(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def output(undo: ExitStack) -> None:
    undo.callback(setattr, sys, "stdout", sys.stdout)
    sys.stdout = sys.__stdout__


def timeout(undo: ExitStack) -> None:
    socket.setdefaulttimeout(12)
    undo.callback(socket.setdefaulttimeout, None)


def temporary(undo: ExitStack) -> None:
    undo.callback(setattr, tempfile, "tempdir", tempfile.tempdir)
    tempfile.tempdir = "/left"


def a_thread(undo: ExitStack) -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    undo.callback(thread.join)
    undo.callback(end.set)


def a_process(undo: ExitStack) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    undo.callback(process.communicate)


def a_loop(undo: ExitStack) -> None:
    undo.callback(asyncio.new_event_loop().close)


def a_master(undo: ExitStack) -> None:
    undo.enter_context(addon_context())


LINUX_ONLY = [
    pytest.param(
        leak,
        told,
        id=leak.__name__,
        marks=pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's"),
    )
    for leak, told in ((a_process, "child processes"), (a_loop, "open event loops"))
]


@pytest.mark.parametrize(
    ("leak", "told"),
    [
        pytest.param(leak, told, id=leak.__name__)
        for leak, told in (
            (a_logger, "some.where.level"),
            (a_handler, "root.handlers"),
            (a_filter, "root.handlers"),
            (all_logging, "logging.disable"),
            (umask, "umask"),
            (folder, "working directory"),
            (variable, "CCPROXY_LEFT"),
            (path, "sys.path"),
            (collector, "garbage collector"),
            (frozen, "frozen objects"),
            (a_signal, "SIGTERM"),
            (output, "standard streams"),
            (timeout, "socket timeout"),
            (temporary, "temporary directory"),
            (a_thread, "threads"),
            (a_master, "mitmproxy's master"),
        )
    ]
    + LINUX_ONLY,
)
def test_what_is_left_is_told_by_name(
    leak: Leak, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.left_behind.ENDS_WITHIN", 0.01)
    before = process_state()
    with ExitStack() as undo:
        leak(undo)
        assert told in "\n".join(left_behind(before))
    assert left_behind(before) == []


def test_nothing_is_said_of_what_ends_by_itself_soon() -> None:
    before = process_state()
    threading.Timer(ENDS_WITHIN / 10, lambda: None).start()
    assert left_behind(before) == []


def test_a_master_ends_with_its_block_also_when_the_test_fails() -> None:
    before = process_state()
    with pytest.raises(ValueError, match="a defect"), masters_end(), addon_context():
        assert ctx.master
        raise ValueError("a defect")
    assert left_behind(before) == []


LEAKING = """
import logging
from tests.conftest import leaves_the_process_as_it_was

def test_that_leaks():
    logging.root.addHandler(logging.NullHandler())

def test_behind_it():
    pass
"""


def test_the_test_that_leaves_it_fails_and_not_the_next(tmp_path: Path) -> None:
    (tmp_path / "test_two.py").write_text(LEAKING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    root = Path(__file__).parents[1]
    ran = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(root)}, capture_output=True, text=True
    )
    assert "this test left behind:" in ran.stdout
    assert "ERROR test_two.py::test_that_leaks" in ran.stdout
    assert "2 passed, 1 error" in ran.stdout
