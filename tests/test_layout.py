"""Rules of the code's shape that no linter holds: who imports whom, and how long files and functions are."""

from __future__ import annotations

import ast
import functools
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = [*sorted((ROOT / "addon").rglob("*.py")), ROOT / "ccproxy_addon.py"]

FLOORS = (
    ("core",),
    ("claude", "fallback", "credentials", "stand_in"),
    ("translation", "context", "usage"),
    ("exchange",),
    ("replay_layer",),
    ("addons",),
    ("api",),
    ("cli",),
    ("ccproxy_addon",),
)
"""The packages in `addon/`. An import names a lower floor: packages of one floor don't know each other."""
PURE = ("claude", "fallback", "translation")
"""No clock, no I/O, no logging, no random: time and ids are arguments."""
PURE_CORE = ("content_encoding", "errors", "frozen", "json_codec", "lru", "retry_after", "types")
ACTING = {"asyncio", "logging", "os", "pathlib", "random", "secrets", "socket", "subprocess"}
ACTING |= {"threading", "time"}
MITMPROXY = ("exchange", "replay_layer", "addons", "api", "ccproxy_addon")
INTERNALS = ("replay_layer",)
"""Of mitmproxy: its layers, with their commands and events."""

LONGEST_FUNCTION = 60
LONGEST_FILE = 600
OVERLONG = {"addon/replay_layer/stream.py": 750}
"""Files that may be longer: one state machine, with its theory."""
SHORT_FILE = 40


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if len(parts) > 2 else parts[0]


def imports(path: Path) -> Iterator[str]:
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines) of each."""
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or 0) - node.lineno + 1


# ---- who imports whom


def test_an_import_names_a_lower_floor() -> None:
    floor = {package: number for number, packages in enumerate(FLOORS) for package in packages}
    wrong = [
        f"{name(path)} imports {imported}"
        for path in MODULES
        for imported in imports(path)
        if imported.startswith("addon.")
        and (other := imported.split(".")[1]) != room(path)
        and floor[other] >= floor[room(path)]
    ]
    assert wrong == []


def test_pure_packages_import_nothing_that_acts() -> None:
    allowed = {*(f"addon.{package}" for package in PURE), *(f"addon.core.{m}" for m in PURE_CORE)}
    wrong = [
        f"{name(path)} imports {imported}"
        for path in MODULES
        if room(path) in PURE
        for imported in imports(path)
        if not (
            allowed & {".".join(imported.split(".")[:2]), ".".join(imported.split(".")[:3])}
            or imported.split(".")[0] in sys.stdlib_module_names - ACTING
            or (imported == "orjson" and path.name == "digest.py")
        )
    ]
    assert wrong == []


def test_mitmproxy_is_imported_where_flows_are_handled_and_its_internals_in_one_place() -> None:
    internal = tuple(f"mitmproxy.proxy.{part}" for part in ("layer", "commands", "events"))
    wrong = [
        f"{name(path)} imports {imported}"
        for path in MODULES
        for imported in imports(path)
        if (imported.split(".")[0] == "mitmproxy" and room(path) not in MITMPROXY)
        or (imported.startswith(internal) and room(path) not in INTERNALS)
    ]
    assert wrong == []


def test_every_module_is_in_a_package_that_has_a_floor() -> None:
    packages = {package for floor in FLOORS for package in floor}
    assert {room(path) for path in MODULES} - {"addon"} == packages
    assert [name(path) for path in MODULES if room(path) == "addon"] == ["addon/__init__.py"]


# ---- lengths


def test_files_are_short() -> None:
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {n: count for n, count in lines.items() if count > OVERLONG.get(n, LONGEST_FILE)} == {}


def test_a_very_short_file_has_two_importers() -> None:
    importers: Counter[str] = Counter()
    for path in MODULES:
        importers.update(
            {part for imported in imports(path) for part in (imported, imported.rpartition(".")[0])}
        )
    alone = [
        name(path)
        for path in MODULES
        if path.name != "__init__.py"
        and room(path) != "cli"  # programs, started by name
        and len(path.read_text(encoding="utf-8").splitlines()) < SHORT_FILE
        and importers[".".join(path.relative_to(ROOT).with_suffix("").parts)] < 2
    ]
    assert alone == []


def test_functions_are_short() -> None:
    found = {f"{name(path)} {function}": n for path in MODULES for function, n in functions(path)}
    assert {function: lines for function, lines in found.items() if lines > LONGEST_FUNCTION} == {}
    assert sorted(found.values())[len(found) // 2] < 10


# ---- what else


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        name(path)
        for path in MODULES
        if isinstance(module := nodes(path)[0], ast.Module) and not ast.get_docstring(module)
    ]
    assert silent == []


def test_there_is_no_nonlocal_state() -> None:
    sharing = {
        name(path)
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.Nonlocal | ast.Global)
    }
    assert sharing == set()


def test_the_environment_is_read_in_one_place_once_packages_are_installed() -> None:
    reading = {
        name(path)
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv")
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }
    # double_click runs before python-dotenv is installed, which environment imports
    assert reading == {"addon/core/environment.py", "addon/cli/double_click.py"}
