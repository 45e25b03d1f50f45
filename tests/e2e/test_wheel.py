"""ccproxy installed as a package: `pipx install .`, `uv tool install .`. Downloads everything it needs."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.documents import ROOT
from tests.ports import free_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(folder), str(ROOT))
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    venv = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", str(venv))
    run(str(venv / "bin" / "pip"), "install", "-q", str(wheel))
    return venv


def run(*command: str, **options: object) -> str:
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=600, check=False, **options
    )  # type: ignore[call-overload]
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return str(ended.stdout)


def ccproxy(venv: Path, cwd: Path, *arguments: str) -> str:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-x"}
    return run(str(venv / "bin" / "ccproxy"), *arguments, cwd=cwd, env=env)


def test_everything_is_inside_one_package_and_nothing_is_missing(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in names} == {"ccproxy"}
    tracked = run("git", "-C", str(ROOT), "ls-files", "addon").split()
    assert {f"ccproxy/{name}" for name in tracked} <= names


def test_the_command_is_there(venv: Path, tmp_path: Path) -> None:
    assert ccproxy(venv, tmp_path, "--version").startswith("ccproxy 0.")
    said = ccproxy(venv, tmp_path, "help")
    assert "  ccproxy [command]" in said and "  test " not in said


def test_it_sets_clients_up_and_names_itself(venv: Path, tmp_path: Path) -> None:
    assert "`ccproxy setup codex --undo`" in ccproxy(venv, tmp_path, "setup", "codex")
    assert 'base_url = "http://localhost:8082/v1"' in (tmp_path / ".codex/config.toml").read_text()
    for words in (["help"], ["setup"], ["setup", "cursor"]):
        assert "start.sh" not in ccproxy(venv, tmp_path, *words)


def test_demo_and_doctor_run_from_there(venv: Path, tmp_path: Path) -> None:
    assert "everything worked as expected" in ccproxy(venv, tmp_path, "demo", "--check")
    port = free_port()
    (tmp_path / ".env").write_text(f"PORT={port}\nANTHROPIC_UPSTREAM_URL=http://127.0.0.1:{port}\n")
    command = [str(venv / "bin" / "ccproxy"), "doctor", "--json"]
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-x",
    }
    said = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False).stdout
    found = {f["check"]: (f["state"], f["text"]) for f in json.loads(said)["findings"]}
    assert found["round trip"][0] == found["packages"][0] == found["login"][0] == "ok"
    assert found["port"] == ("ok", f"{port} is free; the proxy is not running")
