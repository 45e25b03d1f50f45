"""The proxy's secret: made once, private, and never replaced behind the user's back."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from addon.core.secret import keep_secret, secret_file, stored_secret, with_stored_secret
from addon.core.settings import Settings, SettingsError


def test_the_first_start_makes_one_that_only_its_owner_can_read(tmp_path: Path) -> None:
    secret = keep_secret(tmp_path / "state")
    mode = stat.S_IMODE(secret_file(tmp_path / "state").stat().st_mode)
    assert (mode, secret.startswith("sk-"), len(secret) >= 32) == (0o600, True, True)


def test_later_starts_find_the_same(tmp_path: Path) -> None:
    assert keep_secret(tmp_path) == keep_secret(tmp_path) == stored_secret(tmp_path)


def test_two_folders_have_two_secrets(tmp_path: Path) -> None:
    assert keep_secret(tmp_path / "a") != keep_secret(tmp_path / "b")


def test_looking_for_one_makes_none(tmp_path: Path) -> None:
    assert stored_secret(tmp_path) is None
    assert not secret_file(tmp_path).exists()


@pytest.mark.parametrize(
    "content", [b"", b"short\n", b"\xff" * 40], ids=["empty", "cut-off", "binary"]
)
def test_a_spoilt_file_is_said_and_not_used(tmp_path: Path, content: bytes) -> None:
    secret_file(tmp_path).write_bytes(content)
    with pytest.raises(SettingsError, match="secret"):
        stored_secret(tmp_path)
    assert secret_file(tmp_path).read_bytes() == content


def test_a_home_that_is_a_file_is_one_clear_sentence(tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.write_text("")
    with pytest.raises(SettingsError, match="CCPROXY_HOME"):
        keep_secret(home)


def test_the_settings_take_the_stored_one(tmp_path: Path) -> None:
    secret = keep_secret(tmp_path)
    assert with_stored_secret(Settings.from_env({"CCPROXY_HOME": str(tmp_path)})).secret == secret


def test_the_users_own_wins(tmp_path: Path) -> None:
    keep_secret(tmp_path)
    env = {"CCPROXY_HOME": str(tmp_path), "PROXY_SECRET_KEY": "mine"}
    assert with_stored_secret(Settings.from_env(env)).secret == "mine"
