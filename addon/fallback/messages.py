"""Writes the final error for a client when there is nothing left to try."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from addon.core.errors import CCProxyError, Forbidden, RateLimited, UpstreamError
from addon.fallback.cooldowns import Cooldown
from addon.fallback.policy import Decision

HINTS: Mapping[str, str] = {
    "plan_policy": "Anthropic does not let other apps use this plan; an API key is not bound by that.",
    "long_context": "Switch on extra usage (claude.ai, Settings, Usage) or shorten the conversation; an API key needs "
    "neither.",
    "no_api_key": "No API key is set to fall back to: set ANTHROPIC_API_KEY to have one.",
    "fallback_off": "The API key was not used: FALLBACK=off.",
}
"""Reason or hindrance → what a person should know in addition to Anthropic's message."""


def explained(error: CCProxyError, decision: Decision) -> CCProxyError:
    """The error with its message kept (people search for it) and hints added at the end."""
    hints = [HINTS[key] for key in (decision.reason, decision.hindrance or "") if key in HINTS]
    if not hints:
        return error
    return _like(error, " ".join([error.message, *dict.fromkeys(hints)]), error.upstream)


def cooling_down(blocked: Cooldown, now: float) -> CCProxyError:
    """For a request that was not sent because its credential is cooling down."""
    scope = f"{blocked.family} models" if blocked.family else "the subscription"
    until = _moment(blocked.until)
    if blocked.reason == "forbidden":
        return Forbidden(
            f"Anthropic rejected {scope} for this login; ccproxy tries again at {until}."
        )
    wait = max(0.0, blocked.until - now)
    return RateLimited(f"The limit of {scope} is used up until {until}.", retry_after=wait)


def both_failed(
    first: CCProxyError, second: CCProxyError, *, reset: float | None, now: float
) -> CCProxyError:
    """One error for a request that failed with the subscription (`first`) and with the API key (`second`).

    `reset`: unix seconds of the earliest moment when a limit ends. The status is 429 if waiting helps, otherwise that
    of the error that a person can do something about.
    """
    message = f"Claude Code subscription: {_sentence(first)} API key: {_sentence(second)}"
    if reset is not None and reset > now:
        message += f" The earliest limit ends at {_moment(reset)}."
        limited = RateLimited(message, code=first.code or second.code, retry_after=reset - now)
        limited.upstream = _head_only(second)
        return limited
    shown = next((e for e in (first, second) if e.status in (401, 429)), second)
    return _like(shown, message, _head_only(second))


def _head_only(error: CCProxyError) -> UpstreamError | None:
    """Upstream's headers, for an error with our message. Its `retry-after` is ours as well."""
    if error.upstream is None:
        return None
    headers = {k: v for k, v in error.upstream.headers.items() if not k.startswith("retry-after")}
    return UpstreamError(headers, b"")


def _like(error: CCProxyError, message: str, upstream: UpstreamError | None) -> CCProxyError:
    like = CCProxyError(
        message,
        param=error.param,
        code=error.code,
        status=error.status,
        type=error.type,
        retry_after=error.retry_after,
    )
    like.upstream = upstream
    return like


def _sentence(error: CCProxyError) -> str:
    return f"{error.message.strip().removesuffix('.')} ({error.status} {error.type})."


def _moment(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M UTC")
