"""Where the files that a user writes are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from addon.core.environment import ROOT, users_file


def test_a_checkouts_files_are_beside_it() -> None:
    assert users_file(".env") == ROOT / ".env"


def test_an_installed_ccproxys_are_in_the_current_folder_or_in_its_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    installed = tmp_path / "site-packages" / "ccproxy"
    monkeypatch.setenv("CCPROXY_HOME", str(tmp_path / "home"))
    assert users_file(".env", installed) == tmp_path / "home" / ".env"
    (tmp_path / ".env").write_text("")
    assert users_file(".env", installed) == tmp_path / ".env"
