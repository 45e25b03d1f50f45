"""The import rules of docs/dev/ARCHITECTURE.md hold, and every promise names a test that exists."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT, text

ADDON = ROOT / "addon"
PURE = (
    "addon.translation",
    "addon.claude",
    "addon.fallback",
    "addon.core.errors",
    "addon.core.lru",
    "addon.core.retry_after",
    "addon.core.types",
)
ACTING = {"asyncio", "logging", "os", "pathlib", "random", "secrets", "socket", "subprocess"}
ACTING |= {"threading", "time"}
HARMLESS = sys.stdlib_module_names - ACTING
STATEFUL = ("context", "credentials", "usage")
INTERNALS = ("mitmproxy.proxy.layer", "mitmproxy.proxy.commands", "mitmproxy.proxy.events")


def modules() -> dict[str, Path]:
    found = {str(path.relative_to(ADDON).as_posix()): path for path in ADDON.rglob("*.py")}
    return {name: path for name, path in found.items() if path.name != "__init__.py"}


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("package", ["translation", "claude", "fallback"])
def test_pure_packages_import_nothing_that_acts(package: str) -> None:
    for path in (ADDON / package).glob("*.py"):
        pure = (*PURE, "orjson") if path.name == "digest.py" else PURE
        foreign = [name for name in imports(path) if not name.startswith(pure)]
        assert [name for name in foreign if name.partition(".")[0] not in HARMLESS] == [], path.name


@pytest.mark.parametrize("package", STATEFUL)
def test_packages_with_state_know_neither_each_other_nor_mitmproxy(package: str) -> None:
    others = tuple(f"addon.{name}" for name in STATEFUL if name != package)
    for path in (ADDON / package).glob("*.py"):
        known = [name for name in imports(path) if name.startswith((*others, "mitmproxy"))]
        assert known == [], path.name


def test_only_the_replay_layer_knows_mitmproxys_internals() -> None:
    knowing = {
        path.parent.name
        for path in modules().values()
        if any(name.startswith(INTERNALS) for name in imports(path))
    }
    assert knowing == {"replay_layer"}


# ---- promises


def named_tests() -> Iterator[tuple[str, str]]:
    for name in ("docs/dev/RELIABILITY.md", "docs/dev/SECURITY.md"):
        yield from re.findall(r"`([\w/]+\.py)::(test_\w+)`", text(name))


def test_every_test_that_a_promise_names_exists() -> None:
    missing = [
        f"{file}::{test}"
        for file, test in named_tests()
        if not re.search(rf"def {test}\(", _source(ROOT / "tests" / file))
    ]
    assert missing == []


def _source(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


PROMISED = {"O": 15, "R": 30, "S": 30, "T": 24}
"""Logins, reliability, attacks, threats: how many there are of each."""
PROOF = re.compile(r"`[\w/]+\.py::test_\w+`|`bench/\w+\.py`")


def numbered_rows() -> Iterator[tuple[str, str]]:
    """(number, its row) of the tables that begin with numbers."""
    for name in ("docs/dev/RELIABILITY.md", "docs/dev/SECURITY.md"):
        for numbers, rest in re.findall(
            r"^\| ([A-Z]\d+(?:, [A-Z]\d+)*) \|(.*)", text(name), re.MULTILINE
        ):
            yield from ((number, rest) for number in numbers.split(", "))


@pytest.mark.parametrize(("kind", "last"), PROMISED.items())
def test_every_promise_has_one_row_with_its_proof(kind: str, last: int) -> None:
    proved = [number for number, row in numbered_rows() if number[0] == kind and PROOF.search(row)]
    assert sorted(proved, key=lambda n: int(n[1:])) == [f"{kind}{n}" for n in range(1, last + 1)]
