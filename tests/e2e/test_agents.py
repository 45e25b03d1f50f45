"""Coding agents as people install them, each doing a task with tools through the real proxy."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import StartProxy
from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.script import say

CODEX = "@openai/codex@0.169.0"
AIDER = "aider-chat==0.86.2"
AIDERS_PYTHONS = ("python3.12", "python3.11", "python3.10")
"""It does not install on a newer one."""
TASK = """Make the file. [[tool exec_command {"cmd": "echo seventeen > made.txt"}]]"""


@pytest.fixture(scope="session")
def codex(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Codex CLI, installed from npm."""
    if not (shutil.which("node") and shutil.which("npm")):
        if os.getenv("CI"):
            pytest.fail("CI has no Node.js: Codex is not tested")
        pytest.skip("needs Node.js and npm")
    folder = tmp_path_factory.mktemp("codex")
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--prefix", folder, CODEX],
        check=True,
        capture_output=True,
        timeout=110,
    )
    return folder / "node_modules" / ".bin" / "codex"


@pytest.mark.node
@pytest.mark.timeout(300)
def test_codex_runs_a_command_and_reads_its_output(
    codex: Path, start_proxy: StartProxy, fake: FakeAnthropic, tmp_path: Path
) -> None:
    proxy = start_proxy()
    home = tmp_path / ".codex"
    home.mkdir()
    (home / "config.toml").write_text(
        'model = "claude-opus-5"\n'
        'model_provider = "ccproxy"\n'
        "[model_providers.ccproxy]\n"
        'name = "ccproxy"\n'
        f'base_url = "{proxy.url}/v1"\n'
        'wire_api = "responses"\n'
    )
    done = subprocess.run(
        [
            codex,
            "exec",
            "--skip-git-repo-check",
            "--dangerously-bypass-approvals-and-sandbox",
            TASK,
        ],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "CODEX_HOME": str(home)},  # noqa: TID251
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made.txt").read_text() == "seventeen\n"
    first, second = (request.json for request in fake.messages())
    assert "exec_command" in {tool["name"] for tool in first["tools"]}
    # the thinking that belongs to the call has come back from Codex, and the call's result after it
    kinds = [block["type"] for block in second["messages"][-2]["content"]]
    assert kinds[-2:] == ["thinking", "tool_use"]
    assert second["messages"][-1]["content"][0]["type"] == "tool_result"


@pytest.fixture(scope="session")
def aider(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """aider, installed from PyPI into an environment of its own."""
    python = next((p for p in AIDERS_PYTHONS if works(p)), None)
    if python is None:
        pytest.skip(f"needs one of {', '.join(AIDERS_PYTHONS)}")
    folder = tmp_path_factory.mktemp("aider")
    for command in (
        [python, "-m", "venv", folder],
        [folder / "bin" / "pip", "install", "--quiet", AIDER],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=900)
    return folder / "bin" / "aider"


def works(python: str) -> bool:
    try:
        return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_aider_edits_a_file(
    aider: Path, start_proxy: StartProxy, fake: FakeAnthropic, tmp_path: Path
) -> None:
    fake.script(say("Here it is.\n\nmade.txt\n```\nseventeen\n```\n"))
    (tmp_path / "made.txt").write_text("sixteen\n")
    proxy = start_proxy()
    quiet = ("--no-git", "--no-check-update", "--no-show-model-warnings", "--no-show-release-notes")
    done = subprocess.run(
        [
            aider, *quiet, "--analytics-disable", "--no-pretty", "--yes-always", "--edit-format", "whole",
            "--model", "openai/claude-opus-5", "--openai-api-base", f"{proxy.url}/v1", "--openai-api-key", "any",
            "--message", "Write seventeen instead.", "made.txt",
        ],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},  # noqa: TID251
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )  # fmt: skip
    assert (tmp_path / "made.txt").read_text() == "seventeen\n", done.stdout + done.stderr
    assert "Applied edit to made.txt" in done.stdout
    (request,) = fake.messages()
    assert "Write seventeen instead." in request.body.decode()
