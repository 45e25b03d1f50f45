"""What to answer, as the client asks for it in its last message; and the answer the fake makes by itself.

Directives, in the text of the last user message, make the demo and SDK tests drive the fake from the client's side:

    [[text Hello there]]            say this
    [[tool NAME {"a": 1}]]          call a tool; several make parallel calls
    [[loop 10 NAME {"a": 1}]]       call the tool again after each result, ten times in all
    [[think Hm.]]                   think this (when thinking is on)
    [[deltas 50 every 20ms]]        stream every text in so many deltas, so far apart
    [[stop refusal]]                end with this stop_reason
    [[fail oauth 429]]              answer this credential kind with a status (429: its windows are exhausted)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from addon.core.frozen import frozen
from addon.stand_in.record import JsonObject
from addon.stand_in.stream import Turn, text, thinking, tool_use

_DIRECTIVE = re.compile(r"\[\[(text|tool|loop|think|deltas|stop|fail)\s+")


@frozen(kw_only=True)
class Directives:
    """What the client wrote into its last message."""

    said: tuple[str, ...] = ()
    calls: tuple[JsonObject, ...] = ()
    thought: str | None = None
    deltas: int | None = None
    every: float = 0.0
    stop_reason: str | None = None
    failures: Mapping[str, int] = field(default_factory=dict)
    """Statuses by credential kind."""


def directives(body: JsonObject) -> Directives:
    """Read the last user message that has text. Calls are only made where its results are not in yet."""
    asked, steps = _last_request(body)
    found: dict[str, list[str]] = {}
    for verb, rest in _found(asked):
        found.setdefault(verb, []).append(rest)
    count, every = _deltas_of(found.get("deltas", [""])[0])
    return Directives(
        said=tuple(found.get("text", ())),
        calls=tuple(_calls(found, steps)),
        thought=found.get("think", [None])[0],
        deltas=count,
        every=every,
        stop_reason=found.get("stop", [None])[0],
        failures={kind: int(status) for kind, status in map(str.split, found.get("fail", ()))},
    )


def _calls(found: Mapping[str, Sequence[str]], steps: int) -> Iterator[JsonObject]:
    for call in found.get("tool", ()):
        if steps == 0:
            yield _call(call)
    for loop in found.get("loop", ()):
        count, _, call = loop.partition(" ")
        if steps < int(count):
            yield _call(call)


def _call(written: str) -> JsonObject:
    name, _, input = written.partition(" ")
    return tool_use(name, json.loads(input) if input.strip() else {})


def _found(asked: str) -> Iterator[tuple[str, str]]:
    for start in _DIRECTIVE.finditer(asked):
        rest = asked[start.end() :]
        # The last `]]` before the next directive ends this one, so that JSON may hold brackets.
        following = _DIRECTIVE.search(rest)
        rest = rest[: following.start()] if following else rest
        yield start[1], rest.rpartition("]]")[0]


def _deltas_of(written: str) -> tuple[int | None, float]:
    match = re.fullmatch(r"(\d+)(?: every (\d+)ms)?", written)
    return (int(match[1]), int(match[2] or 0) / 1000) if match else (None, 0.0)


def _last_request(body: JsonObject) -> tuple[str, int]:
    """Text of the last user message that holds any, and how many assistant turns with calls came after it."""
    steps = 0
    for message in reversed(body["messages"]):
        blocks = blocks_of(message)
        if message["role"] == "assistant":
            steps += any(block.get("type") == "tool_use" for block in blocks)
        elif written := "\n".join(b["text"] for b in blocks if b.get("type") == "text"):
            return written, steps
    return "", steps


def blocks_of(message: JsonObject) -> list[JsonObject]:
    content = message.get("content") or []
    return [text(content)] if isinstance(content, str) else content


def made_turn(body: JsonObject, thinks: bool) -> Turn:
    """The turn the fake makes by itself from the request and its directives."""
    asked = directives(body)
    blocks: list[JsonObject] = []
    if thinks:
        blocks.append(thinking(asked.thought or "Let me see what is asked here."))
    calls = _allowed(asked.calls, body)
    if asked.said or not calls:
        blocks.append(text("".join(asked.said) or _said(body)))
    return Turn(blocks=(*blocks, *calls), stop_reason=asked.stop_reason, deltas=asked.deltas)


def _allowed(calls: Sequence[JsonObject], body: JsonObject) -> Sequence[JsonObject]:
    """What `tool_choice` leaves of the calls, or the one it forces."""
    choice = body.get("tool_choice") or {"type": "auto"}
    if choice["type"] == "none" or not body.get("tools"):
        return ()
    if choice["type"] in ("any", "tool") and not calls:
        calls = (tool_use(choice.get("name") or body["tools"][0]["name"], {}),)
    return calls[:1] if choice.get("disable_parallel_tool_use") else calls


def _said(body: JsonObject) -> str:
    results = [b for b in blocks_of(body["messages"][-1]) if b.get("type") == "tool_result"]
    if results:
        return "The tools said: " + "; ".join(_quoted(result) for result in results)
    wanted = body.get("output_config", {}).get("format")
    return json.dumps(instance(wanted["schema"])) if wanted else "Hello from the fake Claude."


_EXAMPLES = {
    "string": "x",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "null": None,
    "array": [],
}


def instance(schema: JsonObject) -> Any:
    """A value that fits a closed schema (local references apart)."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return instance(schema["anyOf"][0])
    if schema.get("type") != "object":
        return _EXAMPLES.get(str(schema.get("type")), "x")
    return {name: instance(inner) for name, inner in schema.get("properties", {}).items()}


def _quoted(result: JsonObject) -> str:
    content = result.get("content") or "(nothing)"
    if isinstance(content, str):
        return content
    return " ".join(block.get("text", f"({block['type']})") for block in content)
