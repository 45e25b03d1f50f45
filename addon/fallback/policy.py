"""Decides what to do after an attempt has failed. Pure: the time, the random number and the state are arguments.

An `Outcome` (what happened) has a `Cause`. `PLAN` lists the steps for each cause, in the order in which they are
tried; a step applies if the `RetryState` (what was tried, what is allowed) permits it. The last step always applies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from addon.core.errors import CCProxyError
from addon.core.types import Phase, Tried
from addon.fallback.causes import LOGIN_REASONS, Cause, CredentialKind, cause_of_response
from addon.fallback.cooldowns import Cooldown
from addon.fallback.rate_limits import Limit, RateLimit

type Hindrance = Literal["no_api_key", "fallback_off"]
type Action = Literal[
    "send",
    "relay",
    "retry_same",
    "refresh_and_retry",
    "wait",
    "fall_back",
    "strip_thinking_and_retry",
    "drop_server_tools_and_retry",
    "mend_and_retry",
    "trim_and_retry",
    "refuse",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt failed, or why none could be made (`login`, `blocked`)."""

    phase: Phase
    error: CCProxyError
    """Upstream's error (an error event before content counts as its status), or the failure of the connection."""
    answered: bool = True
    """The error is upstream's response. False: the connection failed, or nothing was sent."""
    reused: bool = False
    """The connection had served a request before."""
    rate_limit: RateLimit = field(default_factory=RateLimit)
    """What the headers of a 429 say."""
    should_retry: bool | None = None
    """Upstream's `x-should-retry`."""
    login: str | None = None
    """Kind of the credential error, if the subscription has no usable login."""
    blocked: Cooldown | None = None
    """The cooldown that forbade the attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryState:
    """What was tried so far, and what is allowed."""

    credential: CredentialKind
    family: str
    now: float
    """Unix seconds."""
    patience: float
    """Seconds left of FIRST_BYTE_SECONDS."""
    jitter: float = 0.0
    """A random number from 0 to 1."""
    tried: Tried = field(default_factory=Tried)
    mendable: bool = False
    """The refusal names something that the request can do without."""
    hindrance: Hindrance | None = "no_api_key"
    """Why the API key may not be used; None: it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The next step. `relay`: the client gets upstream's error; `refuse`: the client gets an error of our own."""

    action: Action
    reason: str
    """A short machine word, for `x-ccproxy-reason`."""
    seconds: float = 0.0
    """To wait before the retry."""
    cooldowns: tuple[Limit, ...] = ()
    """Limits for which a cooldown of the failed credential starts."""
    hindrance: Hindrance | None = None
    """Why the API key was not used, if it could have helped."""


type Step = Callable[[Cause, Outcome, RetryState], Decision | None]

RETRIES: Mapping[Cause, int] = {
    "unreachable": 2,
    "stale_connection": 1,
    "connection_lost": 1,
    "overloaded": 2,
    "upstream_error": 2,
}
"""How many times the same credential is tried again."""

BACKOFF_BASE, BACKOFF_MAX, BACKOFF_JITTER = 0.5, 8.0, 0.25
FORBIDDEN_SECONDS = 600.0
"""Cooldown after a 403, for the model family of the request."""
DEFAULT_WAIT = 1.0
"""Seconds to wait after a temporary 429 without `retry-after`."""


def decide(outcome: Outcome, state: RetryState) -> Decision:
    """The next step. Nothing is retried once the client has received content."""
    cause = cause_of(outcome, state.credential)
    steps = (_give_up,) if outcome.phase == "after_content" else PLAN[cause]
    decision = next(d for step in steps if (d := step(cause, outcome, state)))
    if state.credential == "claude_code" and cause == "rate_limited":
        decision = replace(decision, cooldowns=outcome.rate_limit.limits)
    return decision


def first(state: RetryState, *, claude_code_first: bool = True) -> Decision:
    """The credential of the first attempt: `send` (the subscription), `fall_back` (the API key) or `refuse`."""
    if claude_code_first:
        return Decision(action="send", reason="first_choice")
    if state.hindrance:
        return Decision(action="refuse", reason=state.hindrance, hindrance=state.hindrance)
    return Decision(action="fall_back", reason="api_key_only")


def cause_of(outcome: Outcome, credential: CredentialKind) -> Cause:
    if outcome.blocked:
        return "cooling_down"
    if outcome.login:
        return "no_login"
    if not outcome.answered:
        return _broken(outcome)
    return cause_of_response(outcome.error, credential, exhausted=outcome.rate_limit.exhausted)


