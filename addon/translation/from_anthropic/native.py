"""Anthropic's own stream, passed on to a client that speaks it."""

from __future__ import annotations

from addon.core.errors import CCProxyError
from addon.core.json_codec import dumps
from addon.core.types import JsonObject
from addon.translation.errors import encode_native_error
from addon.translation.from_anthropic.renderer import Renderer
from addon.translation.message_stream import StreamEvent
from addon.translation.sse import encode_event
from addon.translation.types import Reply


class NativeStream(Renderer):
    """Passes each event on as it came. Where the request's model was another name's, that name comes back in
    `message_start`."""

    # The anthropic SDKs know `ping` and skip it; upstream sends it for the same purpose.
    keepalive = b'event: ping\ndata: {"type":"ping"}\n\n'

    def __init__(self, reply: Reply, *, request_id: str | None = None) -> None:
        self._reply = reply
        self._request_id = request_id
        self._stopped = False

    def _event(self, event: StreamEvent) -> bytes:
        match event.type:
            case "message_start":
                return self._message_start(event)
            case "message_stop":
                self._stopped = True
        return event.raw

    def _message_start(self, event: StreamEvent) -> bytes:
        message = event.data["message"]
        if self._reply.model in ("", message.get("model")):
            return event.raw
        data = {**event.data, "message": native_message(message, self._reply)}
        return encode_event(dumps(data), event.type)

    def _end(self) -> bytes:
        return b"" if self._stopped else encode_event(b'{"type":"message_stop"}', "message_stop")

    def _error(self, error: CCProxyError) -> bytes:
        return encode_native_error(error, self._request_id)


def native_message(message: JsonObject, reply: Reply) -> JsonObject:
    """A whole message; under the model's name that the client asked for, where that isn't Anthropic's."""
    return {**message, "model": reply.model} if reply.model else message
