"""What is installed has the fixes that matter behind a public tunnel; requirements.txt asks for no less."""

from __future__ import annotations

import importlib.metadata
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.documents import ROOT, text

FLOORS = {
    "mitmproxy": "12.2.3",  # header validation, and a password in front of mitmweb (CVE-2025-23217)
    "h11": "0.16.0",  # chunks with junk at their end (CVE-2025-43859)
    "h2": "4.3.0",  # requests split by line ends in headers (CVE-2025-57804)
    "tornado": "6.5.5",  # mitmweb's server (CVE-2025-67724, CVE-2025-67726, CVE-2026-31958)
}


def required(file: str) -> list[Requirement]:
    lines = [line.partition("#")[0].strip() for line in text(file).splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("-r")]
    return [one for one in found if one.marker is None or one.marker.evaluate()]


@pytest.mark.parametrize("name", FLOORS)
def test_s27_what_is_installed_has_the_fixes(name: str) -> None:
    assert Version(importlib.metadata.version(name)) >= Version(FLOORS[name])


def test_mitmproxy_brings_what_unpacks_bodies() -> None:
    brought = {
        Requirement(one).name.lower() for one in importlib.metadata.requires("mitmproxy") or ()
    }
    assert {"brotli", "backports.zstd"} <= brought


def test_s27_an_older_mitmproxy_does_not_satisfy_the_requirements() -> None:
    (mitmproxy,) = (r for r in required("requirements.txt") if r.name == "mitmproxy")
    assert mitmproxy.specifier.contains("12.3.0")
    assert not any(mitmproxy.specifier.contains(v) for v in ("11.0.2", "12.1.1", "12.2.3", "13.0"))


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_has_a_floor_and_is_met(file: str) -> None:
    for requirement in required(file):
        assert any(spec.operator in (">=", "==", "~=") for spec in requirement.specifier)
        assert requirement.specifier.contains(importlib.metadata.version(requirement.name))


def test_the_same_floor_of_python_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.12" and sys.version_info >= (3, 12)


def test_the_lock_pins_and_hashes_all_that_is_required() -> None:
    joined = text("requirements.lock").replace(" \\\n", " ")
    lines = [line for line in joined.splitlines() if line and not line.lstrip().startswith("#")]
    locked: dict[str, list[str]] = {}
    for line in lines:
        requirement, _, hashes = line.partition(" --hash=")
        assert hashes.startswith("sha256:"), line
        pinned = Requirement(requirement)
        (pin,) = pinned.specifier
        assert pin.operator == "=="
        locked.setdefault(pinned.name, []).append(pin.version)
    for requirement in required("requirements.txt"):
        versions = locked[requirement.name]
        assert all(requirement.specifier.contains(version) for version in versions)
    assert {name for name in FLOORS if name not in locked} == set()
    for name, floor in FLOORS.items():
        assert min(map(Version, locked[name])) >= Version(floor)
