"""Random conversations of a client that drops thinking, with loss, edits and switches: nothing that would be sent is
refused by the fake Anthropic, which checks every field, every signature and every prefix; nor is any thinking dropped
by it, as it may be where the request allows that. No sockets here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from addon.claude.names import parse
from addon.claude.subscription_request import SUBSCRIPTION_BETAS, for_subscription, with_betas
from addon.claude.thinking import ThinkingOptions, apply_thinking
from addon.claude.thinking_records import Scope, StoreLimits
from addon.claude.thinking_store import Position, ThinkingStore
from addon.claude.turns import has_thinking
from addon.core.json_codec import dumps
from addon.stand_in.access import API_KEY, OAUTH_TOKEN
from addon.stand_in.messages import Accepted, Judge
from addon.stand_in.record import JsonObject
from addon.stand_in.stream import Turn, text, thinking, tool_use
from addon.stand_in.thinking import takes_thinking
from addon.translation.from_anthropic.by_dialect import whole_response
from addon.translation.to_anthropic.request import translate_chat
from addon.translation.types import RequestOptions, Translation
from tests.budget import examples
from tests.claude.support import CATALOGUE
from tests.clock import Clock

MODELS = (
    "claude-opus-4-5",
    "claude-haiku-4-5",
    "claude-opus-4-6",
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
    "claude-fable-5-1",
)
ACCOUNTS = ("subscription", "api key")
READ = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}


def headers(account: str, betas: frozenset[str]) -> list[tuple[str, str]]:
    subscription = account == "subscription"
    return [
        ("anthropic-version", "2023-06-01"),
        *with_betas([], [*(SUBSCRIPTION_BETAS if subscription else ()), *betas]),
        ("authorization", f"Bearer {OAUTH_TOKEN}") if subscription else ("x-api-key", API_KEY),
    ]


def turn(taken: Accepted, thoughts: int, calls: int) -> Turn:
    """With up to two thoughts (the second between text and calls), if the request lets the model think."""
    thinks = takes_thinking(taken.seen, taken.model, set(taken.betas))
    blocks = [thinking(f"thought {n}") for n in range(thoughts if thinks else 0)]
    blocks.insert(1, text("So. "))
    if taken.body.get("tools"):
        blocks += [tool_use("read", {"n": n}) for n in range(calls)]
    return Turn(blocks=tuple(blocks))


@dataclass
class Client:
    """Speaks Chat Completions, and keeps of an answer what such a client keeps."""

    model: str
    limits: StoreLimits = field(default_factory=StoreLimits)
    account: str = "subscription"
    system: str = "s"
    effort: str | None = "high"
    messages: list[Any] = field(default_factory=list)
    judge: Judge = field(default_factory=Judge)
    branches: list[list[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = ThinkingStore(Clock(), self.limits)

    def do(self, action: tuple[Any, ...]) -> None:
        match action:
            case ("ask", words, thoughts, calls, remembered):
                self.ask(words, thoughts, calls, remembered)
            case ("edit", number) if self.answers():
                self.answers()[number % len(self.answers())]["content"] = f"edited {number}"
            case ("edit call", number) if self.calls():
                call = self.calls()[number % len(self.calls())]
                call["function"] = {"name": "read", "arguments": f'{{"n": {number}0}}'}
            case ("cut", number):
                self.branches.append(self.messages)
                self.messages = self.messages[: -1 - number]
            case ("drop the oldest", number):
                self.messages = self.messages[number:]
            case ("go back", number) if self.branches:
                self.messages = list(self.branches[number % len(self.branches)])
            case ("restart", _):
                self.store = ThinkingStore(Clock(), self.limits)
            case ("begin", words):
                self.messages.append({"role": "assistant", "content": words})
            case (("model" | "account" | "system" | "effort") as name, value):
                setattr(self, name, value)

    def ask(self, words: str | None, thoughts: int, calls: int, remembered: bool) -> None:
        """`words` None: nothing is added, so the results (or what was begun) are the last."""
        self.messages += self.results()
        if words is not None or not self.messages:
            self.messages.append({"role": "user", "content": words or "hi"})
        translation, sent, mark, betas = self.outgoing()
        taken = self.judge.accept(headers(self.account, betas), dumps(sent))
        assert taken.transformations == [], "thinking was sent that Anthropic had to drop"
        answer = self.judge.answer(taken, turn(taken, thoughts, calls))
        if remembered:
            self.store.record(self.scope(), sent, answer, mark)
        kept = whole_response("chat", answer, translation.reply, 0)["choices"][0]["message"]
        seen = {name: kept[name] for name in ("role", "content", "tool_calls") if name in kept}
        self.messages.append(json.loads(json.dumps(seen)))

    def results(self) -> list[JsonObject]:
        calls = (self.messages[-1].get("tool_calls") or []) if self.messages else []
        return [{"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in calls]

    def outgoing(self) -> tuple[Translation, JsonObject, Position | None, frozenset[str]]:
        choice = parse(self.model)
        assert choice is not None
        model = CATALOGUE.get(choice.id)
        body: JsonObject = {
            "model": self.model,
            "messages": [{"role": "system", "content": self.system}, *self.messages],
            "tools": [READ],
        }
        if self.effort:
            body["reasoning_effort"] = self.effort
        translation = translate_chat(body, model, RequestOptions())
        given = translation.max_tokens_given
        prepared = apply_thinking(
            translation.request,
            translation.thinking_request,
            model,
            ThinkingOptions(),
            max_tokens_given=given,
            choice=choice,
        )
        request = prepared.request
        if self.account == "subscription":
            request = for_subscription(request, "Help.")
        restored = self.store.restore(self.scope(), request, model)
        return translation, restored.request, restored.position, prepared.betas

    def scope(self) -> Scope:
        return Scope("me", self.account, self.model)

    def answers(self) -> list[JsonObject]:
        return [m for m in self.messages if m["role"] == "assistant"]

    def calls(self) -> list[JsonObject]:
        return [call for m in self.answers() for call in m.get("tool_calls") or ()]


numbers = st.integers(0, 5)


def asks() -> st.SearchStrategy[tuple[Any, ...]]:
    words = st.sampled_from([None, None, "go on"])
    return st.tuples(st.just("ask"), words, st.integers(0, 2), st.integers(0, 2), remembered)


remembered = st.sampled_from([True, True, True, False])
accidents = st.tuples(
    st.sampled_from(["edit", "edit call", "cut", "drop the oldest", "go back", "restart"]), numbers
)
switches = st.one_of(
    st.tuples(st.just("model"), st.sampled_from(MODELS[-4:])),
    st.tuples(st.just("account"), st.sampled_from(ACCOUNTS)),
    st.tuples(st.just("system"), st.sampled_from(["s", "t"])),
    st.tuples(st.just("effort"), st.sampled_from([None, "none", "low", "max"])),
    st.tuples(st.just("begin"), st.sampled_from(["{", "And so ", ""])),
)
# Equal strategies would count as one, and hardly any thinking would come into being.
actions = st.one_of(*(asks() for _ in range(10)), accidents, switches)
stories = st.lists(actions, min_size=8, max_size=25)
small = st.sampled_from([StoreLimits(), StoreLimits(conversation_bytes=5000)])


@given(st.sampled_from(MODELS), small, stories)
@settings(max_examples=examples(150))
def test_nothing_is_refused(model: str, limits: StoreLimits, story: list[tuple[Any, ...]]) -> None:
    client = Client(model, limits)
    for action in story:
        client.do(action)
    client.ask("the end", 1, 0, True)


@given(st.sampled_from(MODELS), st.lists(st.integers(1, 2), min_size=2, max_size=8))
@settings(max_examples=examples(40))
def test_a_loop_without_accidents_sends_all_thinking_back(model: str, steps: list[int]) -> None:
    """So that the other test can't pass by never sending any."""
    client = Client(model)
    for step, calls in enumerate(steps):
        client.ask("go" if step == 0 else None, 1, calls, True)
    client.messages += client.results()
    _, sent, _, betas = client.outgoing()
    taken = client.judge.accept(headers(client.account, betas), dumps(sent))
    turns = [has_thinking(m) for m in sent["messages"] if m["role"] == "assistant"]
    thinks_between_tools = taken.model.interleaved != "never"
    assert turns == [step == 0 or thinks_between_tools for step in range(len(steps))]
