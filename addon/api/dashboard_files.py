"""The dashboard's static files, and the rules that a browser must keep for them."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

_FOLDER = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

FILES = MappingProxyType(
    {
        "/dashboard": "index.html",
        **{
            f"/dashboard/{name}": name
            for name in (
                "dashboard.css",
                "dashboard.js",
                "budget.js",
                "charts.js",
                "format.js",
                "views.js",
                "icon.svg",
            )
        },
    }
)
"""File by path. A table, so that no path of a request ever reaches the file system."""

HEADERS = MappingProxyType(
    {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
            " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
)
"""For every file of the page."""


def static_file(path: str) -> tuple[str, bytes] | None:
    """(content type, body) of the file at `path`, or None if it is none of the page's."""
    name = FILES.get(path)
    if name is None:
        return None
    file = _FOLDER / name
    return _TYPES[file.suffix], file.read_bytes()
