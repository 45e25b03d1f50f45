"""`demo --check`: sends the real proxy, with a stand-in for Anthropic behind it, requests whose results are known.

It prints what is sent and received, and returns 1 if a result is not as expected.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator

import httpx

from addon.api.readable import from_stream
from addon.cli.own_proxy import proxy
from addon.cli.round_trip import TOOL
from addon.core.own_http import sync_client
from addon.core.types import JsonObject
from addon.stand_in.access import kind_of
from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.record import Received
from addon.stand_in.script import fail

LINE = "─" * 78
CHAT = "/v1/chat/completions"
LIMITED = "Pretend that my limit is used up."
"""The stand-in returns 429 to the subscription when a message contains this text."""


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def check() -> int:
    say(
        "This is a demo. Anthropic is a stand-in on this machine: no account, no internet, no cost."
    )
    with FakeAnthropic() as fake, tempfile.TemporaryDirectory(prefix="ccproxy-demo-") as home:
        fake.script(
            fail(429, "This account's limit is used up.", headers=rejected()), when=is_limited
        )
        with proxy(home, fake.url) as base:
            problems = [*streamed_tool_call(base), *fallback(base), *health(base)]
        problems += seen_by_the_stand_in(fake)
    for problem in problems:
        say(f"UNEXPECTED: {problem}")
    say("Done, with problems." if problems else "\nDone: everything worked as expected.")
    return 1 if problems else 0


def is_limited(request: Received) -> bool:
    return kind_of(request) == "oauth" and LIMITED.encode() in request.body


def rejected() -> dict[str, str]:
    """The headers that Anthropic sends when the five-hour limit is used up."""
    name = "anthropic-ratelimit-unified"
    return {
        f"{name}-status": "rejected",
        f"{name}-5h-status": "rejected",
        f"{name}-5h-utilization": "1.0",
        f"{name}-5h-reset": str(int(time.time()) + 7200),
    }


def streamed_tool_call(base: str) -> Iterator[str]:
    heading("1. A streamed chat with a tool call, in OpenAI's format")
    body = {
        "model": "claude-4.5-opus-high-thinking",
        "stream": True,
        "tools": [TOOL],
        "messages": [{"role": "user", "content": 'Weather? [[tool get_weather {"city": "Oslo"}]]'}],
    }
    say(f"POST {base}/v1/chat/completions")
    say(f"  model {body['model']}, one tool, stream: true")
    _, completion = chat(base, body)
    message, finish = completion["choices"][0]["message"], completion.get("finish_reason")
    functions = [call["function"] for call in message["tool_calls"]]
    calls = "".join(function["name"] + function["arguments"] for function in functions)
    say(f"  thinking:      {message['reasoning_content']!r}")
    say(f"  tool call:     {calls}")
    say(f"  finish_reason: {finish}")
    if calls != 'get_weather{"city":"Oslo"}' and calls != 'get_weather{"city": "Oslo"}':
        yield f"the tool call was {calls!r}"
    if finish != "tool_calls":
        yield f"finish_reason was {finish!r}"


def fallback(base: str) -> Iterator[str]:
    heading("2. The subscription is at its limit: the same request is served with the API key")
    body = {
        "model": "claude-opus-5",
        "stream": True,
        "messages": [{"role": "user", "content": LIMITED}],
    }
    headers, completion = chat(base, body)
    source, reason = headers.get("x-ccproxy-source"), headers.get("x-ccproxy-reason")
    text = completion["choices"][0]["message"]["content"]
    say(f"  x-ccproxy-source: {source}   x-ccproxy-reason: {reason}")
    say(f"  response: {text!r}")
    if (source, reason) != ("api_key", "rate_limited") or not text:
        yield f"served by {source} because of {reason}, with {text!r}"


def health(base: str) -> Iterator[str]:
    heading("3. GET /health")
    with sync_client(base_url=base, timeout=10) as http:
        body = http.get("/health").json()
    say(json.dumps(body, indent=2))
    if body["status"] != "ok" or not body["claudeCode"]["authenticated"]:
        yield "the proxy reports a problem"


def seen_by_the_stand_in(fake: FakeAnthropic) -> Iterator[str]:
    heading("4. What the stand-in received")
    rows = [(kind_of(request), request.status) for request in fake.messages()]
    for request in fake.messages():
        say(f"  {request.method} {request.target}  {kind_of(request):<8} → {request.status}")
    if rows != [("oauth", 200), ("oauth", 429), ("api_key", 200)]:
        yield f"the stand-in received {rows}"


def heading(text: str) -> None:
    say(f"\n{LINE}\n{text}\n{LINE}")


def chat(base: str, body: JsonObject) -> tuple[httpx.Headers, JsonObject]:
    """The headers of a streamed response, and the completion that it describes."""
    with sync_client(base_url=base, timeout=30) as http:
        response = http.post(CHAT, json=body)
    return response.headers, from_stream(response.content)
