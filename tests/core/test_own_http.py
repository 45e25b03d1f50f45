"""Every request of our own says that it is ccproxy's."""

from __future__ import annotations

import ast
import tomllib

from addon.core.own_http import USER_AGENT
from tests.documents import ROOT, text

SENDING = {"AsyncClient", "Client", "delete", "get", "head", "post", "put", "request", "stream"}
SOURCES = [ROOT / "ccproxy_addon.py", *sorted((ROOT / "addon").rglob("*.py"))]
STAND_IN = ROOT / "addon" / "stand_in"  # its clients stand in for other programs


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    assert f"ccproxy/{project['version']}" == USER_AGENT


def test_one_module_makes_all_clients() -> None:
    """A client made elsewhere would call itself python-httpx."""
    made = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if STAND_IN not in path.parents
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        for used in (call.func, *call.args)  # called, or handed over to be called
        if ast.unparse(used) in {f"httpx.{name}" for name in SENDING}
    }
    assert made == {"addon/core/own_http.py"}
