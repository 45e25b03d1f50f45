"""The locks by themselves. A `FakeClock` measures age; the heartbeat is real, and fast where it matters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from addon.credentials.credential import CredentialError
from addon.credentials.locks import AllLocks, FolderLock, LockTiming, MarkerLock, OwnLock, TryLock
from tests.credentials.samples import HOUR, NOW
from tests.credentials.world import FakeClock

FAST = LockTiming(heartbeat=0.02)


@pytest.fixture
def fake() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".oauth_refresh.lock"


def date(path: Path, age: float) -> None:
    os.utime(path, (NOW - age, NOW - age))


def seconds_until_taken(lock: TryLock, fake: FakeClock, patience: int = 100) -> int | None:
    for second in range(patience):
        if lock.try_acquire():
            lock.release()
            return second
        fake.advance(1)
    return None


def test_one_holder_at_a_time(path: Path) -> None:
    first, second = FolderLock(path), FolderLock(path)
    assert first.try_acquire()
    assert not second.try_acquire()
    first.release()
    assert second.try_acquire()
    second.release()
    assert not path.exists()


@pytest.mark.parametrize(
    ("age", "seconds"),
    [
        pytest.param(61, 6, id="O3 61 s old: taken after one heartbeat of watching"),
        pytest.param(31, 30, id="O3 31 s old: waited for until 60 s"),
        pytest.param(0, 61, id="fresh: waited for until 60 s"),
        pytest.param(-4 * HOUR, 60, id="O3 dated in the future: taken after 60 s of silence"),
    ],
)
def test_a_lock_whose_holder_died(path: Path, fake: FakeClock, age: float, seconds: int) -> None:
    path.mkdir()
    date(path, age)
    taken = seconds_until_taken(FolderLock(path, clock=fake.clock), fake)
    assert taken is not None
    assert abs(taken - seconds) <= 1


def test_a_living_lock_is_never_taken_however_the_clock_jumps(path: Path, fake: FakeClock) -> None:
    path.mkdir()
    lock = FolderLock(path, clock=fake.clock)
    for second in range(0, 300, 5):
        date(path, HOUR - second)
        assert not lock.try_acquire()
        fake.advance(5)


def test_o3_a_file_in_the_place_of_the_lock_is_reported_and_left(path: Path) -> None:
    path.write_text("x")
    with pytest.raises(CredentialError, match="is not a folder") as caught:
        FolderLock(path).try_acquire()
    assert (caught.value.kind, str(path) in caught.value.message) == ("lock_timeout", True)
    assert path.read_text() == "x"


def test_o3_a_dead_lock_that_is_not_empty_is_reported_and_left(path: Path, fake: FakeClock) -> None:
    path.mkdir()
    (path / "something").touch()
    date(path, 61)
    lock = FolderLock(path, clock=fake.clock)
    assert not lock.try_acquire()
    fake.advance(6)
    with pytest.raises(CredentialError, match="remove it yourself"):
        lock.try_acquire()
    assert (path / "something").exists()


def test_o4_a_lock_of_a_killed_process_of_ours_is_free_after_a_minute(
    path: Path, fake: FakeClock
) -> None:
    code = f"""
from collections.abc import Callable
from pathlib import Path
from addon.credentials.locks import FolderLock
assert FolderLock(Path({str(path)!r})).try_acquire()
print("held", flush=True)
input()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGKILL)
    date(path, 0)
    assert list(path.iterdir()) == []
    taken = seconds_until_taken(FolderLock(path, clock=fake.clock), fake)
    assert taken is not None
    assert taken <= 61


def test_the_heartbeat_keeps_the_lock_young(path: Path) -> None:
    lock = FolderLock(path, timing=FAST)
    assert lock.try_acquire()
    first = path.stat().st_mtime_ns
    deadline = time.monotonic() + 5
    while path.stat().st_mtime_ns == first and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.stat().st_mtime_ns > first
    assert not lock.compromised
    lock.release()


