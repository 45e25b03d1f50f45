"""The policy, row by row: outcome and state → decision."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

import pytest

from addon.core.errors import BadGateway, CCProxyError, Forbidden, GatewayTimeout, Unauthorized
from addon.core.types import Phase, Tried
from addon.credentials.credential import CredentialErrorKind
from addon.fallback.causes import LOGIN_REASONS, Cause
from addon.fallback.cooldowns import Cooldown
from addon.fallback.messages import all_failed, cooling_down, explained, local_time
from addon.fallback.policy import (
    HELPS,
    PLAN,
    ChainStep,
    Decision,
    Hindrance,
    Outcome,
    RetryState,
    StepKind,
    backoff,
    cause_of,
    decide,
    first,
    limits,
)
from addon.fallback.rate_limits import Limit, RateLimit

NOW = 1_795_305_600.0
EXHAUSTED = RateLimit(limits=(Limit(None, NOW + 7200),), retry_after=7200)
PASSING = RateLimit(retry_after=3)
NOT_PAIRED = (
    "messages.1: `web_search` tool use with id `srvtoolu_1` was found without a corresponding "
    "`web_search_tool_result` block"
)
NOT_SIGNED = "messages.1.content.0: Invalid `signature` in `thinking` block"


def said(status: int, message: str = "no", phase: Phase = "before_headers", **more: Any) -> Outcome:
    error = CCProxyError(message, status=status, retry_after=more.pop("retry_after", None))
    return Outcome(phase=phase, error=error, **more)


def broke(phase: Phase, *, reused: bool = False, error: CCProxyError | None = None) -> Outcome:
    return Outcome(phase=phase, error=error or BadGateway("cut"), answered=False, reused=reused)


def no_login(kind: str) -> Outcome:
    return Outcome(
        phase="connect", error=Unauthorized("Run `claude /login`."), answered=False, login=kind
    )


RESTS = Outcome(
    phase="connect",
    error=CCProxyError("rests"),
    answered=False,
    blocked=Cooldown(family=None, until=NOW + 60, reason="rate_limited"),
)

KEY = ChainStep(kind="api_key", name="api_key")
WITH_KEY = RetryState(credential="claude_code", family="opus", now=NOW, patience=9.0, chain=(KEY,))
PLAN_ONLY = replace(WITH_KEY, chain=(replace(KEY, hindrance="no_api_key"),))
KEY_OFF = replace(WITH_KEY, chain=(replace(KEY, hindrance="fallback_off"),))
ON_KEY = replace(WITH_KEY, credential="api_key", chain=(), step="api_key")


def tried(state: RetryState, **more: Any) -> RetryState:
    return replace(state, tried=Tried(**more))


ROWS = [
    # Overload and faults: the same credential, at most twice, never the paid key.
    ("R7 529 is retried", said(529), WITH_KEY, "retry_same", "overloaded"),
    ("R7 529 is retried again", said(529), tried(WITH_KEY, retries=1), "retry_same", "overloaded"),
    ("R29 529 a third time is relayed", said(529), tried(WITH_KEY, retries=2), "relay", "overloaded"),
    ("529 as an event before content", said(529, phase="before_content"), WITH_KEY, "retry_same", "overloaded"),
    ("R8 529 after content is passed on", said(529, phase="after_content"), WITH_KEY, "relay", "overloaded"),
    ("529 that asks for a long wait", said(529, retry_after=30), WITH_KEY, "relay", "overloaded"),
    ("529 that forbids a retry", said(529, should_retry=False), WITH_KEY, "relay", "overloaded"),
    ("500 is retried", said(500), WITH_KEY, "retry_same", "upstream_error"),
    ("500 on the key is retried", said(500), ON_KEY, "retry_same", "upstream_error"),
    ("500 a third time is relayed", said(500), tried(WITH_KEY, retries=2), "relay", "upstream_error"),
    ("409 is retried", said(409), WITH_KEY, "retry_same", "upstream_error"),
    ("a gateway's 520 is retried once", said(520), WITH_KEY, "retry_same", "connection_lost"),
    ("a gateway's 520 on the key may have cost", said(520), ON_KEY, "relay", "connection_lost"),
    # Connections.
    ("R1 refused", broke("connect"), WITH_KEY, "retry_same", "unreachable"),
    ("R1 refused, second", broke("connect"), tried(WITH_KEY, retries=1), "retry_same", "unreachable"),
    ("R1 refused, third", broke("connect"), tried(WITH_KEY, retries=2), "refuse", "unreachable"),
    ("refused on the key was not sent", broke("connect"), ON_KEY, "retry_same", "unreachable"),
    ("R2 cut before headers", broke("before_headers"), WITH_KEY, "retry_same", "connection_lost"),
    ("R2 cut again", broke("before_headers"), tried(WITH_KEY, retries=1), "refuse", "connection_lost"),
    ("cut before content", broke("before_content"), WITH_KEY, "retry_same", "connection_lost"),
    ("cut before headers on the key", broke("before_headers"), ON_KEY, "refuse", "connection_lost"),
    ("cut after content", broke("after_content"), WITH_KEY, "refuse", "connection_lost"),
    ("R28 stale connection", broke("before_headers", reused=True), WITH_KEY, "retry_same", "stale_connection"),
    ("R28 stale connection on the key", broke("before_headers", reused=True), ON_KEY, "retry_same", "stale_connection"),
    ("stale twice on the key", broke("before_headers", reused=True), tried(ON_KEY, reconnected=True), "refuse", "stale_connection"),
    ("a reused connection that gave bytes, on the key", broke("before_content", reused=True), ON_KEY, "refuse", "connection_lost"),
    ("ten minutes of silence", broke("before_headers", error=GatewayTimeout("silence")), WITH_KEY, "refuse", "timed_out"),
    # Rate limits.
    ("R9 exhausted with a key", said(429, rate_limit=EXHAUSTED), WITH_KEY, "fall_back", "rate_limited"),
    ("exhausted without a key", said(429, rate_limit=EXHAUSTED), PLAN_ONLY, "relay", "rate_limited"),
    ("exhausted, FALLBACK=off", said(429, rate_limit=EXHAUSTED), KEY_OFF, "relay", "rate_limited"),
    ("R11 exhausted on the key too", said(429, rate_limit=EXHAUSTED), ON_KEY, "relay", "rate_limited"),
    ("R10 a passing 429 is waited out", said(429, rate_limit=PASSING), WITH_KEY, "wait", "busy"),
    ("a passing 429 without a wait named", said(429), WITH_KEY, "wait", "busy"),
    ("a passing 429 a second time", said(429, rate_limit=PASSING), tried(WITH_KEY, waited=True), "fall_back", "busy"),
    ("a passing 429 a second time, no key", said(429, rate_limit=PASSING), tried(PLAN_ONLY, waited=True), "relay", "busy"),
    ("a passing 429 longer than there is time", said(429, rate_limit=PASSING), replace(WITH_KEY, patience=2.0), "fall_back", "busy"),
    ("a passing 429 on the key", said(429, rate_limit=PASSING), ON_KEY, "wait", "busy"),
    ("resting with a key", RESTS, WITH_KEY, "fall_back", "rate_limited"),
    ("resting without a key", RESTS, PLAN_ONLY, "refuse", "rate_limited"),
    # Login and permission.
    ("O13 the first 401 refreshes", said(401), WITH_KEY, "refresh_and_retry", "login_expired"),
    ("401 after the refresh falls back", said(401), tried(WITH_KEY, refreshed=True), "fall_back", "login_expired"),
    ("401 after the refresh, no key", said(401), tried(PLAN_ONLY, refreshed=True), "relay", "login_expired"),
    ("401 of the key", said(401), ON_KEY, "relay", "login_expired"),
    ("403 falls back", said(403), WITH_KEY, "fall_back", "forbidden"),
    ("403 without a key", said(403), PLAN_ONLY, "relay", "forbidden"),
    ("no login falls back", no_login("missing"), WITH_KEY, "fall_back", "no_login"),
    ("no login, no key", no_login("missing"), PLAN_ONLY, "refuse", "no_login"),
    ("O7 invalid_grant falls back", no_login("invalid_grant"), WITH_KEY, "fall_back", "login_expired"),
    ("O8 unknown outcome falls back", no_login("unknown_outcome"), WITH_KEY, "fall_back", "refresh_failed"),
    # Refusals by name.
    ("a long context", said(429, "Extra usage is required for long context requests."), WITH_KEY, "fall_back", "long_context"),
    ("a long context, FALLBACK=off", said(429, "Extra usage is required for long context requests."), KEY_OFF, "relay", "long_context"),
    ("plan policy", said(400, "This credential is only authorized for use with Claude Code and cannot ..."), WITH_KEY, "fall_back", "plan_policy"),
    ("plan policy, extra usage", said(400, "Third-party apps now draw from your extra usage, not your plan limits."), WITH_KEY, "fall_back", "plan_policy"),
    ("plan policy with 403", said(403, "only authorized for use with Claude Code"), WITH_KEY, "fall_back", "plan_policy"),
    ("plan policy, FALLBACK=off", said(400, "only authorized for use with Claude Code"), KEY_OFF, "relay", "plan_policy"),
    ("prompt too long", said(400, "prompt is too long: 204826 tokens > 200000 maximum"), WITH_KEY, "trim_and_retry", "prompt_too_long"),
    ("prompt and max_tokens too long", said(400, "input length and `max_tokens` exceed context limit: 1 + 2 > 2"), WITH_KEY, "trim_and_retry", "prompt_too_long"),
    ("prompt too long after trimming", said(400, "prompt is too long"), tried(WITH_KEY, trimmed=True), "relay", "prompt_too_long"),
    ("thinking signature", said(400, NOT_SIGNED), WITH_KEY, "strip_thinking_and_retry", "thinking_refused"),
    ("thinking expected", said(400, "Expected `thinking` or `redacted_thinking`, but found `tool_use`"), ON_KEY, "strip_thinking_and_retry", "thinking_refused"),
    ("server tools", said(400, NOT_PAIRED), ON_KEY, "drop_server_tools_and_retry", "server_tools_refused"),
    ("server tools that can be paired", said(400, NOT_PAIRED), replace(ON_KEY, mendable=True), "mend_and_retry", "server_tools_refused"),
    ("server tools after dropping them", said(400, NOT_PAIRED), tried(ON_KEY, server_tools_dropped=True), "relay", "server_tools_refused"),
    ("thinking signature after stripping", said(400, NOT_SIGNED), tried(WITH_KEY, stripped=True), "relay", "thinking_refused"),
    ("a thinking budget is an ordinary 400", said(400, "`max_tokens` must be greater than `thinking.budget_tokens`"), WITH_KEY, "relay", "refused"),
    ("an ordinary 400 is relayed", said(400, "messages: at least one message is required"), WITH_KEY, "relay", "refused"),
    ("404 is relayed", said(404), WITH_KEY, "relay", "refused"),
    ("402 is relayed", said(402), WITH_KEY, "relay", "refused"),
    ("413 is relayed", said(413), WITH_KEY, "relay", "refused"),
    ("a prompt that is too long in a 500 is a fault", said(500, "prompt is too long"), WITH_KEY, "retry_same", "upstream_error"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "state", "action", "reason"),
    [pytest.param(*row[1:], id=row[0]) for row in ROWS],
)
def test_the_table(outcome: Outcome, state: RetryState, action: str, reason: str) -> None:
    decision = decide(outcome, state)
    assert (decision.action, decision.reason) == (action, reason)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_nothing_is_tried_again_after_content(
    row: tuple[str, Outcome, RetryState, str, str],
) -> None:
    decision = decide(replace(row[1], phase="after_content"), row[2])
    assert decision.action in ("relay", "refuse")


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_no_row_spends_where_the_key_may_not_be_used(
    row: tuple[str, Outcome, RetryState, str, str],
) -> None:
    assert decide(row[1], replace(row[2], chain=KEY_OFF.chain)).action != "fall_back"


def test_every_cause_has_a_plan_that_ends() -> None:
    assert set(PLAN) == set(get_args(Cause.__value__))
    for outcome in (said(400), broke("after_content")):
        for steps in PLAN.values():
            assert steps[-1]("refused", outcome, PLAN_ONLY) is not None


@pytest.mark.parametrize(
    ("retries", "jitter", "seconds"),
    [(0, 0.0, 0.5), (1, 0.0, 1.0), (2, 0.0, 2.0), (9, 0.0, 8.0), (0, 1.0, 0.375), (9, 1.0, 6.0)],
)
def test_back_off_doubles_to_eight_seconds_less_a_quarter_at_most(
    retries: int, jitter: float, seconds: float
) -> None:
    assert backoff(retries, jitter) == seconds


def test_a_retry_waits_as_long_as_upstream_asks() -> None:
    assert decide(said(529, retry_after=5), WITH_KEY).seconds == 5
    assert decide(said(529), WITH_KEY).seconds == 0.5


def test_a_stale_connection_is_retried_without_a_wait() -> None:
    assert decide(broke("before_headers", reused=True), WITH_KEY).seconds == 0


def test_the_wait_of_a_passing_429_is_upstreams_or_a_second() -> None:
    assert decide(said(429, rate_limit=PASSING), WITH_KEY).seconds == 3
    assert decide(said(429), WITH_KEY).seconds == 1


def test_an_exhausted_plan_rests_with_and_without_a_key() -> None:
    for state in (WITH_KEY, PLAN_ONLY, KEY_OFF):
        assert limits(said(429, rate_limit=EXHAUSTED), state.credential) == EXHAUSTED.limits


def test_an_exhausted_key_does_not_rest() -> None:
    assert limits(said(429, rate_limit=EXHAUSTED), "api_key") == ()


def test_a_passing_429_leaves_no_rest() -> None:
    assert limits(said(429), "claude_code") == ()
    assert decide(said(429), tried(WITH_KEY, waited=True)).cooldowns == ()


def test_a_403_rests_for_this_family_for_five_minutes_if_the_key_takes_over() -> None:
    assert decide(said(403), WITH_KEY).cooldowns == (Limit("opus", NOW + 300),)
    assert decide(said(403), PLAN_ONLY).cooldowns == ()


@pytest.mark.parametrize(
    ("state", "hindrance"),
    [
        pytest.param(PLAN_ONLY, "no_api_key", id="no key"),
        pytest.param(KEY_OFF, "fallback_off", id="FALLBACK=off"),
        pytest.param(ON_KEY, None, id="the key itself failed"),
    ],
)
def test_a_failure_says_why_the_key_did_not_help(state: RetryState, hindrance: str | None) -> None:
    skipped = decide(said(429, rate_limit=EXHAUSTED), state).skipped
    assert [step.hindrance for step in skipped] == [hindrance] * (hindrance is not None)


def test_an_error_the_key_would_not_have_helped_with_names_no_hindrance() -> None:
    assert decide(said(400), PLAN_ONLY).skipped == ()


# ---- the chain: every kind of step for every cause


OUTCOMES: dict[Cause, tuple[Outcome, dict[str, Any]]] = {
    "cooling_down": (RESTS, {}),
    "no_login": (no_login("missing"), {}),
    "unreachable": (broke("connect"), {"retries": 2}),
    "stale_connection": (broke("before_headers", reused=True), {"reconnected": True, "retries": 1}),
    "connection_lost": (broke("before_headers"), {"retries": 1}),
    "timed_out": (broke("before_headers", error=GatewayTimeout("silence")), {}),
    "login_expired": (said(401), {"refreshed": True}),
    "forbidden": (said(403), {}),
    "plan_policy": (said(400, "only authorized for use with Claude Code"), {}),
    "long_context": (said(429, "Extra usage is required for long context requests."), {}),
    "rate_limited": (said(429, rate_limit=EXHAUSTED), {}),
    "busy": (said(429), {"waited": True}),
    "overloaded": (said(529), {"retries": 2}),
    "upstream_error": (said(500), {"retries": 2}),
    "prompt_too_long": (said(400, "prompt is too long"), {"trimmed": True}),
    "thinking_refused": (said(400, NOT_SIGNED), {"stripped": True}),
    "server_tools_refused": (said(400, "unexpected `server_tool_use`"), {"server_tools_dropped": True}),
    "over_budget": (Outcome(phase="connect", error=CCProxyError("spent"), answered=False, over_budget=True), {}),
    "refused": (said(400), {}),
}  # fmt: skip
"""A failure for each cause, and what was tried, so that only the chain is left."""
STEPS: dict[StepKind, ChainStep] = {
    "api_key": KEY,
    "claude": ChainStep(kind="claude", name="claude-haiku-5-5", model="claude-haiku-5-5"),
    "openai": ChainStep(kind="openai", name="openai:gpt-5", model="gpt-5"),
    "wait": ChainStep(kind="wait", name="wait", until=NOW + 60),
}
CELLS = [(cause, kind) for cause in get_args(Cause.__value__) for kind in STEPS]
LIMIT, NO_LIMIT = {"api_key", "claude", "openai", "wait"}, {"api_key", "openai"}
HELPED: dict[Cause, set[str]] = {
    "cooling_down": LIMIT,
    "rate_limited": LIMIT,
    "busy": {"api_key", "claude", "openai"},
    "forbidden": {"api_key", "claude", "openai"},
    "over_budget": {"claude", "openai", "wait"},
    "no_login": NO_LIMIT,
    "login_expired": NO_LIMIT,
    "plan_policy": NO_LIMIT,
    "long_context": NO_LIMIT,
}


def test_each_cause_has_its_cells() -> None:
    assert set(OUTCOMES) == set(get_args(Cause.__value__))
    assert set(HELPS) == set(HELPED)


@pytest.mark.parametrize(("cause", "kind"), CELLS)
def test_a_step_is_taken_where_it_can_help(cause: Cause, kind: StepKind) -> None:
    outcome, before = OUTCOMES[cause]
    decision = decide(outcome, replace(tried(WITH_KEY, **before), chain=(STEPS[kind],)))
    helps = kind in HELPED.get(cause, set())
    assert (decision.action == "fall_back") is helps
    assert decision.step == (STEPS[kind] if helps else None)


@pytest.mark.parametrize(("cause", "kind"), CELLS)
@pytest.mark.parametrize("hindrance", get_args(Hindrance.__value__))
def test_a_hindered_step_is_named_and_the_next_one_taken(
    cause: Cause, kind: StepKind, hindrance: Hindrance
) -> None:
    outcome, before = OUTCOMES[cause]
    hindered = replace(STEPS[kind], hindrance=hindrance)
    last = ChainStep(kind="openai", name="openai:last", model="last")
    named = (hindered,) if kind in HELPED.get(cause, set()) else ()
    decision = decide(outcome, replace(tried(WITH_KEY, **before), chain=(hindered, last)))
    assert decision.step == (last if cause in HELPED else None)
    assert decision.skipped == named
    alone = decide(outcome, replace(tried(WITH_KEY, **before), chain=(hindered,)))
    assert alone.action in ("relay", "refuse")
    assert alone.skipped == named


@pytest.mark.parametrize(
    "cause", ["prompt_too_long", "thinking_refused", "server_tools_refused", "refused"]
)
@pytest.mark.parametrize("step", ["claude", "openai"])
def test_another_models_refusal_is_not_the_end(cause: Cause, step: StepKind) -> None:
    outcome, before = OUTCOMES[cause]
    state = replace(tried(WITH_KEY, **before), step=step)
    assert decide(outcome, state).step == KEY


@pytest.mark.parametrize(("cause", "kind"), CELLS)
@pytest.mark.parametrize("paid", ["api_key", "openai"])
def test_after_a_paid_step_every_other_can_help(
    cause: Cause, kind: StepKind, paid: Literal["api_key", "openai"]
) -> None:
    outcome = OUTCOMES[cause][0]
    state = tried(
        replace(WITH_KEY, credential=paid, step=paid, chain=(STEPS[kind],)),
        retries=2,
        reconnected=True,
        refreshed=True,
        waited=True,
        trimmed=True,
        stripped=True,
        server_tools_dropped=True,
    )
    actual = cause_of(outcome, paid)
    refusal = actual in ("refused", "prompt_too_long", "thinking_refused", "server_tools_refused")
    wanted = actual in HELPED or (refusal and paid == "openai" and kind != "claude")
    assert (decide(outcome, state).step is not None) is wanted


def test_there_is_nothing_to_wait_for_without_a_limit() -> None:
    state = replace(WITH_KEY, chain=(replace(STEPS["wait"], until=None),))
    assert decide(RESTS, state).action == "refuse"


def test_an_openai_request_that_may_have_been_billed_is_not_sent_again() -> None:
    state = replace(ON_KEY, credential="openai", step="openai")
    assert decide(broke("before_headers"), state).action == "refuse"
    assert decide(said(401), state).action == "relay"


@pytest.mark.parametrize(
    ("hindrance", "claude_code_first", "action", "reason"),
    [
        pytest.param(None, True, "send", "first_choice", id="the subscription first"),
        pytest.param("no_api_key", True, "send", "first_choice", id="the subscription, no key"),
        pytest.param(None, False, "fall_back", "api_key_only", id="key only"),
        pytest.param("no_api_key", False, "refuse", "no_api_key", id="key only without a key"),
    ],
)
def test_the_first_choice(
    hindrance: Hindrance | None, claude_code_first: bool, action: str, reason: str
) -> None:
    decision = first(hindrance, claude_code_first=claude_code_first)
    assert (decision.action, decision.reason) == (action, reason)


def test_r11_both_failing_gives_one_error_with_both_causes_and_the_earliest_reset() -> None:
    plan = CCProxyError("Limit reached.", status=429, type="rate_limit_error")
    key = Unauthorized("invalid x-api-key")
    errors = [("Claude Code subscription", plan), ("API key", key)]
    error = all_failed(errors, reset=NOW + 7200, now=NOW)
    assert (error.status, error.type, error.retry_after) == (429, "rate_limit_error", 7200)
    assert error.message == (
        "Claude Code subscription: Limit reached (429 rate_limit_error). "
        "API key: invalid x-api-key (401 authentication_error). "
        f"The earliest limit ends at {local_time(NOW + 7200, NOW)}."
    )


@pytest.mark.parametrize(
    ("first_error", "second_error", "status"),
    [
        pytest.param(Unauthorized("a"), CCProxyError("b", status=529), 401, id="login first"),
        pytest.param(Forbidden("a"), Unauthorized("b"), 401, id="key is wrong"),
        pytest.param(Forbidden("a"), CCProxyError("b", status=529), 529, id="the last one"),
    ],
)
def test_both_failing_without_a_reset_shows_what_can_be_acted_on(
    first_error: CCProxyError, second_error: CCProxyError, status: int
) -> None:
    errors = [("Claude Code subscription", first_error), ("API key", second_error)]
    assert all_failed(errors, reset=None, now=NOW).status == status


def test_explained_keeps_anthropics_words_and_adds_why_the_key_was_not_used() -> None:
    outcome = said(400, "This credential is only authorized for use with Claude Code.")
    error = explained(outcome.error, decide(outcome, KEY_OFF))
    assert error.status == 400
    assert error.message == (
        "This credential is only authorized for use with Claude Code. "
        "Anthropic does not let other apps use this plan; an API key is not bound by that. "
        "The API key was not used: FALLBACK=off."
    )


def test_explained_adds_nothing_to_an_error_that_says_all() -> None:
    error = CCProxyError("max_tokens: required", status=400)
    assert explained(error, Decision(action="relay", reason="refused")) is error


def test_a_request_that_was_not_sent_is_told_until_when() -> None:
    error = cooling_down(Cooldown(family=None, until=NOW + 60, reason="rate_limited"), NOW)
    assert (error.status, error.retry_after) == (429, 60)
    assert f"until {local_time(NOW + 60, NOW)}" in error.message
    error = cooling_down(Cooldown(family="fable", until=NOW + 60, reason="forbidden"), NOW)
    assert error.status == 403
    assert "fable models" in error.message


def test_every_kind_of_credential_error_has_a_reason() -> None:
    assert set(LOGIN_REASONS) == set(get_args(CredentialErrorKind.__value__))


def test_every_login_reason_is_one_of_three_words() -> None:
    assert set(LOGIN_REASONS.values()) == {"no_login", "login_expired", "refresh_failed"}
