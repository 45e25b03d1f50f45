"""Reading limits out of headers. `NOW` is 2026-11-22T00:00:00Z."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from addon.fallback.rate_limits import (
    Limit,
    RateLimit,
    Window,
    Windows,
    read_rate_limit,
    read_windows,
    windows_of,
)
from tests.core.test_retry_after import HOSTILE

NOW = 1_795_305_600.0
HOUR = 3600.0
U = "anthropic-ratelimit-unified-"


def in_(seconds: float) -> str:
    return str(int(NOW + seconds))


def rate_limit(headers: dict[str, str], family: str = "opus") -> RateLimit:
    return read_rate_limit(headers, family=family, now=NOW, patience=10.0)


def test_windows_are_read_with_status_share_and_reset() -> None:
    windows = read_windows(
        {
            "Anthropic-RateLimit-Unified-Status": "allowed_warning",
            U + "reset": in_(HOUR),
            U + "representative-claim": "five_hour",
            U + "5h-status": "allowed_warning",
            U + "5h-utilization": "0.91",
            U + "5h-reset": in_(HOUR),
            U + "7d-status": "allowed",
            U + "7d-utilization": "0.2",
            U + "7d_oi-status": "rejected",
            U + "7d_oi-reset": in_(48 * HOUR),
            U + "overage-status": "rejected",
            U + "fallback-percentage": "0.5",
        },
        NOW,
    )
    assert windows is not None
    assert windows.public() == {
        "status": "allowed_warning",
        "reset": NOW + HOUR,
        "claim": "five_hour",
        "overage": "rejected",
        "windows": {
            "5h": {"status": "allowed_warning", "utilization": 0.91, "reset": NOW + HOUR},
            "7d": {"status": "allowed", "utilization": 0.2, "reset": None},
            "7d_oi": {"status": "rejected", "utilization": None, "reset": NOW + 48 * HOUR},
        },
    }


def test_an_answer_to_an_api_key_tells_no_windows() -> None:
    assert read_windows({"anthropic-ratelimit-requests-remaining": "3"}, NOW) is None


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        pytest.param({}, (), id="no headers: passing"),
        pytest.param({"retry-after": "3"}, (), id="a short wait: passing"),
        pytest.param(
            {"retry-after": "3", U + "status": "allowed", U + "5h-status": "allowed"},
            (),
            id="a plan with room left and a short wait: passing",
        ),
        pytest.param(
            {"retry-after": "60"}, (Limit(None, NOW + 60),), id="a wait beyond patience: exhausted"
        ),
        pytest.param(
            {U + "status": "rejected", U + "reset": in_(2 * HOUR)},
            (Limit(None, NOW + 2 * HOUR),),
            id="R9 rejected until the unified reset",
        ),
        pytest.param(
            {U + "status": "rejected", "retry-after": "120"},
            (Limit(None, NOW + 120),),
            id="rejected without a reset: retry-after",
        ),
        pytest.param(
            {U + "status": "rejected"}, (Limit(None, None),), id="rejected, nobody tells until when"
        ),
        pytest.param(
            {U + "status": "rejected", U + "reset": "1" * 400},
            (Limit(None, None),),
            id="a reset that nobody lives to see says nothing",
        ),
        pytest.param(
            {U + "status": "rejected", U + "reset": in_(-5)},
            (Limit(None, None),),
            id="a reset in the past says nothing",
        ),
        pytest.param(
            {
                U + "5h-status": "rejected",
                U + "5h-reset": in_(HOUR),
                U + "7d-status": "rejected",
                U + "7d-reset": in_(70 * HOUR),
            },
            (Limit(None, NOW + 70 * HOUR),),
            id="two windows: the latest reset",
        ),
        pytest.param(
            {
                U + "5h-status": "rejected",
                U + "5h-reset": in_(HOUR),
                U + "7d-status": "allowed",
                U + "7d-reset": in_(70 * HOUR),
            },
            (Limit(None, NOW + HOUR),),
            id="the reset of a window with room left does not count",
        ),
        pytest.param(
            {
                U + "status": "rejected",
                U + "5h-status": "allowed",
                U + "7d-status": "allowed",
                U + "7d_oi-status": "rejected",
                U + "7d_oi-reset": in_(HOUR),
            },
            (Limit("fable", NOW + HOUR),),
            id="v163 only the Fable window: only Fable models",
        ),
        pytest.param(
            {U + "7d_new-status": "rejected", U + "7d_new-reset": in_(HOUR)},
            (Limit("opus", NOW + HOUR),),
            id="an unknown model window: this request's family",
        ),
        pytest.param(
            {
                U + "5h-status": "rejected",
                U + "5h-reset": in_(HOUR),
                U + "7d_oi-status": "rejected",
                U + "7d_oi-reset": in_(99 * HOUR),
                U + "7d_new-status": "rejected",
                U + "7d_new-reset": in_(99 * HOUR),
            },
            (Limit(None, NOW + HOUR), Limit("fable", NOW + 99 * HOUR)),
            id="account and Fable: each its own reset, the account is not held by Fable's",
        ),
        pytest.param(
            {U + "status": "rejected", U + "reset": str(int((NOW + HOUR) * 1000))},
            (Limit(None, NOW + HOUR),),
            id="a reset in milliseconds",
        ),
        pytest.param(
            {U + "status": "rejected", U + "reset": "2026-11-22T01:00:00Z"},
            (Limit(None, NOW + HOUR),),
            id="a reset as a date",
        ),
    ],
)
def test_what_a_429_means(headers: dict[str, str], limits: tuple[Limit, ...]) -> None:
    limit = rate_limit(headers)
    assert limit.limits == limits
    assert limit.exhausted == bool(limits)


def test_all_limits_together_end_with_the_last() -> None:
    assert RateLimit(limits=(Limit(None, 5.0), Limit("fable", 9.0))).until == 9.0
    assert RateLimit(limits=(Limit(None, None),)).until is None


NAMES = st.sampled_from(
    ["retry-after", "retry-after-ms", "anthropic-ratelimit-requests-reset"]
    + ["anthropic-ratelimit-requests-remaining"]
    + [
        U + name
        for name in ("status", "reset", "5h-status", "5h-reset", "5h-utilization", "7d_x-reset")
    ]
)
VALUES = st.one_of(
    st.text(max_size=20),
    st.floats().map(str),
    st.integers().map(str),
    st.datetimes().map(str),
    st.sampled_from(["rejected", "0", "0001-01-01T00:00:00+23:59", *HOSTILE]),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, VALUES))
def test_no_header_breaks_the_reader_and_no_limit_lies_in_the_past_or_far_away(
    headers: dict[str, str],
) -> None:
    for limit in rate_limit(headers).limits:
        assert limit.until is None or NOW < limit.until <= NOW + 41 * 86400


def plan(*windows: Window, claim: str | None = None) -> Windows:
    return Windows(claim=claim, windows=windows)


@pytest.mark.parametrize(
    ("windows", "limits"),
    [
        (plan(Window("5h", "allowed", 0.99, NOW + HOUR)), ()),
        (plan(Window("5h", "allowed", 1.0, NOW + HOUR)), (Limit(None, NOW + HOUR),)),
        (plan(Window("7d_opus", "allowed", 1.2, NOW + HOUR)), (Limit("opus", NOW + HOUR),)),
        (plan(Window("7d_new", "allowed", 1.0, NOW + HOUR)), (Limit(None, NOW + HOUR),)),
        (plan(Window("5h", "allowed", 1.0, NOW + 18 * 24 * HOUR)), (Limit(None, None),)),
        (
            plan(
                Window("5h", "allowed", 0.98, NOW + HOUR),
                Window("7d", "allowed", 0.2, NOW + 48 * HOUR),
                claim="overage",
            ),
            (Limit(None, NOW + HOUR),),
        ),
        (plan(claim="overage"), (Limit(None, None),)),
        (plan(claim="seven_day_overage_included"), ()),
    ],
)
def test_the_limits_beyond_which_extra_usage_is_billed(
    windows: Windows, limits: tuple[Limit, ...]
) -> None:
    assert windows.spent(NOW) == limits


def test_what_has_room_again() -> None:
    windows = plan(
        Window("5h", "allowed", 0.3), Window("7d", "rejected"), Window("7d_opus", "allowed", 0.0)
    )
    assert windows.eased() == {"opus"}
    assert plan(Window("5h", "allowed"), Window("7d", None, 0.5)).eased() == {None}


def test_windows_come_back_without_those_that_were_reset() -> None:
    kept = Window("7d", "allowed", 0.5, NOW + HOUR)
    windows = plan(kept, Window("5h", "rejected", 1.0, NOW - 1), claim="five_hour")
    assert windows_of(windows.public(), NOW) == plan(kept, claim="five_hour")


def test_a_reset_that_no_window_can_have_is_not_believed() -> None:
    """A person was kept from a plan for 18 days, which had been reset long before."""
    headers = {U + "status": "rejected", U + "reset": in_(18 * 24 * HOUR)}
    assert rate_limit(headers).limits == (Limit(None, None),)
    assert rate_limit({"retry-after": str(18 * 86_400)}).limits == (Limit(None, None),)
