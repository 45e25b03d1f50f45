"""The commands: their help, and what is said of one that does not exist."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from addon.cli.main import COMMANDS, MITMPROXY_OPTIONS, main
from tests.documents import ROOT


@pytest.mark.parametrize("words", [["help"], ["--help"], ["-h"], ["bootstrap", "--help"], ["help", "nonsense"]], ids=" ".join)  # fmt: skip
def test_help_lists_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    said = capsys.readouterr().out
    assert all(
        f"  {name} " in said and command.summary in said for name, command in COMMANDS.items()
    )
    assert max(map(len, said.splitlines())) < 90


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([name, "--help"], ["help", name], [name, "x", "-h"]):
        assert main(words) == 0
        assert f"./start.sh {name}" in (said := capsys.readouterr().out)
        assert COMMANDS[name].summary in said


def test_the_version_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--version"], ["version"]):
        assert main(words) == 0
        said = capsys.readouterr().out
        assert said.startswith("ccproxy 0.") and "mitmproxy 12." in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tunel"], "There is no command 'tunel'. Did you mean tunnel?"),
        (["rnu"], "There is no command 'rnu'. Did you mean run?"),
        (["xyzzy"], "There is no command 'xyzzy'. `./start.sh help`"),
        (["doctor", "--jsn"], "doctor has no option --jsn. Did you mean --json?"),
        (["demo", "--fast"], "demo has no option --fast."),
        (["--flow-detial", "1"], "There is no option --flow-detial. Did you mean --flow-detail?"),
        (["web", "--web-prt=1"], "There is no option --web-prt. Did you mean --web-port?"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_does_not_exist_is_said_with_what_was_meant(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_its_module(name: str) -> None:
    module = importlib.import_module(f"addon.cli.{COMMANDS[name].module}")
    assert callable(module.main)


def test_options_are_known_as_the_parser_takes_them(tmp_path: Path) -> None:
    """By mitmproxy, which is asked as a program: it must be no import of ours."""
    shown = ""
    for program in ("mitmdump", "mitmweb"):
        shown += subprocess.run(
            [str(Path(sys.executable).with_name(program)), "--help"],
            env={"HOME": str(tmp_path), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,  # it ends with 1
        ).stdout
    assert [option for option in MITMPROXY_OPTIONS if option not in shown] == []


def test_nothing_that_is_installed_is_needed_to_help_and_install() -> None:
    files = (
        "addon/cli/__main__.py",
        "addon/cli/main.py",
        "addon/cli/bootstrap.py",
        "addon/cli/double_click.py",
        "addon/core/suggestions.py",
        "addon/core/version.py",
    )
    for file in files:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        for node in tree.body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                known = name.partition(".")[0] in sys.stdlib_module_names
                assert known or name in (
                    "addon.cli",
                    "addon.cli.double_click",
                    "addon.cli.main",
                    "addon.core.suggestions",
                    "addon.core.version",
                )


def test_an_older_python_can_read_the_first_file() -> None:
    ast.parse((ROOT / "addon/cli/__main__.py").read_text(encoding="utf-8"), feature_version=(3, 7))


def test_output_in_a_narrow_encoding_loses_letters_and_ends_nothing() -> None:
    code = "from addon.cli import main; main._let_output_be_unicode(); print('\\U0001f4ca done')"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, b"? done")


def test_a_parser_names_the_command_as_it_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "x"])
    assert "./start.sh doctor: error:" in capsys.readouterr().err


def test_every_text_names_the_command_as_it_was_typed() -> None:
    trees = {
        path.name: ast.parse(path.read_text(encoding="utf-8"))
        for path in (ROOT / "addon").rglob("*.py")
        if path.name != "version.py"
    }
    naming = [
        f"{name}:{node.lineno}"
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and "start.sh" in str(node.value)
        if node.value != ast.get_docstring(tree, clean=False)
    ]
    assert naming == []
