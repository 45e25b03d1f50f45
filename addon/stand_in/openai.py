"""A minimal OpenAI upstream, Chat Completions and Responses, for what the proxy passes through untouched."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from addon.stand_in.record import JsonObject, Received
from addon.stand_in.refusal import Refusal
from addon.stand_in.script import Answer
from addon.stand_in.stream import encode

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
WORDS = ("Hello", " from", " the", " fake", " OpenAI.")
USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 5,
    "total_tokens": 16,
    "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
RESPONSES_USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 16,
}
"""`openai.types.responses.ResponseUsage`: the same counts under other names."""


def check(request: Received) -> None:
    """Any bearer will do but one that belongs to Anthropic: that would be a leak."""
    bearer = (request.header("authorization") or "").removeprefix("Bearer ")
    if not bearer or bearer.startswith("sk-ant-"):
        raise Refusal(401, "Incorrect API key provided.", type="invalid_request_error")


def error(refusal: Refusal) -> JsonObject:
    code = "invalid_api_key" if refusal.status == 401 else None
    said = {"message": refusal.message, "type": refusal.type, "param": None, "code": code}
    return {"error": said}


# ---- Chat Completions


def completion(body: JsonObject) -> JsonObject:
    message = {"role": "assistant", "content": "".join(WORDS), "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return _base(body, "chat.completion") | {"choices": [choice], "usage": USAGE}


def chunks(body: JsonObject, answer: Answer) -> list[bytes]:
    """The SSE events of a streamed completion; a scripted error is its last event, without a [DONE]."""
    deltas: list[JsonObject] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in _words(answer)]
    base = _base(body, "chat.completion.chunk")
    made = [base | {"choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    if failure := _failure(answer):
        return [_data(chunk) for chunk in [*made, {"error": failure}]]
    made.append(base | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        made.append(base | {"choices": [], "usage": USAGE})
    return [*(_data(chunk) for chunk in made), b"data: [DONE]\n\n"]


def _base(body: JsonObject, kind: str) -> JsonObject:
    return {"id": "chatcmpl-fake", "object": kind, "created": 1_790_000_000, "model": body["model"]}


def _data(chunk: JsonObject) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()


# ---- Responses


def response(body: JsonObject, answer: Answer) -> JsonObject:
    """A whole response; `incomplete` when the scripted turn stops at `max_tokens`."""
    cut = answer.turn is not None and answer.turn.stop_reason == "max_tokens"
    status = "incomplete" if cut else "completed"
    return _response(
        body,
        status,
        incomplete_details={"reason": "max_output_tokens"} if cut else None,
        output=[_item(status, "".join(WORDS))],
        usage=RESPONSES_USAGE,
    )


def response_events(body: JsonObject, answer: Answer) -> list[bytes]:
    """The SSE events of a streamed response, numbered. The last one is `response.completed`, `.incomplete` or
    `.failed`: there is no [DONE] (`openai.types.responses.ResponseStreamEvent`)."""
    events = [*_opening(body), *_text(_words(answer))]
    if failure := _failure(answer):
        events += _failing(body, failure)
    else:
        whole = response(body, answer)
        events += _closing(whole["output"][0])
        events.append({"type": f"response.{whole['status']}", "response": whole})
    return [encode(event | {"sequence_number": n}) for n, event in enumerate(events)]


def _opening(body: JsonObject) -> Iterator[JsonObject]:
    for kind in ("response.created", "response.in_progress"):
        yield {"type": kind, "response": _response(body, "in_progress")}


def _text(words: Iterable[str]) -> Iterator[JsonObject]:
    added = _item("in_progress", "") | {"content": []}
    yield {"type": "response.output_item.added", "output_index": 0, "item": added}
    yield {"type": "response.content_part.added", **_PLACE, "part": _part("")}
    for word in words:
        yield {"type": "response.output_text.delta", **_PLACE, "delta": word, "logprobs": []}


def _closing(item: JsonObject) -> Iterator[JsonObject]:
    (part,) = item["content"]
    yield {"type": "response.output_text.done", **_PLACE, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **_PLACE, "part": part}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}


def _failing(body: JsonObject, failure: JsonObject) -> Iterator[JsonObject]:
    """Recorded streams have `error` with its fields under `error`, unlike the SDK's type, and `response.failed` behind
    it (prism-php/prism, tests/Fixtures/openai/stream-unknown-error-responses-1.json)."""
    yield {"type": "error", "error": failure}
    told = {"code": failure["code"], "message": failure["message"]}
    yield {"type": "response.failed", "response": _response(body, "failed", error=told)}


_PLACE = {"item_id": "msg_fake", "output_index": 0, "content_index": 0}


def _item(status: str, text: str) -> JsonObject:
    item = {"id": "msg_fake", "type": "message", "role": "assistant", "status": status}
    return item | {"content": [_part(text)]}


def _part(text: str) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _response(body: JsonObject, status: str, **more: object) -> JsonObject:
    return {
        "id": "resp_fake",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": {},
        "model": body["model"],
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        **more,
    }


# ---- what a test scripts


def _words(answer: Answer) -> tuple[str, ...]:
    return WORDS[: answer.error_after] if answer.error_event else WORDS


def _failure(answer: Answer) -> JsonObject | None:
    """The scripted error event in OpenAI's form; its type is the code."""
    if answer.error_event is None:
        return None
    told = answer.error_event["error"]
    kind = told["type"]
    return {"type": kind, "code": kind, "message": told["message"], "param": None}
