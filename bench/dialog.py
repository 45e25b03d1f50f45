"""A client that works with tools and resends its whole conversation on every turn, in either dialect."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from typing import Any

from bench.counting import SOURCES
from bench.workload import SYSTEM, tools


class Dialog(ABC):
    """The same `seed` gives the same conversation."""

    path: str

    def __init__(self, seed: int, model: str, first: int, step: int) -> None:
        """`first` and `step`: characters of the first message, and of what each turn adds."""
        self.random = random.Random(seed)
        self.lines = [
            line for path in SOURCES for line in path.read_text().splitlines(keepends=True)
        ]
        self.seed, self.model, self.step = seed, model, step
        self.questions = 0
        self.messages: list[dict[str, Any]] = []
        self.ask(first)

    @abstractmethod
    def body(self) -> dict[str, Any]:
        """The next request."""

    @abstractmethod
    def take(self, answer: dict[str, Any]) -> None:
        """Go on from an answer: with the results of its calls, or with the next question."""

    def ask(self, characters: int) -> None:
        self.questions += 1
        question = f"Step {self.questions}: go on with the work on the parser."
        text = f"Conversation {self.seed}. {self.code(characters)}\n{question}"
        self.messages.append({"role": "user", "content": text})

    def code(self, characters: int) -> str:
        """A run of lines of Python's own sources."""
        start = self.random.randrange(len(self.lines))
        found, size = [f"# part {self.random.randrange(10**9)}\n"], 0
        while size < characters:
            line = self.lines[start % len(self.lines)]
            start, size = start + 1, size + len(line)
            found.append(line)
        return "".join(found)


class ChatDialog(Dialog):
    """Chat Completions: thinking is not sent back."""

    path = "/v1/chat/completions"

    def body(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "max_tokens": 4096,
            "messages": [{"role": "system", "content": SYSTEM}, *self.messages],
            "tools": [{"type": "function", "function": tool} for tool in tools("parameters")],
        }

    def take(self, answer: dict[str, Any]) -> None:
        said = answer["choices"][0]["message"]
        calls = said.get("tool_calls") or []
        fields = {"content": said.get("content"), **({"tool_calls": calls} if calls else {})}
        self.messages.append({"role": "assistant", **fields})
        for call in calls:
            result = self.code(self.step)
            self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        if not calls:
            self.ask(self.step)


class NativeDialog(Dialog):
    """Anthropic's own form, with thinking sent back and nothing marked for the cache."""

    path = "/v1/messages"

    def body(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "max_tokens": 4096,
            "system": SYSTEM,
            "messages": self.messages,
            "tools": tools("input_schema"),
        }

    def take(self, answer: dict[str, Any]) -> None:
        content = answer["content"]
        self.messages.append({"role": "assistant", "content": content})
        results = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": self.code(self.step)}
            for block in content
            if block["type"] == "tool_use"
        ]
        if results:
            self.messages.append({"role": "user", "content": results})
        else:
            self.ask(self.step)
