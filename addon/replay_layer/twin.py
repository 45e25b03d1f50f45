"""A second head for a message, cheaper than mitmproxy's own copy."""

from __future__ import annotations

import copy

from mitmproxy import http


def twin[M: (http.Request, http.Response)](message: M) -> M:
    """The same message with headers and fields of its own; the body is shared, as bytes can't change.

    `Message.copy` takes a serialized form apart again and checks the type of each field: a tenth of a tiny request."""
    made = copy.copy(message)
    made.data = copy.copy(message.data)
    made.data.headers = message.headers.copy()
    return made
