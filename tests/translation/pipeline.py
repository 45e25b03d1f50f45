"""One answer from upstream's bytes to the client's, for tests."""

from __future__ import annotations

from addon.translation.from_anthropic.renderer import Renderer
from addon.translation.message_stream import MessageStream


def advance(stream: MessageStream, renderer: Renderer, chunk: bytes) -> bytes:
    return renderer.render(stream.feed(chunk)) + _ending(stream, renderer)


def conclude(stream: MessageStream, renderer: Renderer) -> bytes:
    return renderer.render(stream.close()) + _ending(stream, renderer)


def _ending(stream: MessageStream, renderer: Renderer) -> bytes:
    if stream.error is not None:
        return renderer.fail(stream.error)
    return renderer.finish() if stream.ended else b""
