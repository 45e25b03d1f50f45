"""start.bat opened by a double click, as far as it can be tried without Windows."""

from __future__ import annotations

from pathlib import Path

import pytest

from addon.cli.double_click import BY_EXPLORER, wants_tunnel
from addon.core.settings import Settings


@pytest.mark.parametrize(
    ("command_line", "explorer"),
    [
        (r'C:\WINDOWS\system32\cmd.exe /c ""C:\Users\me\my ccproxy\start.bat" "', True),
        (r'C:\WINDOWS\system32\cmd.exe /c ""C:\Users\me\ccproxy\start.bat""', False),
        (r'"C:\WINDOWS\system32\cmd.exe"', False),
        ("", False),
    ],
    ids=["explorer", "powershell", "cmd", "another-system"],
)
def test_a_double_click_is_told_from_a_terminal(command_line: str, explorer: bool) -> None:
    assert (BY_EXPLORER.search(command_line) is not None) is explorer


@pytest.mark.parametrize(
    ("typed", "wanted"), [("y", True), ("Yes ", True), ("", False), ("n", False)]
)
def test_it_asks_once_and_keeps_the_answer(tmp_path: Path, typed: str, wanted: bool) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=9000")
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return typed

    assert wants_tunnel(Settings.from_env({}), file, ask) is wanted
    assert file.read_text() == f"PORT=9000\nDOUBLE_CLICK_TUNNEL={str(wanted).lower()}\n"
    kept = Settings.from_env({"DOUBLE_CLICK_TUNNEL": str(wanted)})
    assert wants_tunnel(kept, file, ask) is wanted
    assert asked == ["Also open a tunnel for Cursor? [y/N] "]


def test_an_answer_that_cannot_be_kept_still_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wants_tunnel(Settings.from_env({}), tmp_path / "no" / ".env", lambda _: "y")
    assert "can't be written" in capsys.readouterr().err
