"""Whoever guesses the secret is told to stop, and the list of refused requests."""

from __future__ import annotations

import pytest

from addon.core.errors import CCProxyError, Forbidden, RateLimited, Unauthorized
from addon.core.settings import Settings
from addon.exchange.access import NOT_ON_LIST
from addon.exchange.refusals import (
    BLOCKED_KEPT,
    CALLERS,
    WRONG_ALLOWED,
    Blocked,
    Guesses,
    LineAMinute,
    line_that_allows,
)
from tests.clock import Clock

WRONG = Unauthorized("Wrong.")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guesses(clock: Clock) -> Guesses:
    return Guesses(clock, LineAMinute(clock))


def spend(guesses: Guesses, caller: str) -> None:
    assert [guesses.wrong(caller, WRONG) for _ in range(WRONG_ALLOWED)] == [WRONG] * WRONG_ALLOWED


def test_after_ten_within_a_minute_there_are_too_many(guesses: Guesses, clock: Clock) -> None:
    spend(guesses, "8.8.8.8")
    clock.now += 20
    error = guesses.wrong("8.8.8.8", WRONG)
    assert isinstance(error, RateLimited)
    assert error.retry_after == 40
    clock.now += 40
    spend(guesses, "8.8.8.8")
    assert guesses.wrong("8.8.8.8", WRONG) is not WRONG


def test_ten_in_more_than_a_minute_are_not(guesses: Guesses, clock: Clock) -> None:
    for _ in range(5 * WRONG_ALLOWED):
        assert guesses.wrong("8.8.8.8", WRONG) is WRONG
        clock.now += 6.1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("8.8.8.8", "8.8.4.4", False),
        ("8.8.8.8", "::ffff:8.8.8.8", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("no address", "another", False),
        ("\udcff", "", False),
    ],
)
def test_callers_are_told_apart(one: str, other: str, *, same: bool, guesses: Guesses) -> None:
    spend(guesses, one)
    assert (guesses.wrong(other, WRONG) is not WRONG) is same


def test_many_callers_take_no_room(guesses: Guesses) -> None:
    spend(guesses, "10.0.0.1")
    for number in range(CALLERS):
        guesses.wrong(f"11.0.{number // 256}.{number % 256}", WRONG)
    assert guesses.wrong("10.0.0.1", WRONG) is WRONG


def test_what_is_known_of_a_refused_request_is_listed() -> None:
    list_ = Blocked(clock=lambda: 1_000.0)
    path, line = "/v1/messages?key=secret", "ALLOWED_IPS=5.6.7.8"
    list_.note("POST", path, "5.6.7.8", Forbidden("no", code=NOT_ON_LIST), line)
    assert list_.entries[0] == {
        "time": 1_000_000,
        "method": "POST",
        "path": "/v1/messages",
        "address": "5.6.7.8",
        "status": 403,
        "reason": "no",
        "allow": "ALLOWED_IPS=5.6.7.8",
    }


@pytest.mark.parametrize(
    ("address", "error", "line"),
    [
        ("5.6.7.8", Forbidden("no", code=NOT_ON_LIST), "ALLOWED_IPS=1.2.3.4/32,5.6.7.8"),
        ("5.6.7.8", Unauthorized("no"), None),
        ("5.6.7.8", Forbidden("a page's origin"), None),
        ("not an address", Forbidden("no", code=NOT_ON_LIST), None),
        (None, Forbidden("no", code=NOT_ON_LIST), None),
    ],
)
def test_the_line_that_lets_a_tunnel_address_in(
    address: str | None, error: CCProxyError, line: str | None
) -> None:
    settings = Settings.from_env({"ALLOWED_IPS": "1.2.3.4"})
    assert line_that_allows(address, error, settings) == line


def test_only_the_newest_are_kept() -> None:
    list_ = Blocked()
    for number in range(BLOCKED_KEPT + 5):
        list_.note("GET", f"/{number}", None, Forbidden("no"), None)
    assert len(list_.entries) == BLOCKED_KEPT
    assert list_.entries[0]["path"] == f"/{BLOCKED_KEPT + 4}"


def test_whatever_strangers_do_they_share_a_line_a_minute(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    lines = LineAMinute(clock)
    for _ in range(3):
        lines.say("rejected requests", "Rejected.")
        lines.say("wrong secrets beyond the limit", "Guessed.")
    assert caplog.messages == ["Rejected."]
    clock.now += 60
    lines.say("connections of unknown callers closed", "Closed.")
    told = "Since the last such line, wrong secrets beyond the limit: 3, rejected requests: 2."
    assert caplog.messages[1:] == [f"Closed. {told}"]
    clock.now += 60
    lines.say("rejected requests", "Again.")
    assert caplog.messages[2:] == ["Again."]
