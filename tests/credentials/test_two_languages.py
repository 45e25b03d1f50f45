"""O1: our folder lock and the npm package proper-lockfile, side by side on one lock.

Without Node these are skipped, but never where CI is set.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from addon.credentials.locks import FolderLock, LockTiming
from tests.credentials.world import FakeClock

pytestmark = pytest.mark.node

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).with_name("node")
WORKERS, ROUNDS = 3, 60


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lock.js beside its installed package."""
    if not (shutil.which("node") and shutil.which("npm")):
        if os.getenv("CI"):
            pytest.fail("CI has no Node.js: the lock shared with Claude Code is not tested")
        pytest.skip("needs Node.js and npm")
    folder = tmp_path_factory.mktemp("node")
    for file in SOURCE.glob("*.js*"):
        shutil.copy(file, folder)
    subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", folder],
        check=True,
        capture_output=True,
        timeout=100,
    )
    return folder / "lock.js"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".oauth_refresh.lock"


def node_tries(script: Path, path: Path) -> str:
    tried = subprocess.run(
        ["node", script, "try", path], capture_output=True, text=True, timeout=30, check=False
    )
    return tried.stdout.strip()


@contextmanager
def held_by_node(script: Path, path: Path, stale: int = 60_000) -> Iterator[subprocess.Popen[str]]:
    holder = subprocess.Popen(
        ["node", script, "hold", path, str(stale)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder


@pytest.mark.parametrize("name", [".oauth_refresh.lock", "claude.lock"])
def test_o1_three_of_each_language_lose_no_update(script: Path, tmp_path: Path, name: str) -> None:
    path, file = tmp_path / name, tmp_path / "number"
    file.write_text("0")
    node = ["node", script, "count", path, file, str(ROUNDS)]
    python = [sys.executable, "-m", "tests.credentials.count_under_lock", path, file, str(ROUNDS)]
    workers = [subprocess.Popen(command, cwd=ROOT) for command in [node, python] * WORKERS]
    assert [worker.wait(timeout=100) for worker in workers] == [0] * len(workers)
    assert file.read_text() == str(2 * WORKERS * ROUNDS)
    assert not path.exists()


def test_o1_what_we_hold_node_does_not_get(script: Path, path: Path) -> None:
    lock = FolderLock(path)
    assert lock.try_acquire()
    assert node_tries(script, path) == "ELOCKED"
    assert not lock.compromised
    lock.release()
    assert node_tries(script, path) == "taken"


def test_o1_what_node_holds_we_do_not_get(script: Path, path: Path) -> None:
    with held_by_node(script, path) as holder:
        assert not FolderLock(path).try_acquire()
        assert holder.communicate()[0] == "released\n"
    lock = FolderLock(path)
    assert lock.try_acquire()
    lock.release()


def test_o1_nodes_heartbeat_counts_as_life_for_us(script: Path, path: Path) -> None:
    """By our clock, which waits for its beats, we would take a lock that is still for a second and a half."""
    time_goes_by = FakeClock()
    lock = FolderLock(path, timing=LockTiming(stale=1.5, watch=1.5), clock=time_goes_by.clock)
    with held_by_node(script, path, stale=2_000) as holder:
        for _ in range(3):
            assert not lock.try_acquire()
            beaten, deadline = path.stat().st_mtime_ns, time.monotonic() + 20
            while path.stat().st_mtime_ns == beaten and time.monotonic() < deadline:
                time.sleep(0.01)
            time_goes_by.advance(1.4)
        assert not lock.try_acquire()
        assert holder.communicate()[0] == "released\n"


def test_o4_node_recovers_a_lock_of_a_killed_process_of_ours(script: Path, path: Path) -> None:
    path.mkdir()  # what a killed holder leaves: an empty folder, and nobody who dates it
    os.utime(path, (time.time() - 30,) * 2)
    assert node_tries(script, path) == "ELOCKED"
    os.utime(path, (time.time() - 61,) * 2)
    assert node_tries(script, path) == "taken"


def test_o4_we_recover_a_lock_of_a_killed_node(script: Path, path: Path) -> None:
    with held_by_node(script, path) as holder:
        holder.send_signal(signal.SIGKILL)
    os.utime(path, (time.time() - 61,) * 2)
    lock = FolderLock(path, timing=LockTiming(watch=0.2))
    assert not lock.try_acquire()
    time.sleep(0.25)
    assert lock.try_acquire()
    lock.release()


def test_o1_a_lock_that_node_steals_is_left_to_node(script: Path, path: Path) -> None:
    lock = FolderLock(path, timing=LockTiming(heartbeat=0.1))
    assert lock.try_acquire()
    path.rmdir()
    with held_by_node(script, path):
        deadline = time.monotonic() + 5
        while not lock.compromised and time.monotonic() < deadline:
            time.sleep(0.05)
        assert lock.compromised
        lock.release()
        assert path.is_dir()
