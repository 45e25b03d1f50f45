"""The state of one flow: what may be sent, who is told what, and what is let go of."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

import pytest
from mitmproxy.test import tflow, tutils

from addon.claude.thinking_store import Scope, ThinkingTicket
from addon.core.errors import BadGateway, CCProxyError, RateLimited, UpstreamError
from addon.core.types import Dialect
from addon.exchange.attempt import Attempt
from addon.exchange.state import CREDENTIAL_HEADERS, Exchange, Exchanges


def begun() -> tuple[Exchanges, object, Exchange]:
    exchanges = Exchanges()
    flow = tflow.tflow(req=tutils.treq(path=b"/v1/messages"))
    return exchanges, flow, exchanges.begin(flow)


def attempt(reason: str | None = None) -> Attempt:
    return Attempt(
        source="api_key",
        credential="ANTHROPIC_API_KEY",
        scheme="https",
        host="api.anthropic.com",
        port=443,
        path="/v1/messages",
        headers=[],
        body=b"{}",
        auth=("x-api-key", "hush"),
        reason=reason,
    )


def test_credentials_are_off_the_flow_from_the_beginning() -> None:
    flow = tflow.tflow()
    for name in CREDENTIAL_HEADERS:
        flow.request.headers[name.title()] = "hush"
    flow.request.headers["x-other"] = "kept"
    exchange = Exchanges().begin(flow)
    assert "hush" not in str(flow.get_state())
    assert flow.request.headers["x-other"] == "kept"
    assert set(exchange.carried) == set(CREDENTIAL_HEADERS)
    assert "hush" not in repr(exchange)


def test_an_approval_is_good_for_one_request() -> None:
    _, _, exchange = begun()
    exchange.approve(attempt())
    assert exchange.take_approved() is not None
    assert exchange.take_approved() is None


def test_no_secret_is_in_an_attempts_repr() -> None:
    assert "hush" not in repr(attempt())


def test_the_source_is_local_until_something_was_sent() -> None:
    _, _, exchange = begun()
    assert exchange.source_headers() == {"x-ccproxy-source": "local"}
    exchange.attempts.append(attempt("rate_limited"))
    assert exchange.source_headers() == {
        "x-ccproxy-source": "api_key",
        "x-ccproxy-reason": "rate_limited",
    }


@pytest.mark.parametrize(
    ("error", "sent", "wanted"),
    [
        (BadGateway("x"), True, "false"),
        (CCProxyError("x", status=529), True, "false"),
        (BadGateway("x"), False, None),
        (RateLimited("x", retry_after=5), True, None),
        (RateLimited("x", retry_after=3600), True, "false"),
        (CCProxyError("x", status=400), True, None),
    ],
    ids=["cut", "overload", "not-sent", "passing", "exhausted", "bad"],
)
def test_a_client_is_kept_from_trying_again_where_it_would_not_help(
    error: CCProxyError, sent: bool, wanted: str | None
) -> None:
    _, _, exchange = begun()
    if sent:
        exchange.attempts.append(attempt())
    assert exchange.error_headers(error).get("x-should-retry") == wanted


TOLD = {
    "request-id": "req_1",
    "anthropic-ratelimit-requests-remaining": "3",
    "anthropic-ratelimit-unified-5h-utilization": "0.4",
    "retry-after": "7.5",
    "server": "inner",
}


@pytest.mark.parametrize("dialect", ["messages", "chat", "responses"])
@pytest.mark.parametrize("tunnel", [False, True])
def test_an_error_of_upstreams_comes_with_its_headers(dialect: Dialect, tunnel: bool) -> None:
    _, _, exchange = begun()
    exchange.client.dialect, exchange.tunnel = dialect, tunnel
    error = RateLimited("x")
    error.upstream = UpstreamError(TOLD, b"")
    headers = exchange.error_headers(error)
    assert headers["request-id"] == headers["x-request-id"] == "req_1"
    assert headers["anthropic-ratelimit-requests-remaining"] == "3"
    assert headers["retry-after"] == "7.5"
    assert ("anthropic-ratelimit-unified-5h-utilization" in headers) is not tunnel
    assert "server" not in headers


@pytest.mark.parametrize(
    "wait", ["nan", "1e999", "Fri, 31 Dec 99999999999 23:59:59 GMT", "9999999"]
)
def test_a_wait_that_nobody_could_keep_is_not_handed_on(wait: str) -> None:
    _, _, exchange = begun()
    error = RateLimited("x")
    error.upstream = UpstreamError({"retry-after": wait}, b"")
    assert "retry-after" not in exchange.error_headers(error)


def test_what_was_changed_and_repaired_is_told() -> None:
    _, _, exchange = begun()
    exchange.attempts.append(attempt())
    exchange.attempts[-1].changed = ("model", "system")
    exchange.attempts[-1].repaired = ("ttl",)
    headers = exchange.source_headers()
    assert headers["x-ccproxy-changed"] == "model,system"
    assert headers["x-ccproxy-repaired"] == "ttl"


def test_an_open_flow_is_live_and_unanswered() -> None:
    exchanges, flow, exchange = begun()
    flow.live = True  # type: ignore[attr-defined]
    assert exchanges.open(flow) is exchange  # type: ignore[arg-type]
    exchange.refuse(flow, BadGateway("x"))  # type: ignore[arg-type]
    assert exchanges.open(flow) is None  # type: ignore[arg-type]
    assert exchanges.open(tflow.tflow()) is None


def test_a_flow_that_ended_holds_no_body() -> None:
    _, _, exchange = begun()
    exchange.attempts.append(attempt())
    exchange.attempts[0].ticket = ThinkingTicket(Scope("me", "key", "model"), {})
    exchange.forget()
    assert exchange.attempts[0].body == b"" and exchange.claude is None
    assert exchange.attempts[0].ticket is None


def test_an_exchange_lives_as_long_as_its_flow() -> None:
    exchanges, flow, exchange = begun()
    client = flow.client_conn.id  # type: ignore[attr-defined]
    assert exchanges.of_client(client) == [exchange]
    del flow, exchange
    gc.collect()  # a flow and its messages know each other
    assert exchanges.of_client(client) == []


async def test_a_pause_ends_when_the_client_leaves() -> None:
    _, _, exchange = begun()
    asyncio.get_running_loop().call_later(0.01, exchange.gone.set)
    started = time.monotonic()
    await exchange.pause(30)
    assert time.monotonic() - started < 5


async def test_a_pause_passes() -> None:
    _, _, exchange = begun()
    await exchange.pause(0.01)
    assert not exchange.gone.is_set()


def test_what_went_wrong_does_not_keep_its_flow() -> None:
    exchanges = Exchanges()
    flow = tflow.tflow()
    exchange = exchanges.begin(flow)

    def fails(flow: object) -> None:
        """Its frame holds the flow, as the frames of addons and of the layer do."""
        raise BadGateway("cut off")

    for name in ("failed", "error"):
        try:
            fails(flow)
        except CCProxyError as error:
            try:
                raise CCProxyError("and now") from error
            except CCProxyError as caught:
                if name == "error":
                    exchange.error = caught
                else:
                    exchange.failed.append(("API key", caught))
    exchange.forget()
    assert exchange.error and exchange.error.message == "and now"
    gone = weakref.ref(flow)
    del flow, exchange
    gc.collect()
    assert gone() is None
