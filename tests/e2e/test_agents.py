"""Coding agents as people install them, each doing a task with tools through the real proxy."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import StartProxy
from tests.fakes.anthropic import FakeAnthropic

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

CODEX = "@openai/codex@0.169.0"
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
