"""Reading waits out of headers. `NOW` is 2026-11-22T00:00:00Z."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.core.retry_after import LONGEST, asked_wait, http_date, read_reset, read_retry_after

NOW = 1_795_305_600.0
HOSTILE = (
    "nan", "-nan", "inf", "-inf", "1e999", "1e308", "9" * 400, "9" * 5000, "99999999999", "", ",",
    "Thu, 01 Jan 0001 00:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Fri, 31 Dec 9999 23:59:59 -2359",
    "Fri, 31 Dec 99999999999 23:59:59 GMT",
    "Mon, -9999999999 Jan 2026 00:00:00 GMT",
    "Mon, 01 Jan 2026 99999999999:00:00 GMT",
    "Mon, 01 Jan 2026 00:00:00 +99999999999999",
    "9999-12-31T23:59:59-23:59",
)  # fmt: skip
"""What a header may hold that no timer and no date can."""
SPENT = {
    "anthropic-ratelimit-requests-remaining": "0",
    "anthropic-ratelimit-requests-reset": "2026-11-22T00:00:30Z",
    "anthropic-ratelimit-input-tokens-remaining": "1000",
    "anthropic-ratelimit-input-tokens-reset": "2026-11-22T00:00:50Z",
}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"retry-after": "7"}, 7.0, id="seconds"),
        pytest.param({"Retry-After": "0.5"}, 0.5, id="a fraction of a second"),
        pytest.param({"retry-after-ms": "1500", "retry-after": "9"}, 1.5, id="milliseconds first"),
        pytest.param({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90.0, id="an HTTP date"),
        pytest.param(
            {"retry-after": formatdate(NOW - 90, usegmt=True)}, 0.0, id="a date in the past"
        ),
        pytest.param({"retry-after": "-3"}, 0.0, id="negative"),
        pytest.param({"retry-after": "soon"}, None, id="nonsense"),
        pytest.param({"retry-after": "nan"}, None, id="not a number"),
        pytest.param({"retry-after": "99999999"}, None, id="three years"),
        pytest.param({}, None, id="nothing"),
        pytest.param(
            {"retry-after": "Sun Nov 22 00:01:30 2026"}, 90.0, id="a date in C's form (RFC 9110)"
        ),
        pytest.param(SPENT, 30.0, id="the reset of the limit that is spent"),
        pytest.param(SPENT | {"retry-after": "7"}, 7.0, id="what is asked for comes first"),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert read_retry_after(headers, NOW) == seconds


def test_only_what_is_asked_for_counts_for_an_error_that_is_no_limit() -> None:
    assert asked_wait(SPENT, NOW) is None
    assert asked_wait(SPENT | {"Retry-After": "7"}, NOW) == 7.0


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: value[:40])
def test_a_hostile_value_is_as_if_it_were_absent(value: str) -> None:
    assert read_retry_after({"retry-after": value, "retry-after-ms": "5000"}, NOW) == 5.0
    assert read_retry_after({"retry-after": value}, NOW) in (None, 0.0)
    assert read_retry_after(SPENT | {"retry-after": value}, NOW) in (30.0, 0.0)
    assert read_reset(value, NOW) is None


@given(
    st.dictionaries(
        st.sampled_from(["retry-after-ms", "Retry-After", *SPENT]),
        st.text(max_size=30)
        | st.floats().map(str)
        | st.integers().map(str)
        | st.datetimes().map(str)
        | st.sampled_from(HOSTILE)
        | st.lists(
            st.sampled_from(["Mon,", "31", "Dec", "9999", "99999999999", "-0", "1:1:1", "+"])
        ).map(" ".join),
    ),
    st.floats(min_value=0, max_value=4e9),
)
def test_every_wait_is_one_that_a_timer_and_a_date_can_hold(
    headers: dict[str, str], now: float
) -> None:
    for read in (read_retry_after, asked_wait):
        wait = read(headers, now)
        assert wait is None or 0 <= wait <= LONGEST
    for text in headers.values():
        moment = read_reset(text, now)
        assert moment is None or 0 < moment < now + LONGEST
        assert http_date(text) is None or http_date(text) == http_date(text)
