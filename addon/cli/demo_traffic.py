"""The demo's example traffic: a coding session that meets a limit, falls back, misses the cache and is summarized."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from addon.api.readable import from_stream
from addon.core.own_http import sync_client
from addon.core.types import JsonObject
from addon.stand_in.access import kind_of
from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.limits import windows
from addon.stand_in.record import Received
from addon.stand_in.script import Answer, delivered, exhausted
from addon.stand_in.script import say as saying
from addon.stand_in.stream import thinking, tool_use

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
LIMIT_TOKENS = 20_000
"""The demo's CONTEXT_MAX_TOKENS: small, so that the session reaches it within a minute."""
RESET_SECONDS = 30
"""How long the example's limit lasts."""
BETWEEN, FIRST_BYTE, PER_EVENT = 1.5, 0.4, 0.05
"""Seconds between two requests, before a response and between its events, so that a person can follow."""
SUMMARY = "The login test fails because `expires` is compared in local time; session.py and its test were read."
SYSTEM = "You are a coding agent. Work in small steps and say what you do. " + " ".join(
    f"Rule {n}: keep to the style of the file that you edit, and run the tests after each change."
    for n in range(1, 150)
)
FILE = "\n".join(
    f"    def step_{n}(self, session):\n        return session.expires - self.clock.now()"
    for n in range(90)
)
"""Some 2,000 tokens, as a file that is read."""


def tool(name: str, argument: str) -> JsonObject:
    schema = {
        "type": "object",
        "properties": {argument: {"type": "string"}},
        "required": [argument],
    }
    described = {"name": name, "description": name.replace("_", " "), "parameters": schema}
    return {"type": "function", "function": described}


TOOLS = [tool("read_file", "path"), tool("edit_file", "path"), tool("run_tests", "name")]


class Traffic:
    """Plays client and Claude: each request's response is scripted just before it is sent."""

    def __init__(
        self, fake: FakeAnthropic, url: str, *, say: Callable[[str], None], pace: float = 1
    ) -> None:
        """`pace`: 1 for a person to follow, 0 as fast as it goes."""
        self.fake = fake
        self.say = say
        self.pace = pace
        self.http = sync_client(base_url=url, timeout=60, trust_env=False)
        self.system = SYSTEM
        self.messages: list[JsonObject] = []
        self.limited_until = 0.0

    def __enter__(self) -> Self:
        self.fake.script(saying(SUMMARY), when=is_summary)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.http.close()

    def run(self) -> None:
        for part in (self.begin, self.limit, self.others, self.cache_miss, self.grow, self.finish):
            part()

    # ---- the parts

    def begin(self) -> None:
        self.say("An agent is asked to fix a failing test. It thinks, then reads a file.")
        self.user("The login test fails since this morning. Find out why, and fix it.")
        first = thinking("Sessions expire; a clock may be wrong. First the test itself.")
        self.turn(first, call("read_file", path="tests/test_login.py"))
        self.results(FILE)
        self.say("Its next turn sends all of that again; most of it is read from the prompt cache.")
        self.turn(call("read_file", path="session.py"), call("read_file", path="clock.py"))
        self.results(FILE, "def now():\n    return datetime.now()")

    def limit(self) -> None:
        self.say("The subscription's limit is hit: the same request goes on with the API key.")
        self.limited_until = time.time() + RESET_SECONDS
        resets = {"5h": self.limited_until, "7d": time.time() + 200_000}
        self.fake.script([exhausted(resets)], when=lambda r: kind_of(r) == "oauth")
        self.turn("`now()` is local time, `expires` is UTC.", call("edit_file", path="clock.py"))
        self.results("edited")
        self.turn(call("run_tests", name="tests/test_login.py"))
        self.results("12 passed, 1 failed: test_summer_time")

    def others(self) -> None:
        self.say("Other clients: Anthropic Messages and OpenAI Responses.")
        self.post(
            MESSAGES,
            {
                "model": "claude-haiku-5-5",
                "max_tokens": 500,
                "stream": True,
                "messages": [{"role": "user", "content": "A title for this commit, please."}],
            },
            saying("Compare session expiry in UTC"),
        )
        self.post(
            RESPONSES,
            {"model": "claude-sonnet-5-5", "input": "What is a monotonic clock?", "stream": True},
            saying("A clock that never goes backwards, whatever happens to the time of day."),
        )

    def cache_miss(self) -> None:
        self.say(
            "The client changes its system prompt: the cache is missed, and the line says why."
        )
        self.system = f"{SYSTEM} It is {time.strftime('%H:%M')}."
        self.turn(call("read_file", path="tests/test_summer_time.py"))
        self.results(FILE)

    def grow(self) -> None:
        self.say(
            f"The conversation grows over its limit, here {LIMIT_TOKENS} tokens: it is summarized."
        )
        for name in ("zones.py", "calendar.py", "settings.py", "users.py", "tokens.py", "app.py"):
            self.turn(f"Next I look at {name}.", call("read_file", path=name))
            self.results(FILE)

    def finish(self) -> None:
        time.sleep(max(0, self.limited_until - time.time()) * self.pace)
        self.say("The limit's reset has come: the subscription serves again.")
        self.turn("All 13 tests pass: expiry is compared in UTC now, also in summer.")

    # ---- one request

    def user(self, text: str) -> None:
        self.messages.append({"role": "user", "content": text})

    def results(self, *texts: str) -> None:
        calls = self.messages[-1]["tool_calls"]
        for made, text in zip(calls, texts, strict=True):
            self.messages.append({"role": "tool", "tool_call_id": made["id"], "content": text})

    def turn(self, *blocks: str | JsonObject) -> None:
        body = {
            "model": "claude-opus-5-5-high",
            "stream": True,
            "stream_options": {"include_usage": True},
            "tools": TOOLS,
            "messages": [{"role": "system", "content": self.system}, *self.messages],
        }
        self.messages.append(assistant(self.post(CHAT, body, saying(*blocks))))

    def post(self, path: str, body: JsonObject, answer: Answer) -> JsonObject:
        """The response, which says what `answer` does."""
        used = windows({"5h": time.time() + 9_000, "7d": time.time() + 200_000}, utilization=0.62)
        paced = delivered(
            replace(answer, headers=used), hold=FIRST_BYTE * self.pace, every=PER_EVENT * self.pace
        )
        self.fake.script([paced], when=lambda r: r.path == MESSAGES and not is_summary(r))
        response = self.http.post(path, json=body)
        time.sleep(BETWEEN * self.pace)
        return from_stream(response.content)


def is_summary(request: Received) -> bool:
    return bool((request.json or {}).get("model") == "claude-opus-4-5")


def call(tool_name: str, **arguments: str) -> JsonObject:
    return tool_use(tool_name, arguments)


def assistant(response: JsonObject) -> JsonObject:
    """The message that a client keeps of a completion."""
    message = dict(response["choices"][0]["message"])
    if not message["tool_calls"]:
        del message["tool_calls"]
    message.pop("reasoning_content", None)  # as OpenAI clients do
    return message
