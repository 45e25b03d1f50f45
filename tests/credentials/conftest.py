from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.credentials.world import World


@pytest.fixture
def fake_security(tmp_path: Path) -> Callable[[Path], Path]:
    """Makes a `security` program whose Keychain is a folder."""

    def make(keychain: Path) -> Path:
        script = Path(__file__).with_name("fake_security.py")
        program = tmp_path / "security"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "{keychain}" "$@"\n')
        program.chmod(0o755)
        return program

    return make


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
