"""What is read beside the environment itself: the files of models."""

from __future__ import annotations

from pathlib import Path

import pytest

from addon.core.environment import models_files
from addon.core.settings import SettingsError


def test_the_users_models_come_behind_the_built_in_ones(tmp_path: Path) -> None:
    built_in = models_files(tmp_path)
    (tmp_path / "models.toml").write_text("# mine: ä", encoding="utf-8")
    assert models_files(tmp_path) == [*built_in, "# mine: ä"]


def test_a_models_file_in_another_encoding_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text("# mine: ä", encoding="latin-1")
    with pytest.raises(SettingsError, match=r"models\.toml cannot be read: .*UTF-8"):
        models_files(tmp_path)
