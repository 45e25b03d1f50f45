"""Writes the final error for a client when there is nothing left to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from addon.core.errors import CCProxyError, Forbidden, RateLimited, UpstreamError
from addon.core.frozen import frozen
from addon.fallback.cooldowns import Cooldown
from addon.fallback.policy import ChainStep, Decision

HINTS: Mapping[str, str] = {
    "plan_policy": "Anthropic does not let other apps use this plan; an API key is not bound by that.",
    "long_context": "Switch on extra usage (claude.ai, Settings, Usage) or shorten the conversation; an API key needs "
    "neither.",
    "no_api_key": "No API key is set to fall back to: set ANTHROPIC_API_KEY to have one.",
    "fallback_off": "{step} was not used: FALLBACK=off.",
    "no_price": "{step} was not used: a budget is set, and models.toml has no price for it.",
    "messages_only": "{step} was not used: it can't serve requests in Anthropic's own form.",
    "free_count": "{step} was not used: it counts tokens in another way.",
    "family_limited": "{step} was not used: its limit is used up as well.",
    "too_long": "{step} was not used: the conversation is longer than its window.",
    "not_streamed": "It was not held until the limit resets: only streams can be kept alive meanwhile.",
    "reset_too_late": "It was not held until the limit resets: that is later than HOLD_SECONDS allows.",
}
"""Reason or hindrance → what a person should know in addition to Anthropic's message."""


def explained(error: CCProxyError, decision: Decision) -> CCProxyError:
    """The error with its message kept (people search for it) and hints added at the end."""
    hints = [HINTS.get(decision.reason, "")]
    hints += [hint(step) for step in decision.skipped]
    told = [text for text in dict.fromkeys(hints) if text]
    return _like(error, " ".join([error.message, *told]), error.upstream) if told else error


def hint(step: ChainStep) -> str:
    """Why a step of the chain was not taken; "" if there is nothing to say."""
    shown = "The API key" if step.kind == "api_key" else step.name
    return HINTS.get(step.hindrance or "", "").format(step=shown)


def local_time(unix: float, now: float) -> str:
    """`16:45`, with the day if that is another one; in this machine's time zone."""
    moment, today = datetime.fromtimestamp(unix), datetime.fromtimestamp(now).date()
    return f"{moment:%H:%M}" if moment.date() == today else f"{moment:%a %d %b %H:%M}"


@frozen(kw_only=True)
class Notice:
    """Something that a person should know for as long as it lasts."""

    text: str
    over: str
    """What is said when it has ended; the same for as long as it lasts, whatever becomes of `text`."""
    bad: bool = False
    """Nothing can serve a request."""


def rest_notice(rest: Cooldown, then: ChainStep | None, now: float) -> Notice:
    """`sonnet rests until 16:45; the API key pays until then`. `then`: what serves meanwhile."""
    who = rest.family or "the subscription"
    why = "" if rest.reason == "rate_limited" else f" ({rest.reason})"
    until = f"{who} rests until {local_time(rest.until, now)}{why}"
    return Notice(text=f"{until}; {serves(then)} until then", over=f"{who} rests no longer")


def serves(step: ChainStep | None) -> str:
    match step:
        case None:
            return "nothing serves"
        case ChainStep(kind="api_key"):
            return "the API key pays"
        case ChainStep(kind="openai"):
            return f"{step.name} pays"
        case ChainStep(kind="claude"):
            return f"{step.name} serves"
        case _:
            return "streams wait"


def cooling_down(blocked: Cooldown, now: float) -> CCProxyError:
    """For a request that was not sent because its credential is cooling down."""
    scope = f"{blocked.family} models" if blocked.family else "the subscription"
    until = local_time(blocked.until, now)
    if blocked.reason == "forbidden":
        return Forbidden(
            f"Anthropic rejected {scope} for this login; ccproxy tries again at {until}."
        )
    wait = max(0.0, blocked.until - now)
    guard = " PLAN_ONLY=true keeps extra usage from being billed." * (blocked.reason == "plan_only")
    return RateLimited(f"The limit of {scope} is used up until {until}.{guard}", retry_after=wait)


def all_failed(
    errors: Sequence[tuple[str, CCProxyError]], *, reset: float | None, now: float
) -> CCProxyError:
    """One error for a request that failed with everything that was tried: who failed, and how.

    `reset`: unix seconds of the earliest moment when a limit ends. The status is 429 if waiting helps, otherwise that
    of the error that a person can do something about, or of the last one.
    """
    message = " ".join(f"{who}: {_sentence(error)}" for who, error in errors)
    failed = [error for _, error in errors]
    last = failed[-1]
    if reset is not None and reset > now:
        message += f" The earliest limit ends at {local_time(reset, now)}."
        code = next((error.code for error in failed if error.code), None)
        limited = RateLimited(message, code=code, retry_after=reset - now)
        limited.upstream = _head_only(last)
        return limited
    shown = next((error for error in failed if error.status in (401, 429)), last)
    return _like(shown, message, _head_only(last))


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
