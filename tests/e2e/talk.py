"""Conversations that are long enough to be summarized, and what reaches the fake of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.record import Received
from addon.stand_in.script import Answer, say

SUMMARIZER = "claude-opus-4-5"
SUMMARY = "The parser was read file by file, and nothing in it was changed so far. " * 12
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
SYSTEM = "You are a coding assistant, and you read before you write. " * 40
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "read_file",
            "description": "Reads a file and gives its lines.",
            "parameters": {
                "type": "object",
                "properties": {"path": {"type": "string"}},
                "required": ["path"],
            },
        },
    }
]


@dataclass
class Talk:
    """A chat client's conversation; each turn has a question, a call of a tool and its result. `name` tells it from
    others."""

    name: str
    model: str = "claude-opus-4-8"
    words: int = 600
    """Of each tool result, about 1.3 tokens each."""
    system: str = SYSTEM
    messages: list[dict[str, Any]] = field(default_factory=list)

    def grow(self, turns: int = 1) -> Talk:
        for _ in range(turns):
            number = len(self.messages)
            if number:
                self.messages.append({"role": "assistant", "content": self._mark("answer")})
            self.messages.append({"role": "user", "content": self._mark("question")})
            call = {"name": "read_file", "arguments": json.dumps({"path": self._mark("path")})}
            ident = f"call_{self.name}_{number}"
            self.messages.append(
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": ident, "type": "function", "function": call}],
                }
            )
            content = f"{self._mark('result')} " + "one word of the file " * (self.words // 5)
            self.messages.append({"role": "tool", "tool_call_id": ident, "content": content})
        return self

    def show(self, image: str = PIXEL) -> Talk:
        """The first question comes with a picture, and so does the second."""
        for message in [m for m in self.messages if m["role"] == "user"][:2]:
            url = {"url": f"data:image/png;base64,{image}"}
            text = {"type": "text", "text": message["content"]}
            message["content"] = [text, {"type": "image_url", "image_url": url}]
        return self

    def _mark(self, kind: str) -> str:
        return f"{kind}-{len(self.messages)}-of-{self.name}"

    def body(self, **more: Any) -> dict[str, Any]:
        messages = [{"role": "system", "content": self.system}, *self.messages]
        return {"model": self.model, "messages": messages, "tools": TOOLS, **more}


def asks_for_summary(request: Received) -> bool:
    return bool((request.json or {}).get("model") == SUMMARIZER)


def summaries(fake: FakeAnthropic) -> list[Received]:
    return [request for request in fake.messages() if asks_for_summary(request)]


def turns(fake: FakeAnthropic) -> list[Received]:
    """The requests of the conversation itself."""
    return [request for request in fake.messages() if not asks_for_summary(request)]


def script_summary(fake: FakeAnthropic, answer: Answer | None = None) -> None:
    fake.script(answer or say(SUMMARY), when=lambda r: asks_for_summary(r))


def unmarked(value: Any) -> Any:
    """Without `cache_control`, which moves from turn to turn, and in one form: a text as its block."""
    if isinstance(value, list):
        return [unmarked(item) for item in value]
    if not isinstance(value, dict):
        return value
    bare = {key: unmarked(item) for key, item in value.items() if key != "cache_control"}
    if isinstance(bare.get("content"), str) and "role" in bare:
        bare["content"] = [{"type": "text", "text": bare["content"]}]
    return bare


def marks(value: Any) -> int:
    """How many `cache_control` there are in it."""
    if isinstance(value, list):
        return sum(map(marks, value))
    if not isinstance(value, dict):
        return 0
    return ("cache_control" in value) + sum(marks(item) for item in value.values())
