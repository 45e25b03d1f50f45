"""The snapshot file: whole after any crash, private, and of one owner."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from addon.usage.budget import BudgetSettings
from addon.usage.ledger import UsageLedger
from addon.usage.snapshot import MAX_BYTES, SnapshotFile
from addon.usage.snapshot_format import Snapshot
from tests.clock import NOW, Clock
from tests.usage.records import record

ROOT = Path(__file__).parents[2]


def snapshot(requests: int) -> Snapshot:
    ledger = UsageLedger(Clock())
    for _ in range(requests):
        ledger.add(record())
    return Snapshot(ledger.state(), BudgetSettings(), known=True)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SnapshotFile]:
    file = SnapshotFile(tmp_path, Clock())
    file.open()
    yield file
    file.close()


def requests(file: SnapshotFile) -> int | None:
    loaded = file.load().snapshot
    return loaded.ledger.last_id if loaded else None


def test_no_file_is_no_problem(file: SnapshotFile) -> None:
    loaded = file.load()
    assert (loaded.snapshot, loaded.problems) == (None, [])


def test_what_is_saved_is_loaded_and_private(file: SnapshotFile, tmp_path: Path) -> None:
    file.save(snapshot(3))
    file.save(snapshot(4))
    assert requests(file) == 4
    names = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert names == {"usage.json": 0o600, "usage.json.prev": 0o600, "usage.lock": 0o600}


def test_the_home_is_made_private(tmp_path: Path) -> None:
    home = tmp_path / "a" / "b"
    file = SnapshotFile(home, Clock())
    file.open()
    assert file.refusal is None
    assert home.stat().st_mode & 0o777 == 0o700
    file.close()


@pytest.mark.parametrize(
    "content", [b"", b'{"half":', b"[]", b"\0" * 100], ids=["empty", "cut", "foreign", "zeros"]
)
def test_a_corrupt_file_is_set_aside_and_the_previous_one_used(
    content: bytes, file: SnapshotFile, tmp_path: Path
) -> None:
    file.save(snapshot(3))
    file.save(snapshot(4))
    (tmp_path / "usage.json").write_bytes(content)
    loaded = file.load()
    assert loaded.snapshot == snapshot(3)
    assert len(loaded.problems) == 1
    aside = tmp_path / f"usage.json.corrupt-{int(NOW)}"
    assert aside.read_bytes() == content
    assert aside.name in loaded.problems[0]


def test_two_corrupt_files_are_two_problems_and_no_snapshot(
    file: SnapshotFile, tmp_path: Path
) -> None:
    for name in ("usage.json", "usage.json.prev"):
        (tmp_path / name).write_text("x")
    loaded = file.load()
    assert loaded.snapshot is None
    assert len(loaded.problems) == 2
    assert file.load().problems == []


def test_a_huge_file_is_not_read(file: SnapshotFile, tmp_path: Path) -> None:
    with (tmp_path / "usage.json").open("wb") as huge:
        huge.truncate(MAX_BYTES + 1)
    assert "bigger than" in file.load().problems[0]


def test_a_pipe_in_its_place_does_not_hang(file: SnapshotFile, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "usage.json")
    assert "not a regular file" in file.load().problems[0]
    file.save(snapshot(1))
    assert requests(file) == 1


def test_a_directory_in_its_place_is_set_aside(file: SnapshotFile, tmp_path: Path) -> None:
    (tmp_path / "usage.json").mkdir()
    assert "not a regular file" in file.load().problems[0]
    file.save(snapshot(1))
    assert requests(file) == 1


def test_a_kill_between_the_renames_leaves_the_previous_file(
    file: SnapshotFile, tmp_path: Path
) -> None:
    file.save(snapshot(1))
    file.save(snapshot(2))
    (tmp_path / "usage.json").unlink()
    loaded = file.load()
    assert (loaded.snapshot, loaded.problems) == (snapshot(1), [])


def test_orphans_of_killed_processes_are_swept(tmp_path: Path) -> None:
    orphan, other = tmp_path / "usage.json.ccproxy-a1b2c3", tmp_path / "notes.ccproxy-a1b2c3"
    orphan.touch()
    other.touch()
    file = SnapshotFile(tmp_path, Clock())
    file.open()
    file.close()
    assert (orphan.exists(), other.exists()) == (False, True)


def test_a_second_instance_reads_and_leaves_everything_alone(
    file: SnapshotFile, tmp_path: Path
) -> None:
    file.save(snapshot(1))
    second = SnapshotFile(tmp_path, Clock())
    second.open()
    assert "another ccproxy" in (second.refusal or "")
    assert requests(second) == 1
    second.save(snapshot(9))
    assert requests(file) == 1
    (tmp_path / "usage.json").write_text("x")
    assert second.load().problems
    assert (tmp_path / "usage.json").read_text() == "x"
    second.close()
    file.save(snapshot(2))
    assert requests(file) == 2


def test_the_directory_is_free_after_close(file: SnapshotFile, tmp_path: Path) -> None:
    file.close()
    file.close()
    second = SnapshotFile(tmp_path, Clock())
    second.open()
    assert second.refusal is None
    file.save(snapshot(5))
    assert requests(second) is None
    second.close()


def test_a_home_that_cannot_be_made_is_a_refusal_and_no_unknown_past(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    file = SnapshotFile(tmp_path / "file" / "home", Clock())
    file.open()
    assert "cannot be written" in (file.refusal or "")
    loaded = file.load()
    assert (loaded.snapshot, loaded.problems) == (None, [])
    file.save(snapshot(1))
    file.close()


@contextmanager
def disk_full_after(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_the_old_file_and_no_rest(file: SnapshotFile, tmp_path: Path) -> None:
    file.save(snapshot(1))
    with disk_full_after(1_000), pytest.raises(OSError, match="too large"):
        file.save(snapshot(100))
    assert requests(file) == 1
    assert not [*tmp_path.glob("*.ccproxy-*")]
    file.save(snapshot(2))
    assert requests(file) == 2


@pytest.mark.thorough
def test_two_hundred_kills_lose_nothing_that_was_saved(tmp_path: Path) -> None:
    harness = ROOT / "tests" / "usage" / "kill_harness.py"
    done = subprocess.run(
        [sys.executable, harness, tmp_path / "home", "200"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},  # noqa: TID251 - a child needs its PATH
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    result = json.loads(done.stdout)
    assert result.pop("written") > 20  # the kills were among real saves
    assert result == {"killed": 200, "problems": 0, "lost": 0, "orphans": 0, "disagree": 0}
