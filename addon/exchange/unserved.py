"""What is said to requests that no route serves: which method does, or which endpoint to use instead."""

from __future__ import annotations

import re

from addon.core.errors import CCProxyError, MethodNotAllowed, NotFound
from addon.exchange.routes import find

_METHODS = ("GET", "HEAD", "POST", "DELETE")
_CHAT = "use /v1/chat/completions, /v1/responses or /v1/messages"
_INSTEAD = {
    "responses/[^/]+/cancel": "nothing runs in the background; close the connection instead",
    "conversations(/.*)?": "use /v1/responses with previous_response_id",
    "(assistants|threads)(/.*)?": "use /v1/responses with previous_response_id",
    "(messages/batches|batches)(/.*)?": f"batches are not served; {_CHAT}",
    "(files|uploads|vector_stores|containers)(/.*)?": "send files within the request",
    "complete": _CHAT,
    "realtime(/.*)?": f"only text is served; {_CHAT}",
    "(audio|images|videos)/.*": f"Claude responds in text only; {_CHAT}",
    "moderations": "Claude has no endpoint for it",
    "(api/)?(chat|generate|tags|show|version)": f"this is not Ollama; {_CHAT}, and /v1/models",
    "(models/)?[^/]+:(generate|streamGenerate)Content": f"this is not Gemini; {_CHAT}",
}
"""By path without `/v1`: endpoints of OpenAI, Anthropic and others that clients ask for by mistake."""
_PATTERNS = [(re.compile(path), instead) for path, instead in _INSTEAD.items()]
_LONGEST = 200
_VERSION = re.compile(r"(/v1(beta)?)*/")


def unserved(method: str, path: str, *, shown: str) -> CCProxyError:
    """`shown`: the path as an error may quote it."""
    bare = path.partition("?")[0][:_LONGEST]
    allowed = [name for name in _METHODS if find(name, bare)]
    if allowed and method != "OPTIONS":
        return MethodNotAllowed(
            f"{shown} is served for {' and '.join(allowed)} only.",
            allow=", ".join([*allowed, "OPTIONS"]),
        )
    name = _VERSION.sub("", bare, count=1).rstrip("/") if bare.startswith("/") else ""
    for pattern, instead in _PATTERNS:
        if pattern.fullmatch(name):
            return NotFound(f"Unknown endpoint: {shown}; {instead}.", code="unknown_endpoint")
    return NotFound(f"Unknown endpoint: {shown}", code="unknown_endpoint")
