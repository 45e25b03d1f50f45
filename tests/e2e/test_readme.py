"""What README and guide tell people to type does what it says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.budget import thorough_after
from tests.documents import blocks, text
from tests.e2e.conftest import World

HERE = "http://localhost:8082"
FAIL_LOUDLY = 'set -e; curl() { command curl -sS --fail-with-body "$@"; }\n'
TEXT = text("README.md") + text("docs/GUIDE.md")
SHELL = [block for block in blocks(TEXT, "bash") if "curl " in block]
PYTHON = blocks(TEXT, "python")


def first_line(block: str) -> str:
    return block.strip().splitlines()[0][:60]


def run(command: list[str], world: World) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=world.proxy.env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("block", SHELL, ids=first_line)
def test_curls(block: str, world: World) -> None:
    said = run(["bash", "-c", FAIL_LOUDLY + block.replace(HERE, world.proxy.url)], world)
    assert said


@pytest.mark.parametrize("block", thorough_after(1, PYTHON), ids=first_line)
def test_python(block: str, world: World) -> None:
    run([sys.executable, "-c", block.replace(HERE, world.proxy.url)], world)
    assert world.fake.messages()


def test_there_is_something_to_run() -> None:
    assert len(SHELL) > 3
    assert len(PYTHON) == 2
