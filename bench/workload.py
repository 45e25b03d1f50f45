"""Requests in both dialects, and what a complete answer to them says."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any, Literal

type Dialect = Literal["chat", "messages"]

MODEL = "claude-sonnet-4-5"
SNIPPETS = (
    "The plan is simple: ",
    'value["key"] = {\'a\': "b\\n"}\n',
    "caf\u00e9 \u2014 na\u00efve \U0001f680 ",
    "if a < b && c > d:\n\t",
    " and so on.\n\n",
)
"""Quotes, escapes, line ends and text beyond ASCII: what a translation gets wrong first."""
SYSTEM = "You edit code with care, and say in a few words what you did. " * 140
TOOLS = 15


@dataclass(frozen=True, slots=True)
class Order:
    """What the fake upstream is told to answer; it stands in the request's last message."""

    deltas: int = 20
    gap_ms: int = 0
    """Between two deltas; 0: as fast as it goes."""
    first_ms: int = 0
    """Before the first event."""
    stamped: bool = False
    """Each delta says when it was sent, in microseconds of the monotonic clock, which processes share."""
    hang: bool = False
    """Nothing comes after the deltas."""

    def __str__(self) -> str:
        return (
            f"[[bench deltas={self.deltas} gap={self.gap_ms} first={self.first_ms}"
            f" stamped={int(self.stamped)} hang={int(self.hang)}]]"
        )


def delta_text(number: int, stamp: int = 0) -> str:
    return f"{number}@{stamp};{SNIPPETS[number % len(SNIPPETS)]}"


def expected_text(deltas: int) -> str:
    return "".join(map(delta_text, range(deltas)))


def short_request(dialect: Dialect, order: Order, *, stream: bool) -> bytes:
    messages = [{"role": "user", "content": f"Say something. {order}"}]
    body = {"model": MODEL, "max_tokens": 256, "stream": stream, "messages": messages}
    return json.dumps(body).encode()


class Editor:
    """A made-up conversation of an editor's agent: each turn asks, calls tools, gets their results."""

    def __init__(self, seed: int, characters: int = 6000) -> None:
        """`characters`: about the size of a tool's result."""
        self.random = random.Random(seed)
        self.characters = characters
        self.turns: list[dict[str, Any]] = []
        """Chat Completions messages, the system message apart."""

    def grow(self, messages: int) -> None:
        """Until there are so many messages, with whole turns of five: question, two calls, their results, answer."""
        while len(self.turns) < messages:
            self._turn()

    def _turn(self) -> None:
        number = len(self.turns)
        calls = [f"call_{number}_{i}" for i in range(2)]
        self.turns += [
            {"role": "user", "content": f"Step {number}. {self._code(300)}"},
            {
                "role": "assistant",
                "content": f"I read two files for step {number}.",
                "tool_calls": [self._call(ident) for ident in calls],
            },
            *(
                {"role": "tool", "tool_call_id": ident, "content": self._code(self.characters // 2)}
                for ident in calls
            ),
            {"role": "assistant", "content": self._code(400)},
        ]

    def _call(self, ident: str) -> dict[str, Any]:
        arguments = {"path": f"src/{ident}.py", "start_line": self.random.randrange(999)}
        name = f"tool_{self.random.randrange(TOOLS)}"
        function = {"name": name, "arguments": json.dumps(arguments)}
        return {"id": ident, "type": "function", "function": function}

    def _code(self, characters: int) -> str:
        lines: list[str] = []
        while sum(map(len, lines)) < characters:
            name, value = self.random.choice(_NAMES), self.random.randrange(10_000)
            lines.append(f'    self.{name}[{value}] = {self.random.choice(_NAMES)}("{name}")\n')
        return "".join(lines)

    def request(self, dialect: Dialect, order: Order) -> bytes:
        """The whole conversation with one more question."""
        question = {"role": "user", "content": f"Go on. {order}"}
        chat = [*self.turns, question]
        if dialect == "chat":
            body: dict[str, Any] = {
                "messages": [{"role": "system", "content": SYSTEM}, *chat],
                "tools": [{"type": "function", "function": tool} for tool in tools("parameters")],
            }
        else:
            body = {
                "system": SYSTEM,
                "messages": _as_messages(chat),
                "tools": tools("input_schema"),
            }
        body |= {"model": MODEL, "max_tokens": 4096, "stream": True}
        return json.dumps(body, ensure_ascii=False).encode()


_NAMES = (
    "index",
    "buffer",
    "stream",
    "token",
    "response",
    "header",
    "parse",
    "encode",
    "decode",
    "handler",
    "client",
    "server",
)


def tools(schema: str) -> list[dict[str, Any]]:
    properties = {
        name: {"type": "string", "description": f"The {name} that the call is about. " * 2}
        for name in ("path", "query", "start_line", "note", "explanation")
    }
    return [
        {
            "name": f"tool_{number}",
            "description": "Reads a part of a file and gives its lines with their numbers. " * 8,
            schema: {"type": "object", "properties": properties, "required": ["path"]},
        }
        for number in range(TOOLS)
    ]


def _as_messages(chat: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same turns in Anthropic's form, for the targets that translate nothing."""
    messages: list[dict[str, Any]] = []
    for turn in chat:
        blocks = _blocks(turn)
        role = "assistant" if turn["role"] == "assistant" else "user"
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": role, "content": blocks})
    return messages


def _blocks(turn: dict[str, Any]) -> list[dict[str, Any]]:
    if turn["role"] == "tool":
        result = {"type": "tool_result", "tool_use_id": turn["tool_call_id"]}
        return [{**result, "content": turn["content"]}]
    calls = [
        {
            "type": "tool_use",
            "id": call["id"],
            "name": call["function"]["name"],
            "input": json.loads(call["function"]["arguments"]),
        }
        for call in turn.get("tool_calls", ())
    ]
    return [{"type": "text", "text": turn["content"]}, *calls]
