"""The page's files: all of them served, nothing else, and nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from addon.api.dashboard_files import FILES, HEADERS, static_file

FOLDER = Path(__file__).parents[2] / "addon" / "api" / "page"
NAMESPACES = {"http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg"}


def test_every_file_is_served_and_every_reference_leads_to_one() -> None:
    assert set(FILES.values()) == {path.name for path in FOLDER.iterdir()}
    references = {
        found
        for path in FOLDER.iterdir()
        for found in re.findall(r'"(?:\.|/dashboard)(/\w+\.\w+)"', path.read_text())
    }
    assert {f"/dashboard{found}" for found in references} == set(FILES) - {"/dashboard"}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/dashboard", "text/html; charset=utf-8"),
        ("/dashboard/dashboard.css", "text/css; charset=utf-8"),
        ("/dashboard/charts.js", "text/javascript; charset=utf-8"),
        ("/dashboard/icon.svg", "image/svg+xml"),
    ],
)
def test_a_file_has_its_type(path: str, kind: str) -> None:
    found = static_file(path)
    assert found is not None
    assert found == (kind, (FOLDER / FILES[path]).read_bytes())


@pytest.mark.parametrize(
    "path",
    [
        "/dashboard/",
        "/dashboard/../usage/record.py",
        "/dashboard/index.html",
        "/",
        "/dashboard//icon.svg",
    ],
)
def test_no_other_path_reaches_a_file(path: str) -> None:
    assert static_file(path) is None


@pytest.mark.parametrize("name", sorted(FILES.values()))
def test_nothing_comes_from_elsewhere(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert set(re.findall(r"https?://[^\s\"')]+", text)) <= NAMESPACES
    assert "innerHTML" not in text


def test_the_browser_is_told_to_run_nothing_but_our_files() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
