"""A minimal OpenAI chat upstream, for what the proxy passes through untouched."""

from __future__ import annotations

import json

from addon.stand_in.record import JsonObject, Received
from addon.stand_in.refusal import Refusal

WORDS = ("Hello", " from", " the", " fake", " OpenAI.")
USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}


def check(request: Received) -> None:
    """Any bearer will do but one that belongs to Anthropic: that would be a leak."""
    bearer = (request.header("authorization") or "").removeprefix("Bearer ")
    if not bearer or bearer.startswith("sk-ant-"):
        raise Refusal(401, "Incorrect API key provided.", type="invalid_request_error")


def error(refusal: Refusal) -> JsonObject:
    code = "invalid_api_key" if refusal.status == 401 else None
    said = {"message": refusal.message, "type": refusal.type, "param": None, "code": code}
    return {"error": said}


def completion(body: JsonObject) -> JsonObject:
    message = {"role": "assistant", "content": "".join(WORDS), "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return _base(body, "chat.completion") | {"choices": [choice], "usage": USAGE}


def chunks(body: JsonObject) -> list[bytes]:
    """The SSE events of the streamed answer."""
    deltas: list[JsonObject] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in WORDS]
    base = _base(body, "chat.completion.chunk")
    made = [base | {"choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    made.append(base | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        made.append(base | {"choices": [], "usage": USAGE})
    return [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in made] + [b"data: [DONE]\n\n"]


def _base(body: JsonObject, kind: str) -> JsonObject:
    return {"id": "chatcmpl-fake", "object": kind, "created": 1_790_000_000, "model": body["model"]}
