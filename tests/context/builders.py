"""Models, conversations and a stand-in for Claude's tokenizer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random
from typing import Any

from addon.claude.model import Model, Prices
from addon.context.tokens.measure import Visual, parts
from addon.context.tokens.vocabulary import Vocabulary, weigh

NEW = Model(
    id="claude-sonnet-5",
    family="sonnet",
    context=1_000_000,
    max_output=128_000,
    prices=Prices(input=3, output=15, cache_write_5m=3.75, cache_write_1h=6, cache_read=0.3),
    thinking="adaptive",
    thinking_default=True,
    thinking_off="disabled",
    efforts=("low", "medium", "high"),
    default_effort="high",
    sampling=False,
    forced_tool_choice=True,
    prefill=False,
    mid_system=True,
    structured_outputs=True,
    interleaved_beta=False,
    display_default="omitted",
    preserved_thinking=False,
    account_bound=False,
    keeps_thinking=True,
    tokenizer="new",
    min_cacheable=512,
)
OLD = replace(
    NEW,
    id="claude-opus-4-5",
    family="opus",
    context=200_000,
    max_output=64_000,
    thinking="manual",
    tokenizer="old",
)
PRESERVED = replace(NEW, id="claude-sonnet-5-5", preserved_thinking=True)
FORGETFUL = replace(OLD, id="claude-haiku-4-5", family="haiku", keeps_thinking=False)

# Claude's tokens per cl100k token, by kind of text.
RATIOS = {
    "old": {"prose": 1.10, "docs": 1.20, "code": 1.26, "json": 1.27, "tools": 1.23},
    "new": {"prose": 1.57, "docs": 1.65, "code": 1.50, "json": 1.65, "tools": 1.60},
}


@cache
def vocabulary() -> Vocabulary:
    """The shipped vocabulary, loaded once for all tests."""
    loaded = Vocabulary()
    loaded.load()
    return loaded


def dice(seed: int | str) -> Random:
    return Random(seed)  # noqa: S311 - repeatable tests, no secrets


WORDS = [
    "the",
    "quick",
    "parser",
    "reads",
    "every",
    "token",
    "and",
    "returns",
    "a",
    "clean",
    "tree",
    "of",
    "nodes",
    "while",
    "the",
    "cache",
    "keeps",
    "what",
    "was",
    "seen",
    "before",
    "so",
    "that",
    "nothing",
    "is",
    "ever",
    "computed",
    "twice",
    "in",
    "one",
    "request",
    "unless",
    "somebody",
    "changes",
    "the",
    "input",
    "file",
]


def prose(rng: Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words)).capitalize() + ".\n"


def code(rng: Random, lines: int) -> str:
    def line(number: int) -> str:
        a, b, c = rng.choices(WORDS, k=3)
        return f"    {a}_{number} = self.{b}({c}, index={rng.randrange(10_000)})  # {a} {b}"

    return "def run(self):\n" + "\n".join(line(number) for number in range(lines)) + "\n"


def rows(rng: Random, count: int) -> str:
    return json.dumps(
        [{"id": rng.randrange(10**6), "name": rng.choice(WORDS), "ok": True} for _ in range(count)]
    )


TOOLS: list[dict[str, Any]] = [
    {
        "name": name,
        "description": f"{name} does what its name says, with care for {' '.join(WORDS[:12])}.",
        "input_schema": {
            "type": "object",
            "properties": {"path": {"type": "string", "description": "where"}},
        },
    }
    for name in ("read_file", "write_file", "run_shell", "grep")
]


def text(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def call(
    ident: str, path: str = "src/a.py", name: str = "read_file", say: str = "Let me look."
) -> dict[str, Any]:
    use = {"type": "tool_use", "id": ident, "name": name, "input": {"path": path}}
    return {"role": "assistant", "content": [{"type": "text", "text": say}, use]}


def result(ident: str, content: Any) -> dict[str, Any]:
    return {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": ident, "content": content}],
    }


@dataclass
class Conversation:
    """A chat that grows by turns: a question, some tool calls with results, an answer."""

    seed: int
    kind: str = "code"
    system: str = "You are a coding assistant. " * 30
    messages: list[dict[str, Any]] = field(default_factory=list)
    _rng: Random = field(init=False)

    def __post_init__(self) -> None:
        self._rng = dice(self.seed)

    def ask(self, words: int = 40) -> None:
        self.messages.append(text("user", prose(self._rng, words)))

    def answer(self, words: int = 80) -> None:
        self.messages.append(text("assistant", prose(self._rng, words)))

    def loop(self, lines: int = 60) -> None:
        ident = f"toolu_{self.seed}_{len(self.messages)}"
        self.messages.append(call(ident, path=f"src/{ident}.py"))
        body = rows(self._rng, lines) if self.kind == "json" else code(self._rng, lines)
        self.messages.append(
            result(ident, prose(self._rng, lines * 8) if self.kind == "prose" else body)
        )

    def turn(self, loops: int = 2, lines: int = 60) -> None:
        """One whole turn; the request for its answer is the state before `answer()` of the next call."""
        if self.messages:
            self.answer()
        self.ask()
        for _ in range(loops):
            self.loop(lines)

    def request(self, **extra: Any) -> dict[str, Any]:
        return {
            "model": NEW.id,
            "max_tokens": 8_000,
            "system": self.system,
            "tools": TOOLS,
            "messages": [dict(message) for message in self.messages],
            **extra,
        }


class Truth:
    """What "Claude" counts: another tokenizer, with a ratio by kind of text, noise of 2 % and framing of its own."""

    def __init__(self, family: str = "new", noise: float = 0.02) -> None:
        self._ratios = RATIOS[family]
        self._noise = noise
        self._seen: dict[str, float] = {}

    def count(self, request: dict[str, Any]) -> int:
        total = 560 + self._text(json.dumps(request.get("tools", [])), "tools") * bool(
            request.get("tools")
        )
        total += self._text(str(request.get("system", "")), "prose")
        for message in request["messages"]:
            total += 4 + sum(self._part(part) for part in parts(message["content"]))
        return round(total)

    def _part(self, part: str | Visual) -> float:
        return self._text(part, kind_of(part)) if isinstance(part, str) else 1500.0

    def _text(self, content: str, kind: str) -> float:
        if content not in self._seen:
            wobble = dice(content).uniform(1 - self._noise, 1 + self._noise)
            self._seen[content] = weigh(content) * self._ratios[kind] * wobble
        return self._seen[content]


def kind_of(content: str) -> str:
    if content.startswith(("def ", "read_file")):
        return "code"
    return "json" if content.startswith(("[", "{")) else "prose"
