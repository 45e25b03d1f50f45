"""start.bat opened by a double click, as far as it can be tried without Windows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from addon.cli.bootstrap import prepare
from addon.cli.double_click import BY_EXPLORER, start, wants_tunnel
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


HOLD = "Press Enter to close this window."
DOUBLE_CLICK = r'C:\WINDOWS\system32\cmd.exe /c ""C:\ccproxy\start.bat" "'


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The questions that a window opened by Explorer asks; each is answered with Enter."""
    questions: list[str] = []

    def ask(question: str) -> str:
        questions.append(question)
        return ""

    monkeypatch.setattr("builtins.input", ask)
    monkeypatch.setenv("CCPROXY_OPENED_BY", DOUBLE_CLICK)
    monkeypatch.setenv("DOUBLE_CLICK_TUNNEL", "false")
    return questions


def exit_with(code: int) -> int:
    raise SystemExit(code)


@pytest.mark.parametrize("run", [lambda _: exit_with(1), lambda _: 1], ids=["exits", "returns"])
def test_the_window_stays_open_with_an_error(asked: list[str], run: Callable[[str], int]) -> None:
    assert (start(run), asked) == (1, [HOLD])


def test_the_window_closes_after_a_proxy_that_ended_well(asked: list[str]) -> None:
    assert (start(lambda _: exit_with(0)), asked) == (0, [])


def test_a_terminal_is_not_held(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CCPROXY_OPENED_BY")
    assert (start(lambda _: exit_with(1)), asked) == (1, [])


def test_an_env_file_that_is_no_text_holds_the_window(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_bytes("PORT=8082\n".encode("utf-16"))
    monkeypatch.setenv("CCPROXY_ENV_FILE", str(file))
    assert (start(lambda _: exit_with(1)), asked) == (1, [HOLD])


def test_packages_that_cannot_be_installed_hold_the_window(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".venv").symlink_to(tmp_path)
    assert (prepare(tmp_path, []), asked) == (1, [HOLD])
    assert "without a usable Python" in capsys.readouterr().err
