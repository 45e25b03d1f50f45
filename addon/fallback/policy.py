"""Decides what to do after an attempt has failed. Pure: the time, the random number and the state are arguments.

An `Outcome` (what happened) has a `Cause`. `PLAN` lists the rules for each cause, in the order in which they are
tried; a rule applies if the `RetryState` (what was tried, what is allowed) permits it. The last rule always applies.
The rule `_fall_back` takes the first step of FALLBACK_CHAIN that `HELPS` with the cause and that nothing hinders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Literal, get_args

from addon.core.errors import CCProxyError
from addon.core.frozen import frozen
from addon.core.types import Phase, Tried
from addon.fallback.causes import LOGIN_REASONS, Cause, CredentialKind, cause_of_response
from addon.fallback.cooldowns import Cooldown
from addon.fallback.rate_limits import Limit, RateLimit

type StepKind = Literal["api_key", "claude", "openai", "wait"]
type Hindrance = Literal[
    "no_api_key",
    "fallback_off",
    "no_price",
    "messages_only",
    "free_count",
    "same_family",
    "family_limited",
    "too_long",
    "not_streamed",
    "reset_too_late",
]
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


@frozen(kw_only=True)
class ChainStep:
    """One step of FALLBACK_CHAIN, as it is for one request."""

    kind: StepKind
    name: str
    """As the user wrote it."""
    model: str = ""
    """Of `claude` and `openai`."""
    hindrance: Hindrance | None = None
    """Why it can't be taken; None: it can."""
    until: float | None = None
    """Of `wait`: unix seconds when the subscription's limit ends; None: there is none to wait for."""


@frozen(kw_only=True)
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
    over_budget: bool = False
    """A paid attempt was not made because the budget has no room for it."""


@frozen(kw_only=True)
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
    chain: tuple[ChainStep, ...] = ()
    """The steps that are left."""
    step: StepKind | None = None
    """The one that was taken last."""


@frozen(kw_only=True)
class Decision:
    """The next step. `relay`: the client gets upstream's error; `refuse`: the client gets an error of our own."""

    action: Action
    reason: str
    """A short machine word, for `x-ccproxy-reason`."""
    seconds: float = 0.0
    """To wait before the retry."""
    cooldowns: tuple[Limit, ...] = ()
    """Limits for which a cooldown of the failed credential starts."""
    step: ChainStep | None = None
    """What serves next, if the action is `fall_back`."""
    skipped: tuple[ChainStep, ...] = ()
    """Steps that could have helped, with what hinders them."""


type Rule = Callable[[Cause, Outcome, RetryState], Decision | None]

HELPS: Mapping[Cause, tuple[StepKind, ...]] = {
    "cooling_down": ("api_key", "claude", "openai", "wait"),
    "rate_limited": ("api_key", "claude", "openai", "wait"),
    "over_budget": ("claude", "openai", "wait"),
    "busy": ("api_key", "claude", "openai"),
    "forbidden": ("api_key", "claude", "openai"),
    # Another model would need the same login, plan or extra usage.
    "no_login": ("api_key", "openai"),
    "login_expired": ("api_key", "openai"),
    "plan_policy": ("api_key", "openai"),
    "long_context": ("api_key", "openai"),
}
"""The kinds of steps that can serve a request which has failed with the subscription for a cause. When a paid step has
failed for one of these, all can: they don't depend on its key."""
AFTER_ANOTHER_MODEL: tuple[StepKind, ...] = ("api_key", "openai", "wait")
"""The same, when another model than the one that was asked for has refused the request."""

RETRIES: Mapping[Cause, int] = {
    "unreachable": 2,
    "stale_connection": 1,
    "connection_lost": 1,
    "overloaded": 2,
    "upstream_error": 2,
}
"""How many times the same credential is tried again."""

BACKOFF_BASE, BACKOFF_MAX, BACKOFF_JITTER = 0.5, 8.0, 0.25
FORBIDDEN_SECONDS = 300.0
"""Cooldown after a 403, for the model family of the request."""
DEFAULT_WAIT = 1.0
"""Seconds to wait after a temporary 429 without `retry-after`."""


def decide(outcome: Outcome, state: RetryState) -> Decision:
    """The next step. Nothing is retried once the client has received content."""
    cause = cause_of(outcome, state.credential)
    rules = (_give_up,) if outcome.phase == "after_content" else PLAN[cause]
    return next(d for rule in rules if (d := rule(cause, outcome, state)))


def limits(outcome: Outcome, credential: CredentialKind) -> tuple[Limit, ...]:
    """The limits for which a cooldown of the subscription starts, whatever is decided."""
    exhausted = credential == "claude_code" and cause_of(outcome, credential) == "rate_limited"
    return outcome.rate_limit.limits if exhausted else ()


def first(hindrance: Hindrance | None, *, claude_code_first: bool = True) -> Decision:
    """The credential of the first attempt: `send` (the subscription), `fall_back` (the API key) or `refuse`.
    `hindrance`: why the key may not be used."""
    if claude_code_first:
        return Decision(action="send", reason="first_choice")
    if hindrance:
        return Decision(action="refuse", reason=hindrance)
    return Decision(action="fall_back", reason="api_key_only")


def cause_of(outcome: Outcome, credential: CredentialKind) -> Cause:
    if outcome.over_budget:
        return "over_budget"
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
    if state.credential != "claude_code" and cause in ("connection_lost", "stale_connection"):
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
    if state.credential != "claude_code" or state.tried.refreshed:
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
    helping = _helping(cause, outcome, state)
    step = next((step for step in helping if step.hindrance is None), None)
    if step is None:
        return None
    # Only when another step takes over: a cooldown without one would keep a new login from being noticed.
    forbidden = cause == "forbidden" and state.credential == "claude_code"
    return Decision(
        action="fall_back",
        reason=_reason(cause, outcome),
        cooldowns=(Limit(state.family, state.now + FORBIDDEN_SECONDS),) if forbidden else (),
        step=step,
        skipped=helping[: helping.index(step)],
    )


def _helping(cause: Cause, outcome: Outcome, state: RetryState) -> tuple[ChainStep, ...]:
    kinds = HELPS.get(cause, ())
    if kinds and state.credential != "claude_code":
        kinds = get_args(StepKind.__value__)
    if not kinds and state.step in ("claude", "openai"):
        kinds = AFTER_ANOTHER_MODEL
    return tuple(
        step
        for step in state.chain
        if step.kind in kinds and (step.kind != "wait" or step.until is not None)
    )


def _give_up(cause: Cause, outcome: Outcome, state: RetryState) -> Decision:
    wanted = _fall_back in PLAN[cause]
    return Decision(
        action="relay" if outcome.answered else "refuse",
        reason=_reason(cause, outcome),
        skipped=_helping(cause, outcome, state) if wanted else (),
    )


def _reason(cause: Cause, outcome: Outcome) -> str:
    if outcome.blocked:
        return outcome.blocked.reason
    return LOGIN_REASONS.get(outcome.login, "no_login") if outcome.login else cause


PLAN: Mapping[Cause, tuple[Rule, ...]] = {
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
    "over_budget": (_fall_back, _give_up),
    # It would fail again with the paid key, but another model's refusal says nothing about the one that was asked for.
    "prompt_too_long": (_trim, _fall_back, _give_up),
    "thinking_refused": (_strip, _mend, _fall_back, _give_up),
    "server_tools_refused": (_mend, _drop_server_tools, _fall_back, _give_up),
    "refused": (_mend, _fall_back, _give_up),
}
