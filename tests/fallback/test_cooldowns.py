from __future__ import annotations

import pytest

from addon.fallback.cooldowns import Cooldowns
from addon.fallback.rate_limits import Limit
from tests.clock import Clock

NOW = 1_795_305_600.0
PLAN = "subscription"


def resting(limit: Limit) -> Cooldowns:
    cooldowns = Cooldowns()
    cooldowns.start(PLAN, limit, reason="rate_limited", now=NOW)
    return cooldowns


def test_r9_an_exhausted_account_rests_for_all_models_until_the_reset() -> None:
    cooldowns = resting(Limit(None, NOW + 7200))
    for family in ("opus", "fable"):
        blocked = cooldowns.admit(PLAN, family, NOW + 7199)
        assert blocked is not None
        assert (blocked.until, blocked.reason, blocked.family) == (NOW + 7200, "rate_limited", None)
    assert cooldowns.admit(PLAN, "opus", NOW + 7200) is None


def test_a_model_window_rests_only_its_own_family() -> None:
    cooldowns = resting(Limit("fable", NOW + 7200))
    assert cooldowns.admit(PLAN, "opus", NOW) is None
    assert cooldowns.admit(PLAN, "fable", NOW) is not None


def test_other_credentials_do_not_rest() -> None:
    assert resting(Limit(None, NOW + 60)).admit("ANTHROPIC_API_KEY", "opus", NOW) is None


def test_after_the_rest_one_request_probes_and_the_others_wait_for_it() -> None:
    cooldowns = resting(Limit(None, NOW + 60))
    assert cooldowns.admit(PLAN, "opus", NOW + 61) is None
    assert cooldowns.admit(PLAN, "opus", NOW + 61) is not None
    cooldowns.succeeded(PLAN, "opus", NOW + 63)
    assert cooldowns.admit(PLAN, "opus", NOW + 63) is None
    assert cooldowns.admit(PLAN, "opus", NOW + 63) is None


def test_the_probes_own_retries_are_not_held_up_by_it() -> None:
    cooldowns = resting(Limit(None, NOW + 60))
    assert cooldowns.admit(PLAN, "opus", NOW + 61, by="request-1") is None
    assert cooldowns.admit(PLAN, "opus", NOW + 62, by="request-2") is not None
    assert cooldowns.admit(PLAN, "opus", NOW + 62, by="request-1") is None


def test_a_probe_that_is_refused_starts_the_next_rest() -> None:
    cooldowns = resting(Limit(None, NOW + 60))
    cooldowns.admit(PLAN, "opus", NOW + 61)
    cooldowns.start(PLAN, Limit(None, NOW + 500), reason="rate_limited", now=NOW + 62)
    blocked = cooldowns.admit(PLAN, "opus", NOW + 499)
    assert blocked is not None
    assert blocked.until == NOW + 500


def test_a_probe_whose_client_left_is_replaced_after_half_a_minute() -> None:
    cooldowns = resting(Limit(None, NOW + 60))
    cooldowns.admit(PLAN, "opus", NOW + 61)
    assert cooldowns.admit(PLAN, "opus", NOW + 90) is not None
    assert cooldowns.admit(PLAN, "opus", NOW + 91) is None


def test_a_success_of_a_request_sent_before_the_rest_does_not_end_it() -> None:
    cooldowns = resting(Limit(None, NOW + 60))
    cooldowns.succeeded(PLAN, "opus", NOW + 1)
    assert cooldowns.admit(PLAN, "opus", NOW + 2) is not None


def test_rests_without_a_reset_double_from_one_minute_to_five() -> None:
    cooldowns, now, rests = Cooldowns(), NOW, []
    for _ in range(6):
        until = cooldowns.start(PLAN, Limit(None, None), reason="rate_limited", now=now)
        rests.append(until - now)
        now = until
    assert rests == [60, 120, 240, 300, 300, 300]


def test_requests_refused_together_are_one_strike() -> None:
    cooldowns = Cooldowns()
    untils = [
        cooldowns.start(PLAN, Limit(None, None), reason="rate_limited", now=NOW) for _ in range(9)
    ]
    assert untils == [NOW + 60] * 9


def test_a_new_login_forgets_the_rests_of_the_old_one() -> None:
    cooldowns = resting(Limit("opus", NOW + 600))
    cooldowns.forget(PLAN)
    assert cooldowns.admit(PLAN, "opus", NOW) is None


def test_the_snapshot_shows_what_rests_and_takes_no_probe() -> None:
    cooldowns = resting(Limit("opus", NOW + 60))
    expected = {
        "credential": PLAN,
        "family": "opus",
        "until": NOW + 60,
        "seconds": 20.0,
        "reason": "rate_limited",
    }
    assert cooldowns.snapshot(NOW + 40) == [expected]
    assert cooldowns.snapshot(NOW + 99)[0]["seconds"] == pytest.approx(0)
    assert cooldowns.admit(PLAN, "opus", NOW + 99) is None


def test_a_rest_ends_when_a_later_response_says_that_there_is_room() -> None:
    cooldowns = resting(Limit("opus", NOW + 7200))
    cooldowns.ease(PLAN, {"opus", None}, NOW - 1)  # sent before the limit was reached
    cooldowns.ease(PLAN, {"fable"}, NOW + 1)
    assert cooldowns.admit(PLAN, "opus", NOW + 2) is not None
    cooldowns.ease(PLAN, {"opus"}, NOW + 1)
    assert cooldowns.admit(PLAN, "opus", NOW + 2) is None


def test_room_in_the_plan_says_nothing_of_a_refused_permission() -> None:
    cooldowns = Cooldowns()
    cooldowns.start(PLAN, Limit("opus", NOW + 300), reason="forbidden", now=NOW)
    cooldowns.ease(PLAN, {"opus", None}, NOW + 1)
    assert cooldowns.admit(PLAN, "opus", NOW + 2) is not None


def test_a_rest_that_is_told_again_began_when_it_was_told_first() -> None:
    cooldowns = resting(Limit("opus", NOW + 7200))
    cooldowns.start(PLAN, Limit("opus", NOW + 7200), reason="plan_only", now=NOW + 60)
    cooldowns.ease(PLAN, {"opus"}, NOW + 30)
    assert cooldowns.admit(PLAN, "opus", NOW + 61) is None


@pytest.mark.parametrize("days", [-400, -1, 1, 400])
def test_a_clock_that_is_set_prolongs_no_cooldown(days: int) -> None:
    steady = Clock()
    cooldowns = Cooldowns(steady)
    cooldowns.start("claude_code", Limit(None, 1_000_100.0), reason="rate_limited", now=1_000_000.0)
    steady.now += 10
    set_by = days * 86_400.0
    blocked = cooldowns.admit("claude_code", "opus", 1_000_010.0 + set_by)
    assert (blocked is not None) is (days < 0)
    steady.now += 91
    now = 1_000_101.0 + set_by
    assert all(entry["seconds"] == 0 for entry in cooldowns.snapshot(now))
    assert cooldowns.admit("claude_code", "opus", now, by="a") is None
    if days > 0:  # back again, with a probe under way that is never answered
        steady.now += 31
        assert cooldowns.admit("claude_code", "opus", 1_000_132.0, by="b") is None
