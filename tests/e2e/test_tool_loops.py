"""Tool loops of ten steps with clients that throw thinking away: what Anthropic gets to see at each step.

The fake signs its thinking and refuses what the real one refuses: a forged or moved block, a changed prefix where
thinking is bound to it, a hole, and with a thinking budget a loop whose thinking is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.record import JsonObject, Received
from addon.stand_in.script import fail
from tests.budget import thorough_after
from tests.e2e.conftest import StartProxy, World
from tests.e2e.proxy import Proxy, rejected

MANUAL, ADAPTIVE, PRESERVED = "claude-opus-4-5", "claude-opus-4-8", "claude-opus-5-5"
GENERATIONS = (MANUAL, ADAPTIVE, PRESERVED, "claude-sonnet-5-5")
SYSTEM = "You read files."
ASK = '[[text Reading on. ]] [[loop 10 read {"path": "a.txt"}]]'
PARAMETERS = {"type": "object", "properties": {"path": {"type": "string"}}}
SIGNATURE_REFUSED = "messages.1.content.0: Invalid `signature` in `thinking` block"


class Agent(Protocol):
    """One client's way of running a tool loop."""

    def step(self) -> str:
        """Ask once, keep the answer as this client does, run its tools; gives the finish reason."""


@dataclass
class OpenAIAgent:
    """The openai SDK: keeps the text and `tool_calls` of an answer, and nothing else."""

    proxy: Proxy
    model: str
    streamed: bool = True
    result: str = "some text"
    messages: list[Any] = field(
        default_factory=lambda: [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": ASK},
        ]
    )

    def __post_init__(self) -> None:
        self.completions = self.proxy.openai().chat.completions

    def step(self) -> str:
        request: JsonObject = {
            "model": self.model,
            "reasoning_effort": "high",
            "messages": self.messages,
            "tools": [{"type": "function", "function": {"name": "read", "parameters": PARAMETERS}}],
        }
        if self.streamed:
            with self.completions.stream(**request) as stream:
                choice: Any = stream.get_final_completion().choices[0]
        else:
            choice = self.completions.create(**request).choices[0]
        kept = {"role": "assistant", "content": choice.message.content}
        calls = [
            {"id": c.id, "type": "function", "function": c.function.model_dump(include=CALLED)}
            for c in choice.message.tool_calls or ()
        ]
        self.messages.append(kept | ({"tool_calls": calls} if calls else {}))
        for call in calls:
            result = {"role": "tool", "tool_call_id": call["id"], "content": self.result}
            self.messages.append(result)
        return str(choice.finish_reason)

    def edit(self, turn: int) -> None:
        answers = [m for m in self.messages if m["role"] == "assistant"]
        answers[turn]["content"] = "Edited. "


CALLED = {"name", "arguments"}


@dataclass
class CursorAgent:
    """Cursor with a Claude model: Anthropic's blocks and tools in Chat Completions bodies, and streamed chunks back."""

    proxy: Proxy
    model: str
    messages: list[Any] = field(
        default_factory=lambda: [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": [{"type": "text", "text": ASK}]},
        ]
    )

    def step(self) -> str:
        response = self.proxy.post(
            "/v1/chat/completions",
            {
                "model": self.model,
                "reasoning_effort": "high",
                "messages": self.messages,
                "tools": [{"name": "read", "description": "d", "input_schema": PARAMETERS}],
                "tool_choice": {"type": "auto"},
                "stream": True,
            },
            verify=False,  # plain HTTP: without this, certificates would be loaded at each step
        )
        assert response.status_code == 200, response.text
        chunks = [json.loads(line[6:]) for line in response.text.splitlines() if is_chunk(line)]
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
        made = [call for choice in choices for call in choice["delta"].get("tool_calls") or ()]
        blocks: list[JsonObject] = [{"type": "text", "text": text}]
        if made:
            given = json.loads("".join(call["function"].get("arguments", "") for call in made))
            call_id, name = made[0]["id"], made[0]["function"]["name"]
            blocks.append({"type": "tool_use", "id": call_id, "name": name, "input": given})
            result = [{"type": "text", "text": "some text"}]
            results = [{"type": "tool_result", "tool_use_id": call_id, "content": result}]
            self.messages += [
                {"role": "assistant", "content": blocks},
                {"role": "user", "content": results},
            ]
        return str(next(c["finish_reason"] for c in choices if c.get("finish_reason")))


def is_chunk(line: str) -> bool:
    return line.startswith("data: {")


# ------------------------------------------------------------------------------------------- what Anthropic saw


def accepted(fake: FakeAnthropic) -> list[Received]:
    """Everything that came, after making sure that nothing of it was refused."""
    assert {request.status for request in fake.messages()} == {200}
    return fake.messages()


def thinking_at(request: Received) -> list[bool]:
    """For each earlier answer, whether it begins with its signed thinking."""
    answers = [m["content"] for m in request.json["messages"] if m["role"] == "assistant"]
    for content in answers:
        kinds = [block["type"] for block in content]
        assert "thinking" not in kinds[1:], "thinking belongs at the head"
    return [bool(content[0].get("signature")) for content in answers]


def thinks(request: Received) -> bool:
    return (request.json.get("thinking") or {}).get("type") in ("enabled", "adaptive")


def run(agent: Agent, steps: int) -> None:
    for _ in range(steps):
        assert agent.step() == "tool_calls"


@contextmanager
def no_memory(world: World, model: str) -> Iterator[OpenAIAgent]:
    """An agent with three steps behind it, before a proxy that has just been started."""
    first = OpenAIAgent(world.proxy, model)
    run(first, 3)
    world.fake.log.clear()
    with Proxy(world.fake.url) as proxy:
        yield OpenAIAgent(proxy, model, messages=first.messages)


