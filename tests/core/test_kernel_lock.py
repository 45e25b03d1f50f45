"""A lock that another process has, and that is free once that process has died."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from addon.core.kernel_lock import KernelLock
from tests.documents import ROOT

HOLD = """
import subprocess, sys
from pathlib import Path
from addon.core.kernel_lock import KernelLock
lock = KernelLock(Path(sys.argv[1]))
assert lock.try_acquire()
with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_dead_process_holds_nothing_nor_do_its_children(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    lock = KernelLock(path)
    command = [sys.executable, "-c", HOLD, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        assert not lock.try_acquire()
        holder.kill()
    assert lock.try_acquire()
    assert not KernelLock(path).try_acquire()
    lock.release()
    lock.release()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_cannot_be_locked_is_an_error_and_not_somebody_elses(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        KernelLock(tmp_path).try_acquire()
