"""What docs/ARCHITECTURE.md draws is what there is; and every promise names a test that exists."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT, code, rows, section, text

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
HOOKS_TABLE = section(text("docs/ARCHITECTURE.md"), "Hooks by addon")
HOOKS = {"load", "configure", "running", "done", "next_layer", "upstream_failed", "live_data"}
HOOKS |= {"client_connected", "client_disconnected"}
HOOKS |= {"server_connected", "server_disconnected"}
HOOKS |= {"requestheaders", "request"}
HOOKS |= {"responseheaders", "response", "error"}
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


def test_every_addon_of_the_composition_root_is_in_the_table_of_hooks() -> None:
    root = ast.parse(text("ccproxy_addon.py"))
    made = {
        call.func.id
        for node in ast.walk(root)
        if isinstance(node, ast.List)
        for call in node.elts
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    }
    listed = {name for cells in rows(HOOKS_TABLE) for name in code(cells[0])}
    assert len(made) > 5
    assert made <= listed


def classes() -> dict[str, ast.ClassDef]:
    """Of the files that may hold addons."""
    files = [
        path for path in modules().values() if path.parent.name in ("addons", "api", "replay_layer")
    ]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files]
    return {
        node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)
    }


def hooks(name: str, known: dict[str, ast.ClassDef]) -> set[str]:
    """Those that a class of ours handles, by itself or by its base."""
    if name not in known:
        return set()
    defined = {
        node.name
        for node in known[name].body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    bases = [base.id for base in known[name].bases if isinstance(base, ast.Name)]
    return (defined & HOOKS).union(*(hooks(base, known) for base in bases))


def test_each_addon_has_the_hooks_that_are_listed() -> None:
    known = classes()
    for cells in rows(HOOKS_TABLE):
        names = code(cells[0])
        assert set(names) <= known.keys()
        assert set(code(cells[1])) == set().union(*(hooks(name, known) for name in names)), names


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
    for name in ("docs/RELIABILITY.md", "docs/SECURITY.md"):
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
    for name in ("docs/RELIABILITY.md", "docs/SECURITY.md"):
        for numbers, rest in re.findall(
            r"^\| ([A-Z]\d+(?:, [A-Z]\d+)*) \|(.*)", text(name), re.MULTILINE
        ):
            yield from ((number, rest) for number in numbers.split(", "))


@pytest.mark.parametrize(("kind", "last"), PROMISED.items())
def test_every_promise_has_one_row_with_its_proof(kind: str, last: int) -> None:
    proved = [number for number, row in numbered_rows() if number[0] == kind and PROOF.search(row)]
    assert sorted(proved, key=lambda n: int(n[1:])) == [f"{kind}{n}" for n in range(1, last + 1)]
