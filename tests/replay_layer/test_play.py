"""The replay layer step by step: what it does at each point where something can go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from mitmproxy import http

from addon.core.errors import CCProxyError
from addon.core.types import Dialect
from addon.exchange.state import Exchange, Exchanges
from addon.replay_layer import Timing, stream
from tests.budget import some
from tests.replay_layer.harness import (
    QUICK,
    Play,
    chunked,
    client_request,
    http_answer,
    stream_head,
)
from tests.translation.from_anthropic.test_by_dialect import ended_well, errors_in
from tests.translation.upstream import message, stream_of, text

STREAMS = Path(__file__).parent.parent / "fixtures" / "streams"
STREAM = stream_of(message(text("one two three")))
DIALECTS: tuple[Dialect, ...] = get_args(Dialect.__value__)
OVERLOADED = http_answer(
    b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
    b"529 Overloaded",
)
ERROR_EVENT = (
    b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"Oh"}}\n\n'
)


def names(play: Play) -> list[str]:
    return [hook.name for hook in play.hooks]


def body_of(play: Play) -> bytes:
    ((_, body, complete),) = play.answers()
    assert complete
    return body


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_goes_through(dialect: Dialect) -> None:
    play = Play(dialect=dialect)
    server = play.begin()
    play.upstream_sends(server, chunked(STREAM))
    play.complete_hooks()
    assert ended_well(body_of(play)) and not play.failures
    assert play.upstream_requests == 1
    assert [name for _, name in play.script.endings] == ["response"]


def test_the_credential_is_on_the_wire_and_never_on_the_flow() -> None:
    play = Play()
    server = play.begin()
    assert b"authorization: Bearer sk-ant-oat01-canary" in play.upstream[server]
    assert "canary" not in repr([flow.get_state() for flow in play.flows])


def test_an_approval_is_good_for_one_request() -> None:
    play = Play()
    server = play.begin()
    play.script.approve = False
    play.upstream_sends(server, chunked(STREAM))
    play.complete_hooks()
    play.client_sends(client_request("chat"))
    play.complete_hooks()
    (_, (status, body, _)) = play.answers(2)
    assert status == 500 and b"nothing was sent to Anthropic" in body
    assert play.upstream_requests == 1


# ---- cuts


def fails_well(play: Play) -> None:
    ((status, body, complete),) = play.answers()
    assert complete
    assert not play.failures
    if status == 200 and ended_well(body):
        assert errors_in(body) == 0
    elif status == 200:
        assert errors_in(body) == 1
    else:
        assert status >= 500 and b'"error"' in body
    assert len(play.script.endings) == 1


def play_cut(dialect: Dialect, sent: bytes) -> Play:
    play = Play(dialect=dialect, again=0)
    server = play.begin()
    play.upstream_sends(server, sent)
    play.complete_hooks()
    play.upstream_closes(server)
    play.complete_hooks()
    return play


def test_r5_cut_at_every_byte_it_is_one_whole_answer_or_one_error() -> None:
    recorded = chunked((STREAMS / "text.sse").read_bytes())
    for at in some(range(len(recorded) + 1)):
        fails_well(play_cut("chat", recorded[:at]))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("source", ["text", "tool-cut-by-max-tokens", "overloaded-after-text"])
def test_r5_the_same_in_every_dialect(source: str, dialect: Dialect) -> None:
    recorded = chunked((STREAMS / f"{source}.sse").read_bytes())
    for at in some(range(0, len(recorded) + 1, 13)):
        fails_well(play_cut(dialect, recorded[:at]))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_r5_an_answer_that_ends_with_its_connection_is_never_taken_for_whole(
    dialect: Dialect,
) -> None:
    body = (STREAMS / "text.sse").read_bytes()
    stop = body.index(b"event: message_stop")
    for at in range(0, stop, 29):
        play = play_cut(dialect, stream_head() + body[:at])
        fails_well(play)
        ((status, sent, _),) = play.answers()
        assert status != 200 or not ended_well(sent)


def test_r6_byte_by_byte_is_the_same() -> None:
    whole, dripped = play_cut("chat", chunked(STREAM)), Play()
    server = dripped.begin()
    for byte in chunked(STREAM):
        dripped.upstream_sends(server, bytes([byte]))
        dripped.complete_hooks()
    assert body_of(dripped) == body_of(whole)


# ---- attempts that fail


def test_what_came_along_with_a_failure_is_not_the_next_attempts() -> None:
    """One packet holds the error event and the end of the message; the hook runs in between."""
    play = Play()
    server = play.begin()
    play.upstream_sends(server, chunked(ERROR_EVENT))
    play.complete_hooks()
    play.deliver_closes()
    second = play.connect()
    play.complete_hooks()
    play.upstream_sends(second, chunked(STREAM))
    play.complete_hooks()
    assert ended_well(body_of(play)) and not play.failures
    assert play.upstream_requests == 2


def test_what_comes_after_a_failure_in_the_stream_is_dropped() -> None:
    play = Play()
    server = play.begin()
    start, rest = STREAM[: STREAM.index(b"event: message_delta")], STREAM[-400:]
    play.upstream_sends(server, chunked(start + ERROR_EVENT + rest))
    play.complete_hooks()
    body = body_of(play)
    assert errors_in(body) == 1 and not ended_well(body) and not play.failures


def in_chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


CONTENT = STREAM[: STREAM.index(b"event: content_block_stop")]


def test_an_error_in_the_stream_is_told_when_it_comes() -> None:
    """Not when upstream ends the response, which it may leave open."""
    play = Play()
    server = play.begin()
    play.upstream_sends(server, stream_head(b"Transfer-Encoding: chunked"))
    play.complete_hooks()
    for piece in (CONTENT, ERROR_EVENT):
        play.upstream_sends(server, in_chunks(piece))
    play.complete_hooks()
    assert errors_in(body_of(play)) == 1 and not play.failures


def test_content_needs_no_keepalive_beside_it_and_is_kept_where_wanted() -> None:
    play = Play()
    server = play.begin()
    play.layer.streams[1].keeps_body = True  # the option of mitmweb
    play.upstream_sends(server, stream_head(b"Transfer-Encoding: chunked") + in_chunks(CONTENT))
    play.complete_hooks()
    for _ in range(6):
        play.wait(QUICK.keepalive * 0.8)
        play.upstream_sends(server, in_chunks(CONTENT[CONTENT.rindex(b"event: ") :]))
    play.upstream_sends(server, in_chunks(STREAM[len(CONTENT) :]) + b"0\r\n\r\n")
    play.complete_hooks()
    assert ended_well(body_of(play)) and b"keepalive" not in play.sent
    assert play.flows[0].response and play.flows[0].response.raw_content == body_of(play)


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_ANSWER", 10_000)
    for streaming in (True, False):
        play = Play(streaming=streaming, again=0)
        server = play.begin()
        play.upstream_sends(server, chunked(stream_of(message(text("x" * 20_000)))))
        play.complete_hooks()
        fails_well(play)
        assert b"longer than" in body_of(play)


def test_a_client_that_leaves_while_a_hook_runs_costs_no_request() -> None:
    play = Play()
    play.client_sends(client_request("chat"))
    play.complete_hook()
    play.client_leaves()
    play.complete_hooks()
    assert not play.opening and not play.upstream
    assert [name for _, name in play.script.endings] == ["error"]


def test_a_client_that_leaves_while_a_connection_is_made_costs_no_request() -> None:
    play = Play()
    play.client_sends(client_request("chat"))
    play.complete_hooks()
    play.client_leaves()
    server = play.connect()
    play.complete_hooks()
    assert not play.upstream[server]


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
def test_an_answer_that_upstream_does_not_end_is_ended_and_its_connection_left(
    streaming: bool,
) -> None:
    play = Play(streaming=streaming)
    server = play.begin()
    play.upstream_sends(server, stream_head() + STREAM)
    play.complete_hooks()
    play.wait(8)
    play.complete_hooks()
    assert play.answers()[0][2] and server in play.closing
    play.deliver_closes()
    play.client_sends(client_request("chat"))
    play.complete_hooks()
    assert play.opening and not play.failures


def test_a_client_is_kept_alive_while_addons_think_about_a_refused_connection() -> None:
    play = Play()
    play.client_sends(client_request("chat"))
    play.complete_hooks()
    play.connect("refused")
    ticks = 0
    while play.timers[0][0] < 1045:
        play.wait(play.timers[0][0] - play.now)
        ticks += 1
    assert names(play) == ["upstream_failed"]
    assert play.sent.count(b": keepalive") == 3  # the first byte after 10 s, then each 15 s
    assert ticks < 60


def test_a_connection_whose_fate_is_never_told_is_given_up() -> None:
    play = Play()
    play.client_sends(client_request("chat"))
    play.complete_hooks()
    play.wait(QUICK.connect + 1)
    play.complete_hooks()
    server = play.connect(index=1)  # the second attempt's
    play.deliver_closes()  # and now it is told after all
    play.upstream_sends(server, chunked(STREAM))
    play.complete_hooks()
    assert ended_well(body_of(play)) and play.upstream_requests == 1 and not play.failures


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "later"])
def test_a_malformed_head_gets_one_answer(at_once: bool) -> None:
    play = Play(at_once=at_once)
    play.client_sends(
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"
    )
    play.complete_hooks()
    assert play.sent.count(b"HTTP/1.1 400") == 1 and not play.sent_after_close


def test_hundreds_of_requests_in_one_packet_let_others_have_their_turn() -> None:
    play = Play(at_once=True, refuse=CCProxyError("no"))
    play.client_sends(client_request("chat") * 200)
    turns = 0
    while play.hooks:
        turns += 1
        play.complete_hook()
    assert turns > 10 and len(play.answers(200)) == 200 and not play.failures


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
def test_an_answer_that_is_killed_in_mitmweb_ends(streaming: bool) -> None:
    play = Play(streaming=streaming)
    server = play.begin()
    play.upstream_sends(server, chunked(STREAM)[:900])
    play.complete_hooks()
    (flow,) = play.flows
    flow.kill()
    play.wait(6)
    play.complete_hooks()
    assert server in play.closing and play.client in play.closing
    body = body_of(play)
    assert b"was killed" in body and b"[DONE]" not in body


# ---- paused turns

PAUSED = stream_of(message(text("one "), stop_reason="pause_turn"))


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
def test_a_paused_turn_goes_on_over_the_same_connection(streaming: bool) -> None:
    play = Play(streaming=streaming)
    server = play.begin()
    play.upstream_sends(server, chunked(PAUSED))
    play.complete_hooks()
    play.wait(20)
    play.upstream_sends(server, chunked(STREAM))
    play.complete_hooks()
    ((status, body, complete),) = play.answers()
    assert (status, complete, play.upstream_requests) == (200, True, 2)
    assert body.count(b"[DONE]") == streaming and not play.failures


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
def test_a_paused_turn_that_nobody_goes_on_with_is_an_error(streaming: bool) -> None:
    play = Play(streaming=streaming)
    server = play.begin()
    play.script.approve = False
    play.upstream_sends(server, chunked(PAUSED))
    play.complete_hooks()
    ((status, body, complete),) = play.answers()
    assert complete and b"[DONE]" not in body and b'"error":' in body
    assert (status, play.upstream_requests) == (200 if streaming else 500, 1)


def test_a_client_that_leaves_a_paused_turn_ends_it() -> None:
    play = Play()
    server = play.begin()
    play.upstream_sends(server, chunked(PAUSED))
    while names(play) != ["upstream_paused"]:
        play.complete_hook()
    play.client_leaves()
    play.complete_hooks()
    assert play.upstream_requests == 1 and not play.failures


# ---- hooks that hang


def reach(play: Play, hook: str) -> None:
    """Go on until this hook waits, through an answer that fails where it has to."""
    play.client_sends(client_request("chat"))
    fails = hook in ("upstream_failed", "error")
    while names(play) != [hook]:
        if play.hooks:
            play.complete_hook()
        elif play.opening:
            server = play.connect()
            answer = chunked(STREAM)
            if fails:
                answer = chunked(STREAM[:600]) if hook == "error" else OVERLOADED
            play.upstream_sends(server, answer)
        else:
            raise AssertionError(f"{hook} is never called")


BEFORE = ["requestheaders", "request"]
AFTER = ["upstream_failed", "responseheaders", "response"]


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("hook", [*BEFORE, *AFTER, "error"])
def test_r26_a_hook_that_hangs_does_not_hang_the_client(hook: str, streaming: bool) -> None:
    if hook == "error" and not streaming:
        return  # an answer in one piece fails with a status: the hook is `response`
    play = Play(streaming=streaming)
    reach(play, hook)
    (hanging,) = play.hooks
    play.wait(QUICK.idle + 6)
    ((status, body, complete),) = play.answers()
    assert complete and play.client in play.closing
    if hook in ("response", "error") and streaming:  # all but the end had been written
        assert ended_well(body) != (hook == "error")
    else:
        assert b'"error":' in body and b"[DONE]" not in body
        assert status == (200 if streaming and hook in AFTER else 500)
    assert (play.upstream_requests == 0) == (hook in BEFORE)
    sent = play.sent
    play.complete_hook(play.hooks.index(hanging))  # it ends after all
    play.complete_hooks()
    play.deliver_closes()
    play.wait(100)
    assert play.sent == sent and not play.opening
    assert len(play.script.endings) == 1


def test_a_hook_that_takes_long_but_ends_is_waited_for() -> None:
    play = Play()
    play.client_sends(client_request("chat"))
    play.complete_hook()
    play.complete_hook(after=QUICK.idle - 5)
    server = play.connect()
    play.upstream_sends(server, chunked(STREAM))
    play.complete_hooks()
    body = body_of(play)
    assert ended_well(body) and body.count(b": keepalive") >= 3


def test_a_request_that_is_not_streamed_does_not_keep_the_clock_busy() -> None:
    play = Play(streaming=False)
    play.begin()
    woken = 0
    for _ in range(50):
        woken += sum(at <= play.now + 1 for at, _ in play.timers)
        play.wait(1)
    assert woken < 60


# ---- failures of the layer itself


class Broken(Exchanges):
    def begin(self, flow: http.HTTPFlow) -> Exchange:
        raise ZeroDivisionError


def raising(*_: object) -> None:
    raise ZeroDivisionError


def test_r26_a_failure_of_the_layer_itself_is_a_500() -> None:
    play = Play()
    play.layer.exchanges = Broken()
    play.client_sends(client_request("chat"))
    ((status, body, complete),) = play.answers()
    assert status == 500 and complete and b"failed while serving" in body
    assert play.failures and play.client in play.closing and not play.opening


@pytest.mark.parametrize(
    "method", ["make_server_connection", "send", "start_response_stream", "deliver", "finish"]
)
def test_r26_wherever_the_layer_fails_the_client_is_told(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream.ReplayStream, method, raising)
    for streaming in (True, False):
        play = Play(streaming=streaming)
        play.client_sends(client_request("chat"))
        play.complete_hooks()
        if play.opening:
            server = play.connect()
            play.upstream_sends(server, chunked(STREAM))
            play.complete_hooks()
        ((status, body, complete),) = play.answers()
        assert complete and play.client in play.closing and play.failures
        assert b'"error":' in body or (method == "finish" and streaming and ended_well(body))
        assert status in (200, 500)


# ---- the clock


@pytest.mark.parametrize("silent", ["connect", "head", "content", "middle"])
def test_r3_r4_silence_of_upstream_is_filled_and_ends(silent: str) -> None:
    play = Play(again=0)
    play.client_sends(client_request("chat"))
    play.complete_hooks()
    if silent != "connect":
        server = play.connect()
        if silent != "head":
            head = stream_head(b"Transfer-Encoding: chunked")
            play.upstream_sends(server, head)
            play.complete_hooks()
            if silent == "middle":
                play.upstream_sends(server, b"%x\r\n%b\r\n" % (600, STREAM[:600]))
    last = play.now
    gaps = []
    while not play.closing and play.now < last + 100:
        before = len(play.sent)
        play.wait(0.5)
        play.complete_hooks()
        if len(play.sent) > before:
            gaps.append(play.now - last)
            last = play.now
    play.deliver_closes()
    play.complete_hooks()
    assert max(gaps, default=0) <= QUICK.keepalive + 1
    body = body_of(play)
    assert b'"error":' in body and b"[DONE]" not in body


def test_r4_nine_minutes_of_silence_are_bridged() -> None:
    play = Play(Timing())
    server = play.begin()
    play.upstream_sends(server, stream_head(b"Transfer-Encoding: chunked"))
    play.complete_hooks()
    play.upstream_sends(server, b"%x\r\n%b\r\n" % (600, STREAM[:600]))
    for _ in range(9 * 60 // 18):
        before = len(play.sent)
        play.wait(18)
        assert len(play.sent) > before
    rest = STREAM[600:]
    play.upstream_sends(server, b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))
    play.complete_hooks()
    assert ended_well(body_of(play))


STOPPED = CCProxyError("ccproxy was stopped", code="shutdown")


@pytest.mark.parametrize("hook", ["request", "upstream_failed"])
def test_r18_the_end_of_the_proxy_is_told_to_who_waits_in_a_hook(hook: str) -> None:
    play = Play()
    reach(play, hook)
    play.exchanges.closing = STOPPED
    play.wait(6)
    assert b"was stopped" in body_of(play)
    sent = play.upstream_requests
    play.complete_hooks()
    assert not play.opening and play.upstream_requests == sent


def test_r18_the_end_of_the_proxy_is_told_to_who_waits_for_a_connection() -> None:
    play = Play()
    play.client_sends(client_request("chat"))
    play.complete_hooks()
    play.exchanges.closing = STOPPED
    play.wait(QUICK.connect / 2)
    assert b"was stopped" in body_of(play)
    play.connect()
    assert not play.upstream_requests


def test_r18_nothing_is_sent_any_more_once_the_proxy_ends() -> None:
    play = Play()
    reach(play, "request")
    play.exchanges.closing = STOPPED
    play.complete_hooks()
    assert not play.opening and b"was stopped" in body_of(play)


def test_the_end_of_the_proxy_is_told_in_the_stream() -> None:
    play = Play()
    server = play.begin()
    play.upstream_sends(server, chunked(STREAM)[:900])
    play.complete_hooks()
    play.exchanges.closing = STOPPED
    play.wait(6)
    play.complete_hooks()
    body = body_of(play)
    assert errors_in(body) == 1 and b"was stopped" in body and not ended_well(body)
