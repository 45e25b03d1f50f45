"""Random conversations with loss, edits, forks and switches, before a judge that knows Anthropic's rules."""

import copy
import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from addon.claude.model import Model
from addon.claude.thinking_store import Scope, StoreLimits, ThinkingStore
from tests.budget import examples
from tests.claude.support import CATALOGUE, answer, call, results, text, user
from tests.clock import Clock

MODELS = ("claude-opus-4-5", "claude-haiku-4-5", "claude-opus-4-8", "claude-opus-5-5")


@dataclass
class Minted:
    """A thinking block as Claude gave it."""

    block: dict[str, Any]
    account: str
    model: str
    prefix: str
    before: list[str]
    """Signatures of the thinking that it was thought with."""
    content: list[dict[str, Any]]


@dataclass
class Judge:
    """What Anthropic checks of thinking sent back."""

    minted: dict[str, Minted] = field(default_factory=dict)
    thinking_turns: set[str] = field(default_factory=set)
    """Tool ids of turns that had thinking."""
    count: int = 0

    def check(self, request: dict[str, Any], account: str, model: Model) -> None:
        present: list[str] = []
        for index, message in enumerate(request["messages"]):
            signatures = [b["signature"] for b in message["content"] if b["type"] == "thinking"]
            left_out = self.thinking_turns & {b.get("id") for b in message["content"]}
            assert not (present and left_out and not signatures), "a hole"
            for signature in signatures:
                minted = self.minted[signature]
                assert message["content"] == minted.content, "a turn was changed"
                assert (minted.account, minted.model) == (account, model.id), "foreign thinking"
                shown = minted.before[len(minted.before) - len(present) :]
                assert present == shown, "a hole, or thinking put back that was left out"
                if model.preserved_thinking:
                    assert minted.prefix == prefix_of(request, index), "bound to another prefix"
                present.append(signature)
        if request.get("thinking", {}).get("type") == "enabled":
            self.check_loop(request["messages"])

    def check_loop(self, messages: list[dict[str, Any]]) -> None:
        if not is_result(messages[-1]):
            return
        start = max(i for i, m in enumerate(messages) if m["role"] == "user" and not is_result(m))
        first = messages[start + 1]["content"][0]
        assert first["type"] == "thinking", "Expected `thinking` or `redacted_thinking`"

    def answer(
        self, request: dict[str, Any], account: str, thinks: int, calls: int
    ) -> dict[str, Any]:
        """With `thinks` blocks (0 to 2) and `calls` tool calls; plain text if there are none."""
        self.count += 1
        names = [f"sig{self.count}.{i}" for i in range(thinks)]
        blocks = [
            {"type": "thinking", "thinking": f"because {name}", "signature": name} for name in names
        ]
        rest = [call(f"toolu_{self.count}_{i}", n=i) for i in range(calls)] or [text("done")]
        content = [*blocks[:1], text("note "), *blocks[1:], *rest]
        before = [
            b["signature"]
            for m in request["messages"]
            for b in m["content"]
            if b["type"] == "thinking"
        ]
        for block, name in zip(blocks, names, strict=True):
            prefix = prefix_of(request, len(request["messages"]))
            self.minted[name] = Minted(
                block, account, request["model"], prefix, list(before), content
            )
            before.append(name)
        return answer(*content)


def is_result(message: dict[str, Any]) -> bool:
    return message["role"] == "user" and message["content"][0]["type"] == "tool_result"


def joined(message: dict[str, Any]) -> list[dict[str, Any]]:
    """A message as clients keep it: no thinking, all text in one piece."""
    said = "".join(b["text"] for b in message["content"] if b["type"] == "text")
    rest = [b for b in message["content"] if b["type"] not in ("text", "thinking")]
    return [*([text(said)] if said else []), *rest]


def prefix_of(request: dict[str, Any], end: int) -> str:
    def bare(message: dict[str, Any]) -> list[dict[str, Any]]:
        return [b for b in message["content"] if b["type"] != "thinking"]

    return json.dumps([request["system"], [bare(m) for m in request["messages"][:end]]])


ASK = st.tuples(st.just("ask"), st.integers(0, 2), st.integers(0, 2), st.booleans(), st.booleans())
ASK_WELL = st.tuples(
    st.just("ask"), st.integers(1, 2), st.integers(0, 1), st.just(True), st.just(True)
)
HISTORY = st.sampled_from(["edit", "undo", "fork", "go back", "edit user", "record again"])
ACTIONS = st.one_of(
    ASK,
    ASK_WELL,
    st.tuples(HISTORY, st.integers(0, 5)),
    st.tuples(st.sampled_from(["account", "thinking", "system"]), st.integers(0, 1)),
    st.tuples(st.just("model"), st.sampled_from(MODELS)),
    st.tuples(st.just("wait"), st.sampled_from([10, 7300])),
)
LOST = ("ask", 1, 1, False, False)
ACCIDENTS = (("edit", "undo"), ("fork", "go back"), ("edit", "edit"), (LOST, "record again"))


def detour(accident: tuple[Any, Any], well: tuple[Any, ...], number: int) -> list[tuple[Any, ...]]:
    """Something happens, the conversation goes on, it is undone, the conversation goes on."""
    happens, undone = accident
    return [well, happens if happens is LOST else (happens, number), well, (undone, number), well]


