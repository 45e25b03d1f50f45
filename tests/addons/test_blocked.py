"""The list of refused requests."""

from __future__ import annotations

from addon.addons.blocked import BLOCKED_KEPT, NOT_ON_LIST, Blocked
from addon.core.errors import Forbidden, Unauthorized
from addon.core.settings import Settings


def blocked(**env: str) -> Blocked:
    return Blocked(Settings.from_env(env), clock=lambda: 1_000.0)


def test_a_tunnel_address_comes_with_the_line_that_lets_it_in() -> None:
    list_ = blocked(ALLOWED_IPS="1.2.3.4")
    list_.note("POST", "/v1/messages?key=secret", "5.6.7.8", Forbidden("no", code=NOT_ON_LIST))
    assert list_.entries[0] == {
        "time": 1_000_000,
        "method": "POST",
        "path": "/v1/messages",
        "address": "5.6.7.8",
        "status": 403,
        "reason": "no",
        "allow": "ALLOWED_IPS=1.2.3.4/32,5.6.7.8",
    }


def test_other_refusals_name_no_line() -> None:
    list_ = blocked()
    list_.note("GET", "/budget", "5.6.7.8", Unauthorized("no"))
    list_.note("GET", "/budget", "5.6.7.8", Forbidden("a page's origin"))
    list_.note("GET", "/budget", "not an address", Forbidden("no", code=NOT_ON_LIST))
    list_.note("GET", "/budget", None, Forbidden("no", code=NOT_ON_LIST))
    assert [entry["allow"] for entry in list_.entries] == [None] * 4


def test_only_the_newest_are_kept() -> None:
    list_ = blocked()
    for number in range(BLOCKED_KEPT + 5):
        list_.note("GET", f"/{number}", None, Forbidden("no"))
    assert len(list_.entries) == BLOCKED_KEPT
    assert list_.entries[0]["path"] == f"/{BLOCKED_KEPT + 4}"
