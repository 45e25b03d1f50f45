"""The file of api.log: it turns over, is its owner's alone, and gets over a disk that refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from addon.addons.api_log import RotatingFile, open_log
from addon.core.settings import Settings


def write(file: RotatingFile, *lines: bytes) -> None:
    for line in lines:
        assert file.write(memoryview(line)) == len(line)


def test_a_full_file_makes_room_and_the_oldest_goes(tmp_path: Path) -> None:
    file = RotatingFile(tmp_path / "log", most=10, backups=2)
    write(
        file, b"one\n", b"two\n", b"three\n", b"four\n", b"a line longer than the file\n", b"end\n"
    )
    file.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "log": b"end\n",
        "log.1": b"a line longer than the file\n",
        "log.2": b"four\n",
    }
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_file_from_before_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"before\n")
    file = RotatingFile(tmp_path / "log", most=10)
    write(file, b"one\n")
    file.close()
    assert (tmp_path / "log.1").read_bytes() == b"before\n"
    assert (tmp_path / "log").read_bytes() == b"one\n"


def test_a_folder_that_can_be_made_later_is_used_then(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "file" / "home"
    home.parent.touch()
    settings = Settings.from_env({"CCPROXY_HOME": str(home), "VERBOSE_LOGGING": "true"})
    writer = open_log(settings)
    assert writer is not None and "api.log can't be written" in caplog.text
    home.parent.unlink()
    writer.put(b"now\n")
    writer.close()
    assert (home / "api.log").read_bytes() == b"now\n"


def test_without_being_asked_for_there_is_none(tmp_path: Path) -> None:
    assert open_log(Settings.from_env({"CCPROXY_HOME": str(tmp_path)})) is None
