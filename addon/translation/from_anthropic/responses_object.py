"""A whole Anthropic message as an OpenAI response object."""

from __future__ import annotations

from collections.abc import Iterator

from addon.core.types import STDLIB, Codec, JsonObject, Reply
from addon.translation.from_anthropic.completion import strip_fence
from addon.translation.from_anthropic.responses import ResponsesStream
from addon.translation.message_stream import StreamEvent


def responses_object(
    message: JsonObject, reply: Reply, created: int, codec: Codec = STDLIB
) -> JsonObject:
    """`message` as the answer to a Responses request that did not stream. `created`: Unix seconds.

    It is told to the stream machine block by block, so the two forms of one answer can't differ.
    """
    stream = ResponsesStream(reply, created, codec)
    stream.render(_told(message, reply.json_object))
    stream.finish()
    return stream.response()


def _told(message: JsonObject, json_object: bool) -> Iterator[StreamEvent]:
    yield _event("message_start", message=message)
    for index, block in enumerate(message["content"]):
        if json_object and block.get("type") == "text":
            block = {**block, "text": strip_fence(block["text"])}
        yield _event("content_block_start", index=index, content_block=block)
        yield _event("content_block_stop", index=index)
    yield _event("message_delta", delta=message)


def _event(kind: str, **data: object) -> StreamEvent:
    return StreamEvent(kind, data, b"")
