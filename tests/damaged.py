"""Requests that are not as they should be: large valid ones, damaged in one place or a few; broken bytes; and noise."""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.translation.asking import OPUS, TC, A, S, T, U, function, text, tr, tu

PNG = "data:image/png;base64,iVBORw0KGgo="
TOOLS = [
    function("f", parameters={"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}),
    function("g"),
    function("my tool!", description="d"),
    function("list", parameters={"type": "array"}),
    {"type": "custom", "name": "patch"},
]

EVERYTHING: dict[str, Any] = {
    "model": OPUS,
    "messages": [
        S([text("s")]),
        U([text("a"), {"type": "image_url", "image_url": {"url": PNG}}]),
        U([{"type": "file", "file": {"file_data": "aGk=", "filename": "a.txt"}}]),
        A(
            [text("b")],
            TC("c1", "f", '{"a":1}'),
            {"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "p"}},
            reasoning_details=[
                {"type": "reasoning.text", "text": "x", "signature": "s", "format": "anthropic"}
            ],
            refusal="no",
        ),
        T("c1", [text("r")]),
        U([tr("c2", [text("r")], cache_control={"type": "ephemeral"})]),
        A(None, function_call={"name": "f", "arguments": "{}"}),
        {"role": "function", "name": "f", "content": "x"},
        S("late"),
    ],
    "tools": [*TOOLS, {"type": "namespace", "name": "n", "tools": [function("h")]}],
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [function("f")]},
    },
    "response_format": {
        "type": "json_schema",
        "json_schema": {
            "name": "n",
            "schema": {
                "type": "object",
                "properties": {"x": {"$ref": "#/$defs/X"}},
                "$defs": {"X": {"type": ["string", "null"], "enum": ["a"], "description": "d"}},
            },
        },
    },
    "max_tokens": 100,
    "temperature": 0.5,
    "stop": ["x"],
    "stream": True,
    "stream_options": {"include_usage": True},
    "reasoning": {"effort": "low", "summary": "auto"},
    "thinking": {"type": "adaptive"},
    "metadata": {"user_id": "u"},
    "service_tier": "flex",
    "prompt_cache_options": {"mode": "explicit", "ttl": "30m"},
    "context_management": {"edits": []},
}
INPUT: dict[str, Any] = {
    "model": OPUS,
    "instructions": "i",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": PNG},
            ],
        },
        {"type": "reasoning", "summary": [], "encrypted_content": "ccp1:W10="},
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "h",
            "namespace": "n",
            "arguments": "{}",
        },
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_text", "text": "x"}],
        },
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "p"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "x"},
        {"type": "additional_tools", "tools": [function("k")]},
    ],
    "tools": EVERYTHING["tools"],
    "text": {"format": {"type": "json_object"}},
    "reasoning": {"effort": "high"},
    "tool_choice": {"type": "function", "name": "h"},
}
NESTED: Any = json.loads("[" * 300 + "]" * 300)
JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**40, float("nan"), float("inf"), "", " ", "x", "\ud83d", "\x00", "{",
    "auto", "https://x", [], {}, [[]], [{}], [None], ["x"], {"type": "text"}, {"type": []}, {"": None},
    {"type": "object", "$ref": "#"}, NESTED, {"a": NESTED},
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in inner:
        yield (*path, key)
        yield from places(item, (*path, key))


def damaged(body: dict[Any, Any], path: tuple[Any, ...], how: str, junk: Any) -> dict[Any, Any]:
    body = copy.deepcopy(body)
    *parents, last = path
    holder: Any = body
    for key in parents:
        holder = holder[key]
    match how:
        case "replaced":
            holder[last] = junk
        case "dropped":
            del holder[last]
        case "doubled" if isinstance(holder, list):
            holder.insert(last, copy.deepcopy(holder[last]))
        case _:
            holder[last] = [holder[last]]
    return body


NATIVE: dict[str, Any] = {
    "model": OPUS,
    "max_tokens": 5000,
    "system": [{**text("s"), "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [text("b"), tu("c1", "f", a=1), tu("c2", "g")]},
        {"role": "user", "content": [tr("c1", [text("r")]), tr("c2", "r", is_error=True)]},
        {"role": "assistant", "content": [text("c")]},
        {"role": "user", "content": [text("d"), text("e")]},
    ],
    "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "auto"},
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "low"},
    "stop_sequences": ["x"],
    "metadata": {"user_id": "u"},
    "stream": False,
}


class Sent(NamedTuple):
    """One request of a fuzzed client."""

    path: str
    body: bytes
    encoding: str = ""
    """Content-Encoding."""


CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
ROUTES = ((CHAT, EVERYTHING), (RESPONSES, INPUT), (CHAT, INPUT), (MESSAGES, NATIVE))
HOW = ("replaced", "dropped", "doubled", "wrapped")


def sent(seed: int, count: int) -> Iterator[Sent]:
    """`count` requests; the same ones for the same seed. 7 of 10 are valid bodies with up to 3 places damaged."""
    rng = random.Random(seed)  # noqa: S311
    for _ in range(count):
        path, body = rng.choice(ROUTES)
        kind = rng.randrange(10)
        if kind < 7:
            yield Sent(path, _as_json(_damaged(body, rng)))
        elif kind < 9:
            yield Sent(path, _with_broken_bytes(_as_json(body), rng))
        else:
            yield _noise(path, rng)


def _damaged(body: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    for _ in range(rng.randint(0, 3)):
        spots = list(places(body))
        if spots:
            body = damaged(body, rng.choice(spots), rng.choice(HOW), rng.choice(JUNK))
    return body


def _as_json(body: Any) -> bytes:
    return json.dumps(body).encode()


def _with_broken_bytes(data: bytes, rng: random.Random) -> bytes:
    start, length = rng.randrange(len(data)), rng.randint(1, 20)
    match rng.randrange(4):
        case 0:
            return data[:start]
        case 1:
            return data[:start] + data[start + length :]
        case 2:
            return data[:start] + data[start : start + length] * 2 + data[start + length :]
    return data[:start] + rng.randbytes(length) + data[start + length :]


def _noise(path: str, rng: random.Random) -> Sent:
    match rng.randrange(6):
        case 0:
            return Sent(path, rng.randbytes(rng.randint(0, 200)))
        case 1:
            return Sent(path, json.dumps(rng.choice(JUNK)).encode())
        case 2:
            return Sent(path, b"{}", rng.choice(["gzip", "br", "zstd", "x, y"]))
        case 3:
            return Sent(path, gzip.compress(b'{"model":' + rng.randbytes(20)), "gzip")
        case 4:
            return Sent(path, b"[" * rng.choice([10, 2000, 100_000]))
    return Sent(rng.choice(["/v1", "/v1/messages/x", "/v2/chat/completions", "/v1/files"]), b"{}")


def check_refusal(path: str, status: int, answer: bytes) -> None:
    """An error is told in the dialect of its path, with words."""
    assert status in (400, 404, 413, 415), f"{status} {answer[:300]!r}"
    told = json.loads(answer)
    anthropic = path == "/v1" or "/messages" in path
    assert (told.get("type") == "error") is anthropic
    assert isinstance(told["error"]["message"], str) and told["error"]["message"].strip()
    assert told["error"]["type"] in (
        "invalid_request_error",
        "not_found_error",
        "request_too_large",
    )
    if not anthropic:
        assert told["error"].keys() == {"message", "type", "param", "code"}