@pytest.mark.parametrize("theft", ["taken over", "touched", "removed"])
def test_a_stolen_lock_is_noticed_and_the_thiefs_is_left(path: Path, theft: str) -> None:
    lock = FolderLock(path, timing=FAST)
    assert lock.try_acquire()
    if theft == "touched":
        os.utime(path, (NOW, NOW))
    else:
        path.rmdir()
    if theft == "taken over":
        path.mkdir()
        os.utime(path, (NOW, NOW))
    deadline = time.monotonic() + 5
    while not lock.compromised and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lock.compromised
    lock.release()
    assert path.exists() == (theft != "removed")


def test_a_lock_stolen_between_two_heartbeats_is_left_as_well(path: Path) -> None:
    lock = FolderLock(path)
    assert lock.try_acquire()
    os.utime(path, (NOW, NOW))
    lock.release()
    assert path.exists()


def test_an_optional_lock_that_cannot_be_made_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    impossible = tmp_path / "file" / "claude.lock"
    assert FolderLock(impossible, optional=True).try_acquire()
    with pytest.raises(CredentialError) as caught:
        FolderLock(impossible).try_acquire()
    assert caught.value.kind == "unwritable"


def test_the_lock_of_a_login_in_the_keychain_makes_its_folder(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / ".claude" / ".oauth_refresh.lock")
    assert lock.try_acquire()
    lock.release()


MILLISECONDS = str(int(NOW * 1000))


@pytest.mark.parametrize(
    ("content", "seconds"),
    [
        pytest.param(MILLISECONDS, 31, id="fresh"),
        pytest.param(str(int((NOW - 25) * 1000)), 6, id="25 s old"),
        pytest.param(str(int((NOW - 31) * 1000)), 6, id="31 s old"),
        pytest.param(str(int((NOW + HOUR) * 1000)), 30, id="dated in the future"),
        pytest.param("garbage", 31, id="garbage: by its modification time"),
        pytest.param("", 31, id="empty: just being written"),
    ],
)
def test_the_original_ccproxys_lock_file(
    path: Path, fake: FakeClock, content: str, seconds: int
) -> None:
    path.write_text(content)
    date(path, 0)
    taken = seconds_until_taken(MarkerLock(path, clock=fake.clock), fake)
    assert taken is not None
    assert abs(taken - seconds) <= 1
    assert not path.exists()


def test_our_own_lock_file_reads_like_the_originals(path: Path, fake: FakeClock) -> None:
    lock = MarkerLock(path, clock=fake.clock)
    assert lock.try_acquire()
    assert path.read_text() == MILLISECONDS
    assert not MarkerLock(path, clock=fake.clock).try_acquire()
    lock.release()
    assert not path.exists()


def test_a_lock_file_that_another_has_replaced_is_left(path: Path, fake: FakeClock) -> None:
    lock = MarkerLock(path, clock=fake.clock)
    assert lock.try_acquire()
    path.write_text("1")
    lock.release()
    assert path.read_text() == "1"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_folder_in_the_place_of_the_lock_file_is_none_of_our_business(
    make: Callable[[Path], None], path: Path
) -> None:
    make(path)
    lock = MarkerLock(path)
    assert lock.try_acquire()
    lock.release()
    assert path.exists()


def test_instances_of_ours_exclude_each_other_even_in_one_process(tmp_path: Path) -> None:
    first, second = (OwnLock(tmp_path / "home" / "refresh.lock") for _ in range(2))
    assert first.try_acquire()
    assert not second.try_acquire()
    first.release()
    assert second.try_acquire()
    second.release()


def test_all_or_none(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b", "c")]
    locks = AllLocks([FolderLock(path) for path in paths])
    assert locks.try_acquire()
    assert all(path.exists() for path in paths)
    locks.release()
    assert not any(path.exists() for path in paths)

    paths[1].mkdir()
    assert not locks.try_acquire()
    assert [path.exists() for path in paths] == [False, True, False]


def test_none_is_left_held_when_one_cannot_be_had_at_all(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    with pytest.raises(CredentialError):
        AllLocks([FolderLock(tmp_path / "a"), FolderLock(tmp_path / "b")]).try_acquire()
    assert not (tmp_path / "a").exists()
