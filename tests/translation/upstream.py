"""Anthropic's side, for tests: messages as the event streams that describe them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

JsonObject = dict[str, Any]

USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 5,
    "cache_read_input_tokens": 100,
    "output_tokens": 1,
}


def text(value: str, **more: Any) -> JsonObject:
    return {"type": "text", "text": value, **more}


def thinking(value: str, signature: str = "c2ln") -> JsonObject:
    return {"type": "thinking", "thinking": value, "signature": signature}


def tool(call_id: str, name: str, value: Any) -> JsonObject:
    return {"type": "tool_use", "id": call_id, "name": name, "input": value}


def web_citation(url: str, title: str) -> JsonObject:
    return {
        "type": "web_search_result_location",
        "url": url,
        "title": title,
        "cited_text": "…",
        "encrypted_index": "abc",
    }


def message(*content: JsonObject, stop_reason: str | None = "end_turn", **more: Any) -> JsonObject:
    return {
        "id": "msg_01abc",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-8",
        "content": list(content),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "stop_details": None,
        "usage": {**USAGE, "output_tokens": 7},
        **more,
    }


def events(whole: JsonObject, piece: int = 5) -> list[JsonObject]:
    """The events of `whole`, its texts cut into pieces of `piece` characters."""
    start = {
        **whole,
        "content": [],
        "stop_reason": None,
        "usage": {**whole["usage"], "output_tokens": 1},
    }
    last = {
        "type": "message_delta",
        "delta": {key: whole.get(key) for key in ("stop_reason", "stop_sequence", "stop_details")},
        "usage": {"output_tokens": whole["usage"]["output_tokens"], "input_tokens": None},
    }
    blocks = [
        event
        for i, block in enumerate(whole["content"])
        for event in _block_events(i, block, piece)
    ]
    return [
        {"type": "message_start", "message": start},
        {"type": "ping"},
        *blocks,
        last,
        {"type": "message_stop"},
    ]


def sse(*stream: JsonObject) -> bytes:
    return b"".join(
        b"event: %b\ndata: %b\n\n"
        % (
            event["type"].encode(),
            json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode(),
        )
        for event in stream
    )


def stream_of(whole: JsonObject, piece: int = 5) -> bytes:
    return sse(*events(whole, piece))


def _block_events(index: int, block: JsonObject, piece: int) -> Iterator[JsonObject]:
    opened, deltas = _opened(block, piece)
    yield {"type": "content_block_start", "index": index, "content_block": opened}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _opened(block: JsonObject, piece: int) -> tuple[JsonObject, list[JsonObject]]:
    match block["type"]:
        case "text":
            cited = [
                {"type": "citations_delta", "citation": c} for c in block.get("citations") or ()
            ]
            opened = {**block, "text": ""}
            if cited:
                opened["citations"] = []
            return opened, [*_pieces("text_delta", "text", block["text"], piece), *cited]
        case "thinking":
            signature = {"type": "signature_delta", "signature": block["signature"]}
            deltas = _pieces("thinking_delta", "thinking", block["thinking"], piece)
            return {**block, "thinking": "", "signature": ""}, [*deltas, signature]
        case "tool_use" | "server_tool_use":
            written = json.dumps(block["input"], ensure_ascii=False) if block["input"] else ""
            return {**block, "input": {}}, _pieces(
                "input_json_delta", "partial_json", written, piece
            )
    return block, []


def _pieces(kind: str, field: str, value: str, piece: int) -> list[JsonObject]:
    return [{"type": kind, field: value[i : i + piece]} for i in range(0, len(value), piece)]
