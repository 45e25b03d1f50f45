"""Upstream's bytes in, the client's bytes out: one object for each attempt. Knows no mitmproxy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from addon.claude.turns import sendable
from addon.core.errors import BadGateway, CCProxyError
from addon.core.json_codec import dumps, loads
from addon.core.types import JsonObject
from addon.translation.errors import from_openai_event
from addon.translation.from_anthropic.renderer import Renderer
from addon.translation.from_anthropic.responses import failed_response
from addon.translation.from_anthropic.usage import anthropic_usage, turn_usage
from addon.translation.message_stream import MessageStream, StreamEvent, resumed_events
from addon.translation.sse import ServerSentEvent, SSEDecoder, encode_event

PAUSE = "pause_turn"
"""The stop reason of a turn that Claude goes on with when its response so far is sent back (docs, "Handling stop
reasons")."""
MOST_PARTS = 6
"""Requests that one turn may take: Anthropic's docs advise a limit, and show one of five."""


class StreamedAnswer:
    """Claude's stream, rendered event by event for a client that reads events."""

    def __init__(
        self, renderer: Renderer, *, resumes: bool = False, paused: StreamedAnswer | None = None
    ) -> None:
        """`resumes`: a turn that Claude pauses is gone on with here, and not by the client; `paused`: the answer that
        this one goes on with, in the same renderer."""
        self.renderer = renderer
        self.stream = MessageStream()
        self.part: int = paused.part + 1 if paused else 1
        self.before: JsonObject = paused.message if paused else {}
        self.resumes = resumes and self.part < MOST_PARTS
        self.keep: Callable[[JsonObject], None] | None = None
        """Called once with the complete message, before its end is given out: a client's next request, which needs
        what is kept, may be here before upstream's connection has come to its own end."""

    @property
    def began(self) -> bool:
        return self.stream.began

    @property
    def complete(self) -> bool:
        return self.stream.ended

    @property
    def paused(self) -> bool:
        pauses = self.resumes and self.stream.ended and self.stream.stop_reason == PAUSE
        return pauses and bool(sendable(self.message["content"]))

    @property
    def error(self) -> CCProxyError | None:
        return self.stream.error

    @property
    def message(self) -> JsonObject:
        message, before = self.stream.message, self.before
        if not before:
            return message
        content = [*before["content"], *message.get("content", ())]
        usage = turn_usage(before["usage"], self.usage)
        return {**before, **message, "id": before.get("id"), "content": content, "usage": usage}

    @property
    def usage(self) -> JsonObject:
        return self.stream.usage

    def feed(self, data: bytes) -> bytes:
        return self.render(self.stream.feed(data))

    def close(self) -> bytes:
        return self.render(self.stream.close())

    def render(self, events: list[StreamEvent]) -> bytes:
        if before := self.before:
            usage = turn_usage(before["usage"], self.usage)
            events = resumed_events(events, len(before["content"]), usage)
        return self.renderer.render(events) + self.ending()

    def ending(self) -> bytes:
        if not self.stream.ended or self.paused:
            return b""
        self.hand_over()
        return self.renderer.finish()

    def hand_over(self) -> None:
        keep, self.keep = self.keep, None
        if keep is not None:
            keep(self.message)

    def fail(self, error: CCProxyError) -> bytes:
        return self.renderer.fail(error)

    def break_off(self, error: CCProxyError) -> None:
        self.stream.error = error


class BufferedAnswer(StreamedAnswer):
    """Claude's stream, put together for a client that wants one JSON body.

    Upstream is always asked for a stream: the subscription path knows nothing else, and Anthropic's SDKs refuse a
    plain request that may run over ten minutes.
    """

    def __init__(
        self,
        renderer: Renderer,
        body: Callable[[JsonObject], bytes],
        *,
        resumes: bool = False,
        paused: StreamedAnswer | None = None,
    ) -> None:
        """`body` renders the whole message in the client's dialect."""
        super().__init__(renderer, resumes=resumes, paused=paused)
        self.body = body

    def feed(self, data: bytes) -> bytes:
        self.stream.feed(data)
        return b""

    def close(self) -> bytes:
        self.stream.close()
        if self.stream.error or self.paused:
            return b""
        self.hand_over()
        return self.body(self.message)


_RESPONSES_ENDS = ("response.completed", "response.incomplete", "response.failed")
"""Types of the events that end a Responses stream (`openai.types.responses.ResponseStreamEvent`): no [DONE] follows."""


class PassthroughAnswer:
    """Another API's answer, handed through as it is: whole events of a stream, or a plain body."""

    def __init__(
        self,
        streaming: bool,
        fail: Callable[[CCProxyError], bytes],
        *,
        hides_usage: bool = False,
    ) -> None:
        """`hides_usage`: the chunk with nothing but the usage of a chat completion was not asked for by the client."""
        self.decoder = SSEDecoder() if streaming else None
        self.render_failure = fail
        self.hides_usage = hides_usage
        self.pieces: list[bytes] = []
        self.began = False
        self.complete = False
        self.paused = False
        self.error: CCProxyError | None = None
        self.message: JsonObject = {}
        self.usage: JsonObject = {}
        self.failure: CCProxyError | None = None
        """What the stream itself says went wrong. It is `error` only at the end: more events may follow it."""
        self.response: JsonObject = {}
        """The response as a Responses stream last told it, and the number of the event that would come next."""
        self.sequence = 0

    def feed(self, data: bytes) -> bytes:
        if self.decoder is None:
            self.pieces.append(data)
            return b""
        try:
            return self.pass_on(self.decoder.feed(data))
        except CCProxyError as error:
            self.error = error
            return b""

    def close(self) -> bytes:
        if self.decoder is None:
            body = b"".join(self.pieces)
            self.note_usage(self.read(body))
            return body
        rest = self.pass_on(self.decoder.close())
        self.error = self.error or self.failure
        if not self.complete and self.error is None:
            self.error = BadGateway(
                "The model's API ended the stream early.", code="upstream_disconnect"
            )
        return rest

    def pass_on(self, events: list[ServerSentEvent]) -> bytes:
        passed = []
        for event in events:
            self.began = True
            if event.data.strip() == b"[DONE]":
                self.complete = True
            else:
                told = self.read(event.data)
                self.note(told)
                if self.hides_usage and told.get("usage") and told.get("choices") == []:
                    continue
            passed.append(event.raw)
        return b"".join(passed)

    def note(self, event: JsonObject) -> None:
        told = event
        if isinstance(event.get("response"), dict):
            told = self.response = event["response"]
        if isinstance(number := event.get("sequence_number"), int):
            self.sequence = number + 1
        self.note_usage(told)
        if told.get("error") or event.get("type") in ("error", "response.failed"):
            self.failure = from_openai_event(told)
        if self.failure or event.get("type") in _RESPONSES_ENDS:
            self.complete = True

    def note_usage(self, told: JsonObject) -> None:
        if isinstance(usage := told.get("usage"), dict):
            self.usage = anthropic_usage(usage)

    def read(self, data: bytes) -> JsonObject:
        try:
            value = loads(data)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def fail(self, error: CCProxyError) -> bytes:
        if self.complete:
            return b""  # the stream has told its end: a second one would contradict it
        if not self.response:
            return self.render_failure(error)
        failed = failed_response(self.response, error)
        event = {"type": "response.failed", "response": failed, "sequence_number": self.sequence}
        return encode_event(dumps(event), "response.failed")

    def break_off(self, error: CCProxyError) -> None:
        self.error = error


class InputTokensAnswer(PassthroughAnswer):
    """Anthropic's token count in OpenAI's form (`openai.types.responses.InputTokenCountResponse`)."""

    def __init__(self, fail: Callable[[CCProxyError], bytes]) -> None:
        super().__init__(False, fail)

    def close(self) -> bytes:
        count = self.read(super().close()).get("input_tokens")
        if not isinstance(count, int):
            self.error = BadGateway("Anthropic's answer has no token count.")
            return b""
        return dumps({"object": "response.input_tokens", "input_tokens": count})


class AnswerStream(Protocol):
    """One attempt's answer on its way from upstream's bytes to the client's. Made anew for each attempt."""

    @property
    def began(self) -> bool:
        """Content has begun: from here on nothing can be tried again."""

    @property
    def complete(self) -> bool:
        """All of it has come, whatever becomes of the connection."""

    @property
    def paused(self) -> bool:
        """All of it has come, and another attempt goes on with it: the client's end is held back."""

    @property
    def error(self) -> CCProxyError | None:
        """What went wrong, as far as upstream's bytes tell."""

    @property
    def message(self) -> JsonObject:
        """Claude's message so far; {} where the answer is another API's."""

    @property
    def usage(self) -> JsonObject:
        """Its token counts so far, in Anthropic's form."""

    def feed(self, data: bytes) -> bytes:
        """Take upstream's bytes, give the client's. Never raises for bad input: sets `error`."""

    def close(self) -> bytes:
        """Upstream ended: the rest of the client's bytes; sets `error` when the end came too early."""

    def fail(self, error: CCProxyError) -> bytes:
        """The one event that ends an answer which has begun."""

    def break_off(self, error: CCProxyError) -> None:
        """Set `error`: nothing more of upstream is read."""
