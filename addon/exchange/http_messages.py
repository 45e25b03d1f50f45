"""Fast ways to read and copy the head of a request or response."""

from __future__ import annotations

from typing import Any

from mitmproxy import http


def lowered(headers: http.Headers) -> dict[str, str]:
    """The headers by lower-case name; repeated ones are joined (RFC 9110 5.3, cookies by RFC 9113 8.2.3).

    One pass: `Headers.items()` searches all of them again for each."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers.fields:
        name = raw_name.decode("utf-8", "surrogateescape").lower()
        value = raw_value.decode("utf-8", "surrogateescape")
        joint = "; " if name == "cookie" else ", "
        found[name] = f"{found[name]}{joint}{value}" if name in found else value
    return found


def copy_head[M: (http.Request, http.Response)](message: M) -> M:
    """The same message with headers and fields of its own; the body is shared, as bytes can't change.

    `Message.copy` serializes and parses the message, a tenth of the time that a tiny request takes."""
    made: M = _alike(message)
    made.data = _alike(message.data)
    made.data.headers = _alike(message.headers)
    return made


def _alike(thing: Any) -> Any:
    """The same as `copy.copy` for an object without slots, in a third of the time."""
    made = object.__new__(type(thing))
    vars(made).update(vars(thing))
    return made