DETOURS = st.builds(detour, st.sampled_from(ACCIDENTS), ASK_WELL, st.integers(0, 1))
STORIES = st.one_of(
    st.lists(ACTIONS, max_size=25),
    st.lists(DETOURS, min_size=1, max_size=4).map(
        lambda parts: [a for part in parts for a in part]
    ),
)


class Client:
    def __init__(self, model: str, limits: StoreLimits) -> None:
        self.clock = Clock()
        self.store = ThinkingStore(self.clock, limits)
        self.judge = Judge()
        self.model = CATALOGUE.get(model)
        self.account = "0"
        self.system = "0"
        self.thinks = True
        self.messages: list[dict[str, Any]] = []
        self.edits: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
        self.branches: list[list[dict[str, Any]]] = []
        self.recorded: list[tuple[Any, ...]] = []

    def do(self, action: tuple[Any, ...]) -> None:
        match action:
            case ("ask", thinks, calls, record, with_mark):
                self.ask(thinks, calls, record, with_mark)
            case ("edit", number) if self.turns():
                message = self.messages[self.pick(number)]
                self.edits.append((message, message["content"]))
                message["content"] = [text(f"edited {number}"), *message["content"][1:]]
            case ("edit user", number) if self.messages:
                block = self.messages[number % len(self.messages)]["content"][0]
                block.update({"text": f"{number}"} if block["type"] == "text" else {})
            case ("undo", number) if self.edits:
                message, content = self.edits[-1 - number % len(self.edits)]
                message["content"] = content
            case ("fork", number) if self.turns():
                self.branches.append(self.messages)
                self.messages = self.messages[: self.pick(number) - 1 + number % 2 * 2]
            case ("go back", number) if self.branches:
                self.branches.append(self.messages)
                self.messages = list(self.branches[-1 - number % len(self.branches)])
            case ("record again", number) if self.recorded:
                self.store.record(*self.recorded[-1 - number % len(self.recorded)])
            case _:
                self.switch(action)

    def switch(self, action: tuple[Any, ...]) -> None:
        match action:
            case ("account", number):
                self.account = str(number)
            case ("system", number):
                self.system = str(number)
            case ("thinking", number):
                self.thinks = bool(number)
            case ("model", model):
                self.model = CATALOGUE.get(model)
            case ("wait", seconds):
                self.clock.now += seconds

    def turns(self) -> list[int]:
        return [i for i, m in enumerate(self.messages) if m["role"] == "assistant"]

    def pick(self, number: int) -> int:
        return self.turns()[-1 - number % len(self.turns())]

    def ask(self, thinks: int, calls: int, record: bool, with_mark: bool) -> None:
        last = self.messages[-1]["content"] if self.messages else []
        ids = [b["id"] for b in last if b["type"] == "tool_use"]
        self.messages.append(results(*ids) if ids else user("go on"))
        request = self.request()
        before = copy.deepcopy(request)
        scope = Scope("me", self.account, self.model.id)
        restored = self.store.restore(scope, request, self.model)
        assert request == before
        sent = restored.request
        self.judge.check(sent, self.account, self.model)
        assert [joined(m) for m in sent["messages"]] == [joined(m) for m in self.messages]
        message = self.judge.answer(sent, self.account, thinks if "thinking" in sent else 0, calls)
        arguments = (
            (scope, sent, message, restored.position) if with_mark else (scope, sent, message)
        )
        self.recorded.append(arguments)
        if record:
            self.store.record(*arguments)
        self.messages.append({"role": "assistant", "content": joined(message)})

    def request(self) -> dict[str, Any]:
        request = {
            "model": self.model.id,
            "system": self.system,
            "messages": copy.deepcopy(self.messages),
        }
        if self.thinks and self.model.thinking == "manual":
            return {**request, "thinking": {"type": "enabled", "budget_tokens": 2000}}
        return {**request, "thinking": {"type": "adaptive"}} if self.thinks else request


@settings(max_examples=examples(600), deadline=None)
@given(
    st.sampled_from(MODELS),
    STORIES,
    st.sampled_from(
        [StoreLimits(), StoreLimits(conversation_bytes=3000), StoreLimits(total_bytes=3000)]
    ),
)
def test_no_body_is_refused(
    model: str, actions: list[tuple[Any, ...]], limits: StoreLimits
) -> None:
    client = Client(model, limits)
    for action in actions:
        client.do(action)
    client.ask(1, 0, True, True)


@settings(max_examples=examples(60), deadline=None)
@given(
    st.sampled_from([m for m in MODELS if CATALOGUE.get(m).keeps_thinking]),
    st.lists(
        st.tuples(st.integers(1, 2), st.integers(0, 3), st.booleans()), min_size=1, max_size=12
    ),
)
def test_without_loss_all_thinking_comes_back(
    model: str, steps: list[tuple[int, int, bool]]
) -> None:
    client = Client(model, StoreLimits())
    for thinks, calls, with_mark in steps:
        client.ask(thinks, calls, True, with_mark)
    sent = client.store.restore(Scope("me", "0", model), client.request(), client.model).request
    signatures = [
        b["signature"] for m in sent["messages"] for b in m["content"] if b["type"] == "thinking"
    ]
    assert signatures == list(client.judge.minted)
