"""Starting as a new user does: what start.sh says when something is missing, and that start.bat mirrors it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.proxy import ROOT
from tests.ports import free_port

COREUTILS = ("bash", "cat", "cmp", "dirname", "rm", "mkdir")
FAKE_PYTHON = """#!/bin/sh
# A Python that can make a venv, but whose pip reaches no index.
case "$*" in
  *"-m venv"*) mkdir -p .venv/bin; cat "$0" > .venv/bin/python; chmod +x .venv/bin/python ;;
  *"-m pip"*) echo "ERROR: No matching distribution found for mitmproxy" >&2; exit 1 ;;
  --version) echo "Python 3.13.0" ;;
esac
"""
OLD_PYTHON = "#!/bin/sh\nexit 1\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A fresh copy of what start.sh needs, with a PATH that has no Python."""
    for name in ("start.sh", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("chmod", *COREUTILS):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return tmp_path


def add(tree: Path, name: str, script: str) -> None:
    (tree / "bin" / name).write_text(script)
    (tree / "bin" / name).chmod(0o755)


def start(tree: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(tree / "start.sh"), *arguments],
        env={"PATH": path or str(tree / "bin"), "HOME": str(tree)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_without_python_it_says_what_to_install(tree: Path) -> None:
    ended = start(tree)
    assert ended.returncode == 1
    assert "needs Python 3.12 or newer" in ended.stderr
    assert "apt install python3" in ended.stderr


def test_a_python_that_is_too_old_is_not_taken(tree: Path) -> None:
    add(tree, "python3", OLD_PYTHON)
    ended = start(tree)
    assert (ended.returncode, "needs Python 3.12" in ended.stderr) == (1, True)
    assert not (tree / ".venv").exists()


def test_pyenvs_python_is_found_with_another_home(tree: Path) -> None:
    """Its shim fails then, since it looks for the versions below HOME."""
    for folder, name, script in (
        ("shims", "python3", OLD_PYTHON),
        ("versions/3.12.1/bin", "python", FAKE_PYTHON),
    ):
        (tree / folder).mkdir(parents=True)
        (tree / folder / name).write_text(script)
        (tree / folder / name).chmod(0o755)
    ended = start(tree, path=f"{tree / 'shims'}:{tree / 'bin'}")
    assert "Setting up .venv with Python 3.13.0" in ended.stdout


def test_without_internet_the_installation_says_so(tree: Path) -> None:
    add(tree, "python3.13", FAKE_PYTHON)
    ended = start(tree)
    assert ended.returncode == 1
    assert "Is this machine online?" in ended.stderr
    assert "Setting up .venv with Python 3.13.0" in ended.stdout


def test_a_failed_installation_is_tried_again_next_time(tree: Path) -> None:
    add(tree, "python3.13", FAKE_PYTHON)
    start(tree)
    assert "Installing requirements.txt" in start(tree).stdout


def test_a_command_that_does_not_exist_is_said(tree: Path) -> None:
    ended = start(tree, "tunel")
    assert ended.returncode == 2
    assert "knows no 'tunel'" in ended.stderr
    assert "Traceback" not in ended.stderr


def launch(
    tmp_path: Path, *, module: str = "addon.cli.launch", **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, "mitmdump"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CCPROXY_ENV_FILE": "", **env},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_bad_env_file_names_each_bad_line(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("CONTEXT_STRATEGY=magic\nPORT=eighty\nANTHROPIC_API_KEY=sk-ant-api03-canary\n")
    ended = launch(tmp_path, CCPROXY_ENV_FILE=str(file))
    assert ended.returncode == 1
    assert "CONTEXT_STRATEGY: 'magic' is not allowed" in ended.stderr
    assert "PORT: 'eighty' is not allowed: use a port number" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "canary" not in ended.stderr + ended.stdout


def test_an_env_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes("PORT=8082\n".encode("utf-16"))
    ended = launch(tmp_path, CCPROXY_ENV_FILE=str(file))
    assert ended.returncode == 1
    assert "Save it as text in UTF-8" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("module", ["addon.cli.launch", "addon.cli.tunnel"])
def test_a_taken_port_is_one_sentence(tmp_path: Path, module: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ended = launch(tmp_path, module=module, PORT=port, TUNNEL_URL="https://t.example")
    assert ended.returncode == 1
    said = (ended.stdout + ended.stderr).strip()
    assert (
        said == f"Port {port} is in use by another program. Stop that, or set PORT to another port."
    )


def test_an_option_with_a_bad_value_is_one_sentence(tmp_path: Path) -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "addon.cli.launch",
            "mitmdump",
            "--set",
            "ccproxy_context_strategy=magic",
        ],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "CCPROXY_ENV_FILE": "",
            "PORT": str(free_port()),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert "CONTEXT_STRATEGY: 'magic' is not allowed" in ended.stderr
    assert "Traceback" not in ended.stderr


# ---- start.bat, as far as it can be checked without Windows

BATCH = (ROOT / "start.bat").read_text()
SHELL = (ROOT / "start.sh").read_text()


def commands(script: str, pattern: str) -> set[str]:
    return {word for found in re.findall(pattern, script) for word in found.split(" | ")} - {"*"}


def test_both_scripts_know_the_same_commands() -> None:
    shell = commands(SHELL, r"(?m)^  ([a-z |*]+)\)$")
    assert shell == commands(BATCH, r'if /i "%COMMAND%"=="([a-z]+)" \(')
    assert shell == {"run", "web", "tunnel", "doctor", "rerun", "demo", "test"}


def test_both_scripts_run_the_same_modules() -> None:
    in_batch = set(re.findall(r"-m (addon\.cli\.\w+(?: mitm\w+)?)", BATCH))
    in_shell = set(re.findall(r"-m (addon\.cli\.\w+(?: mitm\w+)?)", SHELL)) | {
        f"addon.cli.{name}" for name in ("tunnel", "doctor", "rerun")
    }
    assert in_batch == in_shell
    for module in in_batch:
        assert (ROOT / (module.split()[0].replace(".", "/") + ".py")).is_file()


def test_every_label_exists_and_every_block_is_closed() -> None:
    code = [line for line in BATCH.splitlines() if not line.startswith("rem ")]
    labels = {line[1:].strip() for line in code if line.startswith(":")}
    assert set(re.findall(r"goto (\w+)", BATCH)) <= labels
    quoted = re.sub(r'"[^"]*"', "", "\n".join(code))
    depth = 0
    for character in quoted:
        depth += {"(": 1, ")": -1}.get(character, 0)
        assert depth in (0, 1)
    assert depth == 0


def test_blocks_echo_no_bracket_that_would_close_them() -> None:
    echoes = [line for line in BATCH.splitlines() if line.strip().startswith("echo ")]
    assert echoes
    assert [line for line in echoes if "(" in line or ")" in line] == []


def test_windows_gets_the_line_endings_that_it_needs() -> None:
    assert "*.bat text eol=crlf" in (ROOT / ".gitattributes").read_text()
