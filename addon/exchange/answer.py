"""Upstream's bytes in, the client's bytes out: one object for each attempt. Knows no mitmproxy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from addon.core.errors import BadGateway, CCProxyError
from addon.core.types import Codec, JsonObject
from addon.translation.from_anthropic.renderer import Renderer
from addon.translation.message_stream import MessageStream
from addon.translation.sse import SSEDecoder


class StreamedAnswer:
    """Claude's stream, rendered event by event for a client that reads events."""

    def __init__(self, renderer: Renderer, codec: Codec) -> None:
        self.renderer = renderer
        self.stream = MessageStream(codec)
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
    def error(self) -> CCProxyError | None:
        return self.stream.error

    @property
    def message(self) -> JsonObject:
        return self.stream.message

    @property
    def usage(self) -> JsonObject:
        return self.stream.usage

    def feed(self, data: bytes) -> bytes:
        return self.renderer.render(self.stream.feed(data)) + self.ending()

    def close(self) -> bytes:
        return self.renderer.render(self.stream.close()) + self.ending()

    def ending(self) -> bytes:
        if not self.stream.ended:
            return b""
        self.hand_over()
        return self.renderer.finish()

    def hand_over(self) -> None:
        keep, self.keep = self.keep, None
        if keep is not None:
            keep(self.stream.message)

    def fail(self, error: CCProxyError) -> bytes:
        return self.renderer.fail(error)

    def break_off(self, error: CCProxyError) -> None:
        self.stream.error = error


class WholeAnswer(StreamedAnswer):
    """Claude's stream, put together for a client that wants one JSON body.

    Upstream is always asked for a stream: the subscription path knows nothing else, and Anthropic's SDKs refuse a
    plain request that may run over ten minutes.
    """

    def __init__(
        self, renderer: Renderer, codec: Codec, body: Callable[[JsonObject], bytes]
    ) -> None:
        """`body` renders the whole message in the client's dialect."""
        super().__init__(renderer, codec)
        self.body = body

    def feed(self, data: bytes) -> bytes:
        self.stream.feed(data)
        return b""

    def close(self) -> bytes:
        self.stream.close()
        if self.stream.error:
            return b""
        self.hand_over()
        return self.body(self.stream.message)


class PassedOn:
    """Another API's answer, handed through as it is: whole events of a stream, or a plain body."""

    def __init__(
        self, streaming: bool, fail: Callable[[CCProxyError], bytes], codec: Codec
    ) -> None:
        self.decoder = SSEDecoder() if streaming else None
        self.render_failure = fail
        self.codec = codec
        self.pieces: list[bytes] = []
        self.began = False
        self.complete = False
        self.error: CCProxyError | None = None
        self.message: JsonObject = {}
        self.usage: JsonObject = {}

    def feed(self, data: bytes) -> bytes:
        if self.decoder is None:
            self.pieces.append(data)
            return b""
        out = []
        for event in self.decoder.feed(data):
            self.began = True
            # an error of its own is an end too: a second one would follow it otherwise
            self.complete = event.data.strip() == b"[DONE]" or event.data.startswith(b'{"error"')
            if b'"usage"' in event.data:
                self.note_usage(event.data)
            out.append(event.raw)
        return b"".join(out)

    def close(self) -> bytes:
        if self.decoder is None:
            body = b"".join(self.pieces)
            self.note_usage(body)
            return body
        if not self.complete:
            self.error = BadGateway(
                "The model's API ended the stream early.", code="upstream_disconnect"
            )
        return b""

    def note_usage(self, body: bytes) -> None:
        try:
            usage = self.codec.loads(body).get("usage")
        except (ValueError, AttributeError):
            return
        if isinstance(usage, dict):
            self.usage = {
                "input_tokens": usage.get("prompt_tokens") or 0,
                "output_tokens": usage.get("completion_tokens") or 0,
            }

    def fail(self, error: CCProxyError) -> bytes:
        return self.render_failure(error)

    def break_off(self, error: CCProxyError) -> None:
        self.error = error


class Answer(Protocol):
    """One attempt's answer on its way from upstream's bytes to the client's. Made anew for each attempt."""

    @property
    def began(self) -> bool:
        """Content has begun: from here on nothing can be tried again."""

    @property
    def complete(self) -> bool:
        """All of it has come, whatever becomes of the connection."""

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