# -------------------------------------------------------------------------------------------------- the loops


@pytest.mark.parametrize(
    ("model", "streamed"),
    [*((model, True) for model in GENERATIONS), (ADAPTIVE, False)],
    ids=[*GENERATIONS, f"{ADAPTIVE} not streamed"],
)
def test_all_thinking_comes_back_at_each_of_ten_steps(
    model: str, streamed: bool, world: World
) -> None:
    agent = OpenAIAgent(world.proxy, model, streamed)
    run(agent, 10)
    assert agent.step() == "stop"
    received = accepted(world.fake)
    assert [thinking_at(request) for request in received] == [[True] * n for n in range(11)]
    assert all(map(thinks, received))


@pytest.mark.parametrize("model", [MANUAL, ADAPTIVE, PRESERVED])
def test_cursors_mixed_dialect_gets_its_thinking_back_too(model: str, world: World) -> None:
    agent = CursorAgent(world.proxy, model)
    run(agent, 10)
    assert agent.step() == "stop"
    received = accepted(world.fake)
    assert [thinking_at(request) for request in received] == [[True] * n for n in range(11)]


@pytest.mark.parametrize(
    ("model", "after_loss"),
    [
        # what came after the edit keeps its thinking, what came before goes: no hole
        (ADAPTIVE, [[False] * 3 + [True] * n for n in range(3, 8)]),
        # everything after the edit was thought in another conversation
        (PRESERVED, [[False] * 6 + [True] * n for n in range(5)]),
        # a budget wants the whole loop's thinking or none
        (MANUAL, [[False] * n for n in range(6, 11)]),
    ],
    ids=[ADAPTIVE, PRESERVED, MANUAL],
)
def test_an_edited_answer_in_the_middle_loses_what_came_before(
    model: str, after_loss: list[list[bool]], world: World
) -> None:
    agent = OpenAIAgent(world.proxy, model)
    run(agent, 6)
    agent.edit(2)
    run(agent, 4)
    assert agent.step() == "stop"
    received = accepted(world.fake)
    assert [thinking_at(request) for request in received[6:]] == after_loss
    assert [thinks(request) for request in received[6:]] == [model != MANUAL] * 5


@pytest.mark.parametrize("model", thorough_after(1, [ADAPTIVE, PRESERVED, "claude-sonnet-5-5"]))
def test_a_restarted_proxy_goes_on_from_what_it_knows(model: str, world: World) -> None:
    with no_memory(world, model) as agent:
        run(agent, 7)
        assert agent.step() == "stop"
    received = accepted(world.fake)
    assert [thinking_at(request) for request in received] == [
        [False] * 3 + [True] * n for n in range(8)
    ]
    assert all(map(thinks, received))


def test_with_a_budget_thinking_is_off_until_the_loop_ends(world: World) -> None:
    with no_memory(world, MANUAL) as agent:
        run(agent, 7)
        assert agent.step() == "stop"
        agent.messages.append({"role": "user", "content": "Thanks. [[loop 2 read]]"})
        run(agent, 2)
    *loop, fresh, second = accepted(world.fake)
    assert not any(map(thinks, loop))
    assert thinks(fresh) and thinks(second)
    assert thinking_at(second)[-1]


@pytest.mark.parametrize("model", thorough_after(1, GENERATIONS))
def test_another_account_gets_nothing_of_the_firsts_thinking(
    model: str, fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    agent = OpenAIAgent(start_proxy(), model)
    run(agent, 5)
    fake.script([fail(429, headers=rejected())], when="oauth")
    run(agent, 5)
    assert agent.step() == "stop"
    assert [request.status for request in fake.messages("oauth")] == [200] * 5 + [429]
    paid = fake.messages("api_key")
    assert {request.status for request in paid} == {200}
    own = [[False] * 5 + [model != MANUAL] * n for n in range(6)]
    assert [thinking_at(request) for request in paid] == own


@pytest.mark.parametrize("model", GENERATIONS)
def test_a_refused_signature_costs_one_retry_without_thinking(model: str, world: World) -> None:
    agent = OpenAIAgent(world.proxy, model)
    run(agent, 4)
    world.fake.script([fail(400, SIGNATURE_REFUSED)])
    run(agent, 6)
    assert agent.step() == "stop"
    received = world.fake.messages()
    assert [request.status for request in received] == [200] * 4 + [400] + [200] * 7
    assert (thinking_at(received[4]), thinking_at(received[5])) == ([True] * 4, [False] * 4)
    assert thinks(received[5]) is (model != MANUAL)


def test_a_second_refusal_is_the_clients(world: World) -> None:
    agent = CursorAgent(world.proxy, ADAPTIVE)
    run(agent, 2)
    world.fake.script([fail(400, SIGNATURE_REFUSED)] * 2)
    with pytest.raises(AssertionError, match="Invalid `signature`"):
        agent.step()
    assert [request.status for request in world.fake.messages()] == [200, 200, 400, 400]


@pytest.mark.parametrize("model", thorough_after(1, GENERATIONS))
def test_a_conversation_that_is_trimmed_on_its_way_stays_valid(
    model: str, fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    limits = {"CONTEXT_STRATEGY": "trim", "CONTEXT_MAX_TOKENS": "9000"}
    agent = OpenAIAgent(start_proxy(**limits), model, result="word " * 350)
    for asked in range(1, 5):
        agent.messages.append({"role": "user", "content": f"Part {asked}. [[loop 9 read]]"})
        run(agent, 4)
    seen = [thinking_at(request) for request in accepted(fake)]
    trimmed = next(n for n, row in enumerate(seen) if len(row) < n)
    assert any(map(any, seen[trimmed:])), "thinking after the cut comes back"
