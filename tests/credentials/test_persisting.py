"""Writing the credentials file so that nobody ever finds a part of it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from addon.core.files import check_writable, write_atomically
from addon.credentials.credential import CredentialError
from addon.credentials.store import FileStore
from tests.credentials.kill_writer import FILLING
from tests.credentials.samples import document, read, write

ROOT = Path(__file__).parents[2]
KILLS = 200


@pytest.mark.thorough
def test_o10_two_hundred_kills_in_the_middle_of_saving_corrupt_nothing(tmp_path: Path) -> None:
    real, link = tmp_path / "real" / "c.json", tmp_path / ".credentials.json"
    content = document("a0", "r0")
    content["mcpOAuth"]["filling"] = FILLING
    write(real, content)
    link.symlink_to(real)
    run = subprocess.run(
        [sys.executable, "-m", "tests.credentials.kill_writer", link, str(KILLS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    result = json.loads(run.stdout)
    assert result["wrong"] == []
    assert result["orphans"] > KILLS / 10, "the kills did not hit the saving"
    assert result["left"] == 0


def test_a_new_file_is_for_its_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        write_atomically(tmp_path / "c.json", b"{}")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "c.json").stat().st_mode) == 0o600


class BusyFile:
    """Windows: another process has the file open for the first `times` tries."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.tries = 0

    def replace(self, source: Path, target: Path) -> None:
        self.tries += 1
        if self.tries <= self.times:
            raise PermissionError(13, "Access is denied")
        source.replace(target)


def test_windows_a_file_that_is_open_elsewhere_is_replaced_a_moment_later(tmp_path: Path) -> None:
    path, busy, pauses = tmp_path / "c.json", BusyFile(9), list[float]()
    write_atomically(path, b"new", replace=busy.replace, pause=pauses.append, posix=False)
    assert path.read_bytes() == b"new"
    assert pauses == [0.05] * 9


def test_windows_a_file_that_stays_open_is_left_as_it_was(tmp_path: Path) -> None:
    path, busy = tmp_path / "c.json", BusyFile(99)
    write(path, document())
    store = FileStore(path, replace=busy.replace, pause=lambda _: None)
    with pytest.raises(CredentialError) as caught:
        store.save(document("new"))
    assert caught.value.kind == "unwritable"
    assert busy.tries == 10
    assert read(path) == document()
    assert [file.name for file in tmp_path.iterdir()] == ["c.json"]


def test_windows_has_no_mode_to_keep(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_atomically(path, b"new", posix=False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_check_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "c.json", 10_000)
    assert list(tmp_path.iterdir()) == []


def test_the_check_notices_a_disk_that_is_too_full(tmp_path: Path) -> None:
    code = f"""
import resource, signal
from pathlib import Path
from addon.core.files import check_writable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    check_writable(Path({str(tmp_path / "c.json")!r}), 2000)
except OSError as error:
    print(error.strerror)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "File too large"
    assert list(tmp_path.iterdir()) == []


def test_a_young_temporary_file_of_another_writer_is_not_swept(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    young, old = tmp_path / "c.json.ccproxy-young", tmp_path / "c.json.ccproxy-old"
    young.touch()
    old.touch()
    os.utime(old, (0, 0))
    write(path, document())
    FileStore(path).save(document("new"))
    assert young.exists()
    assert not old.exists()
