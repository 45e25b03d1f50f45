"""A second head for a message, cheaper than mitmproxy's own copy."""

from __future__ import annotations

from typing import Any

from mitmproxy import http


def twin[M: (http.Request, http.Response)](message: M) -> M:
    """The same message with headers and fields of its own; the body is shared, as bytes can't change.

    `Message.copy` takes a serialized form apart again and checks the type of each field: a tenth of a tiny request."""
    made: M = _alike(message)
    made.data = _alike(message.data)
    made.data.headers = _alike(message.headers)
    return made


def _alike(thing: Any) -> Any:
    """What `copy.copy` makes of an object without slots, in a third of the time."""
    made = object.__new__(type(thing))
    vars(made).update(vars(thing))
    return made
