"""Tests a streamed tool call and its result through a proxy, as an agent uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from addon.core.own_http import sync_client

WORD = "seventeen"
ASK_TO_CALL = "What is the weather in Oslo? Ask the tool, then answer in one short sentence."
ASK_STAND_IN = '[[tool get_weather {"city": "Oslo"}]]'
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


class Failed(Exception):
    """The message says what went wrong."""


@dataclass(slots=True)
class Turn:
    """An assistant turn, assembled from its chunks."""

    text: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    finish: str | None = None


def try_tool(url: str, key: str, model: str, ask: str) -> str | None:
    """Why it does not work, or None if it does. `url`: the proxy's, without /v1."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": ask}]
    try:
        with sync_client(base_url=url, timeout=120, trust_env=False) as client:
            client.headers["authorization"] = f"Bearer {key}"
            turn = _ask(client, model, messages)
            if turn.finish != "tool_calls" or len(turn.calls) != 1:
                return f"No tool was called: the response ended with {turn.finish}."
            call = turn.calls[0]
            messages.append({"role": "assistant", "content": None, "tool_calls": turn.calls})
            result = {"role": "tool", "tool_call_id": call["id"], "content": f"{WORD} degrees"}
            turn = _ask(client, model, [*messages, result])
    except (httpx.HTTPError, Failed) as error:
        return str(error) or type(error).__name__
    if turn.finish != "stop" or not turn.text:
        return f"There was no response to the tool's result: it ended with {turn.finish}."
    return None


def _ask(client: httpx.Client, model: str, messages: list[dict[str, Any]]) -> Turn:
    body = {"model": model, "stream": True, "max_tokens": 400, "tools": [TOOL]}
    turn = Turn()
    with client.stream("POST", "/v1/chat/completions", json={**body, "messages": messages}) as got:
        if got.status_code != 200:
            got.read()
            raise Failed(_reason(got))
        for chunk in _chunks(got):
            _take(turn, chunk)
    return turn


def _reason(response: httpx.Response) -> str:
    try:
        return f"{response.status_code}: {response.json()['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return f"The proxy returned {response.status_code}."


def _chunks(response: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        if line.startswith("data: {"):
            chunk = json.loads(line[6:])
            if "error" in chunk:
                raise Failed(str(chunk["error"].get("message")))
            yield chunk


def _take(turn: Turn, chunk: dict[str, Any]) -> None:
    for choice in chunk.get("choices") or ():
        delta = choice["delta"]
        turn.text += delta.get("content") or ""
        turn.finish = choice.get("finish_reason") or turn.finish
        for part in delta.get("tool_calls") or ():
            if part.get("id"):
                turn.calls.append(
                    {"id": part["id"], "type": "function", "function": {**part["function"]}}
                )
            else:
                turn.calls[-1]["function"]["arguments"] += part["function"].get("arguments", "")
