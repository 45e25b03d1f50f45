"""Tests a streamed tool call and its result through a proxy, as an agent uses it."""

from __future__ import annotations

import httpx

from addon.api.readable import from_stream
from addon.core.own_http import sync_client
from addon.core.types import JsonObject

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


def try_tool(url: str, key: str, model: str, ask: str) -> str | None:
    """Why it does not work, or None if it does. `url`: the proxy's, without /v1."""
    messages: list[JsonObject] = [{"role": "user", "content": ask}]
    try:
        with sync_client(base_url=url, timeout=120, trust_env=False) as client:
            client.headers["authorization"] = f"Bearer {key}"
            finish, message = _ask(client, model, messages)
            calls = message["tool_calls"]
            if finish != "tool_calls" or len(calls) != 1:
                return f"No tool was called: the response ended with {finish}."
            result = {"role": "tool", "tool_call_id": calls[0]["id"], "content": f"{WORD} degrees"}
            messages += [{"role": "assistant", "content": None, "tool_calls": calls}, result]
            finish, message = _ask(client, model, messages)
    except (httpx.HTTPError, ValueError, Failed) as error:
        return str(error) or type(error).__name__
    if finish != "stop" or not message["content"]:
        return f"There was no response to the tool's result: it ended with {finish}."
    return None


def _ask(
    client: httpx.Client, model: str, messages: list[JsonObject]
) -> tuple[str | None, JsonObject]:
    """The finish reason and the message of a streamed response. Raises Failed."""
    body = {"model": model, "stream": True, "max_tokens": 400, "tools": [TOOL]}
    response = client.post("/v1/chat/completions", json={**body, "messages": messages})
    if response.status_code != 200:
        raise Failed(_reason(response))
    completion = from_stream(response.content)
    if "error" in completion:
        raise Failed(str(completion["error"].get("message")))
    return completion.get("finish_reason"), completion["choices"][0]["message"]


def _reason(response: httpx.Response) -> str:
    try:
        return f"{response.status_code}: {response.json()['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return f"The proxy returned {response.status_code}."
