"""Formats a request or response of any of the three APIs as readable text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from addon.core.json_codec import loads
from addon.core.types import JsonObject
from addon.translation.message_stream import MessageStream
from addon.translation.sse import SSEDecoder

HEAD = ("model", "max_tokens", "max_completion_tokens", "max_output_tokens", "stream", "speed")
NAMED = ("thinking", "output_config", "reasoning", "reasoning_effort", "tool_choice")
ENDINGS = ("stop_reason", "finish_reason", "status", "error")
RULE = 72


def readable(body: JsonObject) -> str:
    """The conversation in a body, with its tools and usage. Raises ValueError if there is none."""
    lines = list(_head(body))
    turns = list(_turns(body))
    if not turns:
        raise ValueError("it contains no conversation")
    for who, content in turns:
        lines += ["", f"── {who} ".ljust(RULE, "─"), *_content(content)]
    lines += _usage(body)
    return "\n".join(lines) + "\n"


def from_stream(data: bytes) -> JsonObject:
    """The message, completion or response that an event stream describes. Raises ValueError if there is none."""
    stream = MessageStream()
    stream.feed(data)
    if stream.message:
        return stream.message
    chunks = [_json(event.data) for event in SSEDecoder().feed(data)]
    completed = [c["response"] for c in chunks if isinstance(c.get("response"), dict)]
    if completed:
        return dict(completed[-1])
    return _completion(chunks)


def _json(data: bytes) -> JsonObject:
    try:
        value = loads(data)
    except ValueError:  # [DONE]
        return {}
    return value if isinstance(value, dict) else {}


def _completion(chunks: list[JsonObject]) -> JsonObject:
    message: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": []}
    whole: dict[str, Any] = {"choices": [{"message": message}]}
    for chunk in chunks:
        whole |= {name: chunk[name] for name in ("model", "usage", "error") if chunk.get(name)}
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            message["content"] += delta.get("content") or ""
            thought = delta.get("reasoning_content") or ""
            message["reasoning_content"] = message.get("reasoning_content", "") + thought
            for call in delta.get("tool_calls") or ():
                _add_call(message["tool_calls"], call)
            if choice.get("finish_reason"):
                whole["finish_reason"] = choice["finish_reason"]
    if "model" not in whole and "error" not in whole:
        raise ValueError("the stream contains no model response")
    return whole


def _add_call(calls: list[JsonObject], part: JsonObject) -> None:
    function = part.get("function") or {}
    if part.get("id") or not calls:
        function = {"name": "", "arguments": "", **function}
        calls.append({"id": part.get("id"), "type": "function", "function": function})
    else:
        calls[-1]["function"]["arguments"] += function.get("arguments") or ""


# ---- the parts of a body


def _head(body: JsonObject) -> Iterator[str]:
    shown = [
        name if body[name] is True else f"{name} {body[name]}"
        for name in HEAD
        if body.get(name) not in (None, False)
    ]
    if shown:
        yield " · ".join(shown)
    for name in NAMED:
        if body.get(name) is not None:
            yield f"{name} {_short(body[name])}"
    names = [_tool_name(tool) for tool in body.get("tools") or () if isinstance(tool, dict)]
    if names:
        yield f"{len(names)} tool{'s' * (len(names) > 1)}: {', '.join(names)}"


def _tool_name(tool: JsonObject) -> str:
    function = tool.get("function")
    nested = function.get("name") if isinstance(function, dict) else None
    return str(nested or tool.get("name") or tool.get("type"))


def _turns(body: JsonObject) -> Iterator[tuple[str, Any]]:
    """(role, content) of each turn, from the fields of any of the three APIs."""
    for name in ("system", "instructions"):
        if body.get(name):
            yield name, body[name]
    turns = body.get("messages") or body.get("input")
    if isinstance(turns, str):
        yield "user", turns
    for turn in turns if isinstance(turns, list) else ():
        yield _who(turn), turn
    for choice in body.get("choices") or ():
        yield "assistant", choice.get("message") or {}
    if body.get("type") == "message" and "messages" not in body:
        yield str(body.get("role", "assistant")), body.get("content")
    for item in body.get("output") or ():
        yield _who(item), item


def _who(turn: Any) -> str:
    if not isinstance(turn, dict):
        return "?"
    return str(turn.get("role") or turn.get("type") or "?")


def _content(content: Any) -> Iterator[str]:
    match content:
        case str():
            yield content
        case list():
            for block in content:
                yield from _content(block)
        case {"type": str(kind)} if kind in BLOCKS:
            yield from BLOCKS[kind](content)
        case {"role": _}:
            yield from _message(content)
        case {"type": str(kind)}:
            yield f"[{kind}] {_short(content)}"
        case None:
            return
        case _:
            yield _short(content)


def _message(turn: JsonObject) -> Iterator[str]:
    """A turn of Chat Completions or Messages."""
    if turn.get("reasoning_content"):
        yield f"(thinking) {turn['reasoning_content']}"
    if turn.get("role") == "tool":
        yield f"← {turn.get('tool_call_id')}"
    yield from _content(turn.get("content"))
    for call in turn.get("tool_calls") or ():
        function = call.get("function") or {}
        yield f"→ {function.get('name')} {function.get('arguments')}  [{call.get('id')}]"


def _text(block: JsonObject) -> Iterator[str]:
    yield str(block.get("text", ""))


def _thinking(block: JsonObject) -> Iterator[str]:
    yield f"(thinking) {block.get('thinking') or 'not shown'}"


def _call(block: JsonObject) -> Iterator[str]:
    given = block.get("input", block.get("arguments"))
    yield f"→ {block.get('name')} {_short(given)}  [{block.get('id') or block.get('call_id')}]"


def _result(block: JsonObject) -> Iterator[str]:
    failed = " failed" if block.get("is_error") else ""
    yield f"← {block.get('tool_use_id') or block.get('call_id')}{failed}"
    yield from _content(block.get("content", block.get("output")))


def _data(block: JsonObject) -> Iterator[str]:
    yield f"[{block['type']}, {len(_short(block, 10**9))} characters]"


BLOCKS: Mapping[str, Callable[[JsonObject], Iterator[str]]] = {
    **dict.fromkeys(("text", "input_text", "output_text"), _text),
    "thinking": _thinking,
    **dict.fromkeys(("tool_use", "function_call", "custom_tool_call"), _call),
    **dict.fromkeys(("tool_result", "function_call_output", "custom_tool_call_output"), _result),
    **dict.fromkeys(("image", "image_url", "input_image", "document", "file"), _data),
}


def _usage(body: JsonObject) -> list[str]:
    ending = [f"{name} {body[name]}" for name in ENDINGS if body.get(name)]
    ending += [
        f"finish_reason {choice['finish_reason']}"
        for choice in body.get("choices") or ()
        if choice.get("finish_reason")
    ]
    usage = body.get("usage")
    counts = _counts(usage) if isinstance(usage, dict) else []
    if not ending and not counts:
        return []
    return ["", "── usage ".ljust(RULE, "─"), *counts, *ending]


def _counts(usage: JsonObject, prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, value in usage.items():
        if isinstance(value, dict):
            found += _counts(value, f"{prefix}{name}.")
        elif isinstance(value, int) and value:
            found.append(f"{prefix}{name} {value}")
    return found


def _short(value: Any, most: int = 2_000) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
