"""An assistant turn, as a Message and as the SSE events the API streams it in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from addon.core.frozen import frozen
from addon.stand_in.record import JsonObject

PIECE = 24
"""Characters of one delta, when a turn does not say how many deltas it wants."""


def text(content: str) -> JsonObject:
    return {"type": "text", "text": content}


def tool_use(name: str, input: JsonObject, id: str | None = None) -> JsonObject:
    """A call; without an id the fake makes one."""
    return {"type": "tool_use", "id": id, "name": name, "input": input}


def thinking(content: str) -> JsonObject:
    """Thought that the fake signs when it answers."""
    return {"type": "thinking", "thinking": content, "signature": None}


def redacted(data: str) -> JsonObject:
    """Redacted thought; the fake puts signed bytes in place of `data`."""
    return {"type": "redacted_thinking", "data": data}


@frozen(kw_only=True)
class Turn:
    """What the model says. Blocks have the API's own shape, so unknown ones can be given as they are."""

    blocks: tuple[JsonObject, ...] = ()
    stop_reason: str | None = None
    """Default: `tool_use` when there is a call, else `end_turn`."""
    stop_sequence: str | None = None
    stop_details: JsonObject | None = None
    deltas: int | None = None
    """Number of deltas of each text; default: one per 24 characters."""
    last_json: str | None = None
    """The JSON text of the last call, for one that `max_tokens` cut short."""
    json_deltas: tuple[str, ...] | None = None
    """The `input_json_delta` fragments of every call; `()` sends none."""
    extra: tuple[tuple[int, JsonObject], ...] = ()
    """Events to put in at these positions of the stream (pings, unknown ones)."""

    @property
    def reason(self) -> str:
        if self.stop_reason is not None:
            return self.stop_reason
        return "tool_use" if any(b["type"] == "tool_use" for b in self.blocks) else "end_turn"


@frozen(kw_only=True)
class Reply:
    """A turn that became an answer: with its id, its usage, and what the API noted on the input."""

    id: str
    model: str
    turn: Turn
    usage: JsonObject
    notes: JsonObject
    """Fields to add to the message and to message_delta (`input_transformations`)."""


def message(reply: Reply) -> JsonObject:
    turn = reply.turn
    return {
        "id": reply.id,
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": [dict(block) for block in turn.blocks],
        "stop_reason": turn.reason,
        "stop_sequence": turn.stop_sequence,
        "stop_details": turn.stop_details,
        "usage": reply.usage,
        **reply.notes,
    }


def events(reply: Reply) -> list[JsonObject]:
    """The stream of a reply, from message_start to message_stop."""
    stream = [_start(reply), *_content(reply.turn), _delta(reply), {"type": "message_stop"}]
    # The real API sends a ping soon after the first block opens.
    stream.insert(min(2, len(stream) - 2), {"type": "ping"})
    for position, event in reply.turn.extra:
        stream.insert(position, event)
    return stream


def encode(event: JsonObject) -> bytes:
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {data}\n\n".encode("utf-8", "surrogatepass")


def _start(reply: Reply) -> JsonObject:
    opened = message(reply) | {"content": [], "stop_reason": None, "stop_sequence": None}
    opened["stop_details"] = None
    opened["usage"] = {k: v for k, v in reply.usage.items() if k != "output_tokens_details"}
    opened["usage"]["output_tokens"] = 1
    return {"type": "message_start", "message": opened}


def _delta(reply: Reply) -> JsonObject:
    turn = reply.turn
    cumulative = {
        key: value
        for key, value in reply.usage.items()
        if key.endswith("_tokens") or key == "output_tokens_details"
    }
    delta: JsonObject = {"stop_reason": turn.reason, "stop_sequence": turn.stop_sequence}
    if turn.stop_details is not None:
        delta["stop_details"] = turn.stop_details
    return {"type": "message_delta", "delta": delta, "usage": cumulative, **reply.notes}


def _content(turn: Turn) -> Iterator[JsonObject]:
    calls = [number for number, block in enumerate(turn.blocks) if block["type"] == "tool_use"]
    for index, block in enumerate(turn.blocks):
        cut = turn.last_json if calls and index == calls[-1] else None
        yield {"type": "content_block_start", "index": index, "content_block": _opened(block)}
        for delta in _deltas(block, turn, cut):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}


_EMPTY: dict[str, JsonObject] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}},
    "server_tool_use": {"input": {}},
}
"""What a block looks like before its first delta; other kinds come whole."""


def _opened(block: JsonObject) -> JsonObject:
    return block | _EMPTY.get(block["type"], {})


def _deltas(block: JsonObject, turn: Turn, cut: str | None) -> Iterator[JsonObject]:
    match block["type"]:
        case "text":
            for piece in split(block["text"], turn.deltas):
                yield {"type": "text_delta", "text": piece}
        case "thinking":
            for piece in split(block["thinking"], turn.deltas) or [""]:
                yield {"type": "thinking_delta", "thinking": piece}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use" | "server_tool_use":
            for piece in _json_pieces(block["input"], turn, cut):
                yield {"type": "input_json_delta", "partial_json": piece}


def _json_pieces(input: Any, turn: Turn, cut: str | None) -> Sequence[str]:
    if turn.json_deltas is not None:
        return turn.json_deltas
    whole = cut if cut is not None else json.dumps(input, ensure_ascii=False) if input else ""
    # The first fragment of a real stream is empty; for a call without input it is the only one.
    return ["", *split(whole, turn.deltas)]


def split(content: str, count: int | None) -> list[str]:
    """`content` in `count` about equal pieces (fewer when it is shorter), or in pieces of PIECE characters."""
    count = min(count or -(-len(content) // PIECE), len(content))
    edges = [len(content) * n // count for n in range(count + 1)] if count else []
    return [content[a:b] for a, b in pairwise(edges)]
