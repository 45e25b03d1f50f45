"""The replay layer under anything, in any order: upstream's answers in pieces, cuts, refused connections, hooks that end
late, wake-ups, a proxy that is stopped, and clients that leave."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from mitmproxy.connection import Connection, ConnectionState

from addon.core.errors import BadRequest, CCProxyError
from tests.budget import examples
from tests.replay_layer.harness import (
    Play,
    chunked,
    client_request,
    http_answer,
    stream_head,
)
from tests.translation.upstream import message, stream_of, text

STREAM = stream_of(message(text("one two three")))
PAUSED = stream_of(message(text("half"), stop_reason="pause_turn"))
ERROR = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
EVENT = b"event: error\ndata: " + ERROR + b"\n\n"
ANSWERS = [
    chunked(STREAM),
    chunked(PAUSED),
    chunked(STREAM[:700]),
    chunked(STREAM[:700] + EVENT + STREAM[700:]),
    chunked(EVENT),
    chunked(b""),
    chunked(b"not an event stream"),
    stream_head() + STREAM,
    http_answer(STREAM, b"200 OK"),
    http_answer(ERROR, b"529 Overloaded"),
    http_answer(ERROR, b"429 Too Many Requests"),
    http_answer(b"", b"204 No Content"),
    http_answer(b"<html>", b"502 Bad Gateway", b"Content-Type: text/html"),
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"what is this\r\n\r\n",
]
ENDS = (b"[DONE]", b"event: message_stop", b"event: response.completed")


class Anything(RuleBasedStateMachine):
    @initialize(
        dialect=st.sampled_from(["chat", "responses", "messages"]),
        streaming=st.booleans(),
        requests=st.integers(1, 2),
        again=st.integers(0, 2),
        answers=st.lists(st.sampled_from(ANSWERS), max_size=4),
        may_leave=st.booleans(),
        may_stop=st.booleans(),
        at_once=st.booleans(),
    )
    def connect_client(
        self,
        *,
        dialect: Any,
        streaming: bool,
        requests: int,
        again: int,
        answers: list[bytes],
        may_leave: bool,
        may_stop: bool,
        at_once: bool,
    ) -> None:
        self.answers, self.may_leave, self.may_stop = answers, may_leave, may_stop
        self.play = Play(dialect=dialect, streaming=streaming, again=again, at_once=at_once)
        self.requests = requests
        self.unsent = client_request(dialect) * requests
        self.coming: dict[Connection, bytes] = {}
        """What upstream has still to send on each connection."""
        self.answered: dict[Connection, int] = {}
        self.left = False

    # -- what may happen ----------------------------------------------------------------------------------------

    @precondition(lambda self: self.unsent and not self.left)
    @rule(size=st.sampled_from([1, 30, 1000]))
    def client_sends(self, size: int) -> None:
        piece, self.unsent = self.unsent[:size], self.unsent[size:]
        self.play.client_sends(piece)

    @precondition(lambda self: self.play.hooks)
    @rule(which=st.integers(0, 3), decision=st.sampled_from(["approve"] * 4 + ["forget", "refuse"]))
    def hook_ends(self, which: int, decision: str) -> None:
        script = self.play.script
        script.approve = decision == "approve"
        script.refuse = BadRequest("no") if decision == "refuse" else None
        self.play.complete_hook(which % len(self.play.hooks))
        script.approve, script.refuse = True, None

    @precondition(lambda self: self.play.opening)
    @rule(works=st.booleans(), at_once=st.booleans())
    def connection_made(self, works: bool, at_once: bool) -> None:
        self.play.at_once = at_once
        self.play.connect(None if works else "refused")

    @precondition(lambda self: self.asked())
    @rule(at_once=st.booleans())
    def upstream_decides(self, at_once: bool) -> None:
        self.play.at_once = at_once
        self.decide()

    def decide(self) -> None:
        server = self.asked()[0]
        self.answered[server] = self.answered.get(server, 0) + 1
        self.coming[server] = self.answers.pop() if self.answers else ANSWERS[0]

    @precondition(lambda self: self.sending())
    @rule(size=st.integers(1, 900) | st.just(10_000))
    def upstream_sends(self, size: int) -> None:
        server = self.sending()[0]
        piece, self.coming[server] = self.coming[server][:size], self.coming[server][size:]
        self.play.upstream_sends(server, piece)

    @precondition(lambda self: self.open_servers())
    @rule()
    def upstream_closes(self) -> None:
        server = self.open_servers()[0]
        self.coming.pop(server, None)
        self.play.upstream_closes(server)

    @precondition(lambda self: self.play.closing)
    @rule()
    def closes_arrive(self) -> None:
        self.deliver_closes()

    @rule(seconds=st.sampled_from([0.5, 5.0, 20.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.play.wait(seconds)

    @precondition(lambda self: self.may_leave and not self.left)
    @rule()
    def client_leaves(self) -> None:
        self.left = True
        if self.play.client.state is ConnectionState.OPEN:
            self.play.client_leaves()

    @precondition(lambda self: self.may_stop)
    @rule()
    def proxy_is_stopped(self) -> None:
        self.play.exchanges.closing = CCProxyError("ccproxy was stopped", code="shutdown")

    # -- helpers ------------------------------------------------------------------------------------------------

    def open_servers(self) -> list[Connection]:
        return [s for s in self.play.upstream if s.state is ConnectionState.OPEN]

    def asked(self) -> list[Connection]:
        """Connections with a request that upstream has not answered yet."""
        return [
            server
            for server in self.open_servers()
            if self.play.upstream[server].count(b"\r\n\r\n{}") > self.answered.get(server, 0)
            and not self.coming.get(server)
        ]

    def sending(self) -> list[Connection]:
        return [server for server in self.open_servers() if self.coming.get(server)]

    def deliver_closes(self) -> None:
        self.play.deliver_closes()
        if self.play.client.state is ConnectionState.CLOSED:
            self.left = True

    # -- what must hold -----------------------------------------------------------------------------------------

    @invariant()
    def the_layer_has_not_failed(self) -> None:
        assert not [line for line in self.play.failures if "hangs" not in line]

    @invariant()
    def an_approval_is_one_request(self) -> None:
        assert self.play.upstream_requests <= self.play.script.approvals

    @invariant()
    def each_answer_ends_once_and_truly(self) -> None:
        for status, body, complete in self.play.answers(self.requests):
            error = b'"error":{' in body or b'"type":"error"' in body
            ends = sum(body.count(end) for end in ENDS)
            assert body.count(b"event: error\n") + body.count(b'data: {"error":{') <= 1
            assert ends <= 1 and not (error and ends)
            assert not complete or status or body

    @invariant()
    def each_flow_ends_once(self) -> None:
        flows = [id(flow) for flow, _ in self.play.script.endings]
        assert len(flows) == len(set(flows))

    def teardown(self) -> None:
        """Let all that is under way come to its end: it must, and everybody must have been told."""
        for _ in range(300):
            if not self.one_more_step():
                break
        else:
            raise AssertionError("it never comes to rest")
        self.the_layer_has_not_failed()
        self.each_answer_ends_once_and_truly()
        self.each_flow_ends_once()
        begun = len(self.play.flows)
        assert len(self.play.script.endings) == begun
        if self.play.client not in self.play.closed and not self.left:
            answers = self.play.answers(self.requests)
            assert len(answers) == self.requests and all(done for _, _, done in answers)

    def one_more_step(self) -> bool:
        play = self.play
        if self.unsent and not self.left and play.client.state is ConnectionState.OPEN:
            piece, self.unsent = self.unsent, b""
            play.client_sends(piece)
        elif play.hooks:
            play.complete_hook()
        elif play.opening:
            play.connect()
        elif self.asked():
            self.decide()
        elif self.sending():
            self.upstream_sends(10_000)
        elif play.closing:
            self.deliver_closes()
        elif any(flow.live for flow in play.flows) and not self.left:
            play.wait(5)
        else:
            return False
        return True


TestAnything = Anything.TestCase
TestAnything.settings = settings(
    max_examples=examples(150),
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    deadline=None,
)
