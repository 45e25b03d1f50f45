"""The dashboard's static files and their security headers."""

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
                "ask.js",
                "dashboard.js",
                "words.js",
                "budget.js",
                "charts.js",
                "details.js",
                "format.js",
                "views.js",
                "icon.svg",
            )
        },
    }
)
"""Files by path. A table, so that a request's path never reaches the file system."""

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
    """(content type, body) of the file at `path`, or None if the page has no such file."""
    name = FILES.get(path)
    if name is None:
        return None
    file = _FOLDER / name
    return _TYPES[file.suffix], file.read_bytes()
