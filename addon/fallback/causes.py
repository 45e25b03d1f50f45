"""Names the causes for which an attempt can fail, and reads the cause from Anthropic's error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from addon.core.errors import CCProxyError

type CredentialKind = Literal["claude_code", "api_key", "openai"]
type Cause = Literal[
    "cooling_down",
    "no_login",
    "unreachable",
    "stale_connection",
    "connection_lost",
    "timed_out",
    "login_expired",
    "forbidden",
    "plan_policy",
    "long_context",
    "rate_limited",
    "busy",
    "overloaded",
    "upstream_error",
    "prompt_too_long",
    "thinking_refused",
    "server_tools_refused",
    "over_budget",
    "refused",
]

LOGIN_REASONS: Mapping[str, str] = {
    "missing": "no_login",
    "malformed": "no_login",
    "expired": "login_expired",
    "invalid_grant": "login_expired",
    "refused": "login_expired",
    "lock_timeout": "refresh_failed",
    "unknown_outcome": "refresh_failed",
    "unwritable": "refresh_failed",
    "rate_limited": "refresh_failed",
    "network": "refresh_failed",
}
"""Kind of a credential error → the reason that is reported."""

_TEXTS: Mapping[Cause, re.Pattern[str]] = {
    # How Anthropic rejects third-party clients on a plan: claude-code#45048, CLIProxyAPI#2599, starbaser#6.
    "plan_policy": re.compile(
        "(?i)only authorized for use with Claude Code|Third-party apps now draw from your extra usage"
    ),
    "prompt_too_long": re.compile("(?i)prompt is too long|exceed context limit"),
    "thinking_refused": re.compile(
        "(?i)redacted_thinking|thinking`? blocks?|signature.{0,200}thinking"
    ),
    # coder/coder#22976, anthropics/claude-code#64383
    "server_tools_refused": re.compile(r"`\w+_tool_result` block|server_tool_use|srvtoolu_"),
}
"""Errors that only their text tells apart (400, 403, 413)."""

_LONG_CONTEXT = re.compile("(?i)extra usage is required for long context")
"""A 429 that no waiting ends: anthropics/claude-code#42616, CLIProxyAPI#2464."""

_STATUSES: Mapping[int, Cause] = {
    401: "login_expired",
    403: "forbidden",
    408: "upstream_error",
    409: "upstream_error",
    529: "overloaded",
    # A gateway lost its own upstream: the request may have been processed, as when a connection breaks.
    502: "connection_lost",
    504: "connection_lost",
    520: "connection_lost",
    524: "connection_lost",
}


def cause_of_response(error: CCProxyError, credential: CredentialKind, *, exhausted: bool) -> Cause:
    """The cause of an error response. `exhausted`: its headers say that a limit is used up (429 only)."""
    if error.status == 429 and credential == "claude_code" and _LONG_CONTEXT.search(error.message):
        return "long_context"
    if error.status == 429:
        return "rate_limited" if exhausted else "busy"
    if error.status in (400, 403, 413) and (named := _named(error.message, credential)):
        return named
    return _STATUSES.get(error.status, "upstream_error" if error.status >= 500 else "refused")


def _named(message: str, credential: CredentialKind) -> Cause | None:
    cause = next((cause for cause, text in _TEXTS.items() if text.search(message)), None)
    return None if cause == "plan_policy" and credential != "claude_code" else cause