def _broken(outcome: Outcome) -> Cause:
    if outcome.phase == "connect":
        return "unreachable"
    if outcome.error.status == 504:
        return "timed_out"
    # Upstream closes idle connections. A request that reused one at that moment was not read, and may be sent again.
    if outcome.reused and outcome.phase == "before_headers":
        return "stale_connection"
    return "connection_lost"


def _retry(cause: Cause, outcome: Outcome, state: RetryState) -> Decision | None:
    if state.tried.retries >= RETRIES[cause] or outcome.should_retry is False:
        return None
    # The request may have been processed and billed: don't let anybody pay for it twice.
    if state.credential == "api_key" and cause in ("connection_lost", "stale_connection"):
        return None
    asked = outcome.error.retry_after or 0.0
    if asked > BACKOFF_MAX:
        return None
    seconds = max(asked, backoff(state.tried.retries, state.jitter))
    return Decision(action="retry_same", reason=cause, seconds=seconds)


def backoff(retries: int, jitter: float) -> float:
    """Seconds before retry number `retries` + 1, as in Anthropic's SDK: doubling, minus up to a quarter."""
    return min(BACKOFF_BASE * 2.0**retries, BACKOFF_MAX) * (1 - BACKOFF_JITTER * jitter)


def _reconnect(cause: Cause, outcome: Outcome, state: RetryState) -> Decision | None:
    return None if state.tried.reconnected else Decision(action="retry_same", reason=cause)


def _refresh(cause: Cause, outcome: Outcome, state: RetryState) -> Decision | None:
    if state.credential == "api_key" or state.tried.refreshed:
        return None
    return Decision(action="refresh_and_retry", reason=cause)


def _wait(cause: Cause, outcome: Outcome, state: RetryState) -> Decision | None:
    asked = outcome.rate_limit.retry_after
    seconds = DEFAULT_WAIT if asked is None else asked
    if state.tried.waited or seconds > state.patience:
        return None
    return Decision(action="wait", reason=cause, seconds=seconds)


def _trim(cause: Cause, outcome: Outcome, state: RetryState) -> Decision | None:
    return None if state.tried.trimmed else Decision(action="trim_and_retry", reason=cause)


def _strip(cause: Cause, outcome: Outcome, state: RetryState) -> Decision | None:
    return (
        None if state.tried.stripped else Decision(action="strip_thinking_and_retry", reason=cause)
    )


def _drop_server_tools(cause: Cause, outcome: Outcome, state: RetryState) -> Decision | None:
    if state.tried.server_tools_dropped:
        return None
    return Decision(action="drop_server_tools_and_retry", reason=cause)


def _mend(cause: Cause, outcome: Outcome, state: RetryState) -> Decision | None:
    return Decision(action="mend_and_retry", reason=cause) if state.mendable else None


def _fall_back(cause: Cause, outcome: Outcome, state: RetryState) -> Decision | None:
    if state.credential == "api_key" or state.hindrance:
        return None
    # Only when the key takes over: a cooldown without a fallback would keep a new login from being noticed.
    limits = (Limit(state.family, state.now + FORBIDDEN_SECONDS),) if cause == "forbidden" else ()
    return Decision(action="fall_back", reason=_reason(cause, outcome), cooldowns=limits)


def _give_up(cause: Cause, outcome: Outcome, state: RetryState) -> Decision:
    wanted = state.credential == "claude_code" and _fall_back in PLAN[cause]
    return Decision(
        action="relay" if outcome.answered else "refuse",
        reason=_reason(cause, outcome),
        hindrance=state.hindrance if wanted else None,
    )


def _reason(cause: Cause, outcome: Outcome) -> str:
    if outcome.blocked:
        return outcome.blocked.reason
    return LOGIN_REASONS.get(outcome.login, "no_login") if outcome.login else cause


PLAN: Mapping[Cause, tuple[Step, ...]] = {
    "cooling_down": (_fall_back, _give_up),
    "no_login": (_fall_back, _give_up),
    "unreachable": (_retry, _give_up),
    "stale_connection": (_reconnect, _retry, _give_up),
    "connection_lost": (_retry, _give_up),
    "timed_out": (_give_up,),
    "login_expired": (_refresh, _fall_back, _give_up),
    "forbidden": (_mend, _fall_back, _give_up),
    "plan_policy": (_fall_back, _give_up),
    "long_context": (_fall_back, _give_up),
    "rate_limited": (_fall_back, _give_up),
    "busy": (_wait, _fall_back, _give_up),
    # Overload concerns the paid key as well.
    "overloaded": (_retry, _give_up),
    "upstream_error": (_retry, _give_up),
    "prompt_too_long": (_trim, _give_up),
    "thinking_refused": (_strip, _mend, _give_up),
    "server_tools_refused": (_mend, _drop_server_tools, _give_up),
    # It would fail again on the paid key.
    "refused": (_mend, _give_up),
}
