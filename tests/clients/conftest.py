"""Each client is installed once for a run; the fake and the proxy are those of the end-to-end tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import install
from tests.e2e.conftest import running, settings, world

__all__ = [
    "agents",
    "ai_sdk",
    "aider",
    "claude",
    "codex",
    "frameworks",
    "running",
    "settings",
    "world",
]


@pytest.fixture(scope="session")
def codex(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install.codex(tmp_path_factory.mktemp("codex"))


@pytest.fixture(scope="session")
def claude() -> Path:
    return install.claude()


@pytest.fixture(scope="session")
def ai_sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install.ai_sdk(tmp_path_factory.mktemp("ai_sdk"))


@pytest.fixture(scope="session")
def aider(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install.aider(tmp_path_factory.mktemp("aider"))


@pytest.fixture(scope="session")
def frameworks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install.python(tmp_path_factory.mktemp("frameworks"))


@pytest.fixture(scope="session")
def agents() -> Path:
    return install.agents()
