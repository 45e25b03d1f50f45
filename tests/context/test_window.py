from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies

from addon.claude.digest import fingerprint_of
from addon.claude.model import Model
from addon.context import summarizer as summarizer_module
from addon.context.selection import choose
from addon.context.summarizer import PAUSE_SECONDS, Summarizer, SummaryResponse, SummaryTasks
from addon.context.summary_memory import SummaryMemory
from addon.context.tokens.counter import TokenCounter
from addon.context.window import ContextManager, Fitted, KnownCuts, is_surely_short
from addon.core.errors import BadRequest, CCProxyError, RateLimited
from addon.core.lru import Lru
from tests.clock import Clock
from tests.context.builders import (
    NEW,
    OLD,
    PRESERVED,
    Conversation,
    Truth,
    result,
    text,
    vocabulary,
)
from tests.context.validator import conversations, problems, unhurried

LIMIT, TARGET = 40_000, 34_000


@dataclass
class Upstream:
    """The summarizing model: keeps what it was asked, answers as long as a summary should be."""

    bodies: list[dict[str, Any]] = field(default_factory=list)
    error: Exception | None = None
    answer: str | None = None
    complete: bool = True
    gate: asyncio.Event | None = None

    async def __call__(self, body: dict[str, Any]) -> SummaryResponse:
        self.bodies.append(body)
        if self.gate:
            await self.gate.wait()
        if self.error:
            raise self.error
        made = f"Summary number {len(self.bodies)}. " + "It was done as asked, in src/a.py. " * 60
        return SummaryResponse(
            text=made if self.answer is None else self.answer, cost=0.01, complete=self.complete
        )

    @property
    def prompts(self) -> list[str]:
        return [body["messages"][0]["content"] for body in self.bodies]


@dataclass
class World:
    """One process with its state directory."""

    manager: ContextManager
    upstream: Upstream
    counter: TokenCounter
    clock: Clock
    background: set[asyncio.Task[Any]]
    memory: SummaryMemory

    async def fit(self, request: dict[str, Any], model: Model = NEW) -> Fitted:
        fitted = await self.manager.fit(request, model)
        assert problems(fitted.request) == []
        assert fitted.count.total <= fitted.limit
        assert fitted.fingerprint == fingerprint_of(fitted.request)
        return fitted


type Start = Callable[..., World]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made = ExitStack()

    def make(
        upstream: Upstream | None = None,
        *,
        key: bool = True,
        directory: Path | None = None,
        **options: Any,
    ) -> World:
        clock, upstream = Clock(), upstream or Upstream()
        counter = TokenCounter(vocabulary(), clock=clock)
        made.callback(counter.close)
        memory = SummaryMemory(directory or tmp_path / "summaries", clock)
        background: set[asyncio.Task[Any]] = set()
        summarizer = Summarizer(
            upstream if key else None,
            memory,
            counter,
            model=OLD,
            clock=clock,
            tasks=SummaryTasks(background),
        )
        options = {"limit": LIMIT, "target": TARGET, **options}
        return World(
            ContextManager(counter, summarizer, **options),
            upstream,
            counter,
            clock,
            background,
            memory,
        )

    with made:
        yield make


def long(turns: int = 24, seed: int = 1) -> Conversation:
    """Some 1,700 tokens a turn."""
    conversation = Conversation(seed)
    for _ in range(turns):
        conversation.turn(loops=1, lines=40)
    return conversation


def same_start(one: Fitted, other: Fitted) -> bool:
    """All of what was sent before is sent again, byte by byte."""
    before, after = one.request["messages"], other.request["messages"]
    return json.dumps(before) == json.dumps(after[: len(before)])


async def test_a_short_conversation_is_left_alone(start: Start):
    world, request = start(), long(5).request()
    fitted = await world.fit(request)
    assert (fitted.action, fitted.request, fitted.notes) == ("none", request, ())
    assert not world.upstream.bodies


SHORT = {"messages": [text("user", "Hello.")]}
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
LOOK = {"role": "user", "content": [{"type": "text", "text": "Look."}, IMAGE]}
COULD_BE_LONG: dict[str, Any] = {
    "by its bytes": {"messages": [text("user", "x" * NEW.min_cacheable)]},
    "an image elsewhere": {"messages": [LOOK]},
    "thinking put back": {"messages": [text("user", "a"), text("assistant", "b")]},
    "tools": {**SHORT, "tools": [{"name": "f", "input_schema": {"type": "object"}}]},
    "no room for max_tokens": {**SHORT, "max_tokens": NEW.context},
}


@pytest.mark.parametrize("request_", COULD_BE_LONG.values(), ids=list(COULD_BE_LONG))
def test_what_could_be_long_is_counted(request_: dict[str, Any]):
    assert not is_surely_short(request_, NEW, len(json.dumps(request_)), limit=LIMIT)
    size = len(json.dumps(SHORT))
    assert is_surely_short(SHORT, NEW, size, limit=LIMIT)
    assert not is_surely_short(SHORT, NEW, size, limit=size)


@unhurried
@given(strategies.lists(strategies.text(max_size=200), min_size=1), strategies.booleans())
def test_what_is_surely_short_has_few_tokens(texts: list[str], ascii_only: bool):
    request = {"max_tokens": 100, "messages": [text("user", each) for each in texts]}
    size = len(json.dumps(request, ensure_ascii=ascii_only).encode())
    if is_surely_short(request, NEW, size, limit=LIMIT):
        counter = TokenCounter(vocabulary(), clock=Clock())
        assert counter.count(request, NEW).total <= size < NEW.min_cacheable
        counter.close()


async def test_a_long_one_is_summarized_to_the_target(start: Start):
    world, request = start(), long(26).request()
    original = json.dumps(request)
    fitted = await world.fit(request)
    assert fitted.before > LIMIT
    assert fitted.count.total <= TARGET
    assert (fitted.action, fitted.cost, len(world.upstream.bodies)) == ("summarized", 0.01, 1)
    assert json.dumps(request) == original
    assert fitted.request["messages"][:3] == request["messages"][:3]
    assert fitted.request["messages"][-10:] == request["messages"][-10:]
    assert fitted.request["tools"] == request["tools"]


async def test_log_line_says_what_it_cost_and_where_to_look(start: Start):
    fitted = await start().fit(long(26).request())
    (note,) = fitted.notes
    assert note.startswith("🔄 ")
    assert "messages summarized" in note
    assert f"$0.01 · /context/{fitted.summary}" in note


async def test_every_replaced_message_is_in_the_prompt(start: Start):
    world, request = start(), long(26).request()
    fitted = await world.fit(request)
    kept = {json.dumps(message) for message in fitted.request["messages"]}
    replaced = [message for message in request["messages"] if json.dumps(message) not in kept]
    assert len(replaced) >= 5
    for message in replaced:
        content = message["content"]
        block = {"text": content} if isinstance(content, str) else content[-1]
        mark = block.get("text") or block.get("content") or block["input"]["path"]
        assert mark[:300] in world.upstream.prompts[0]


async def test_what_was_replaced_can_be_looked_at(start: Start):
    world, request = start(), long(26).request()
    fitted = await world.fit(request)
    shown = await world.memory.show(fitted.summary or "")
    assert shown
    assert shown["replaced"] == request["messages"][shown["start"] : shown["end"]]
    assert world.memory.ids() == [fitted.summary]


async def test_the_same_request_again_costs_nothing_and_is_the_same(start: Start):
    world, request = start(), long(26).request()
    first, again = await world.fit(request), await world.fit(request)
    assert (again.action, again.cost) == ("reused", 0)
    assert json.dumps(first.request) == json.dumps(again.request)
    assert len(world.upstream.bodies) == 1


async def test_the_prefix_stays_while_the_conversation_grows(start: Start):
    world, conversation = start(), long(26)
    before = await world.fit(conversation.request())
    for _ in range(2):
        conversation.turn(loops=1, lines=20)
        after = await world.fit(conversation.request())
        assert after.action == "reused"
        assert same_start(before, after)
        before = after


async def test_a_restart_pays_nothing_again(start: Start):
    conversation = long(26)
    before = await start().fit(conversation.request())
    conversation.turn(loops=1, lines=20)
    again = start()
    after = await again.fit(conversation.request())
    assert not again.upstream.bodies
    assert same_start(before, after)


async def test_a_summary_in_use_stays_when_estimates_change(start: Start):
    world, request = start(), long(26).request()
    before = await world.fit(request)
    world.counter.learn(request, NEW, round(LIMIT * 0.9))
    after = await world.fit(request)
    assert after.before < LIMIT
    assert (after.action, after.request) == ("reused", before.request)


async def test_growth_is_merged_and_only_what_is_new_is_read(start: Start):
    world, conversation = start(), long(26)
    await world.fit(conversation.request())
    for _ in range(16):
        conversation.turn(loops=1, lines=40)
        await world.fit(conversation.request())
    first, second, *_ = world.upstream.prompts
    assert "Summary number 1." in second
    assert "<earlier_summary>" not in first
    mark = conversation.messages[6]["content"][0]["content"][:200]
    assert (mark in first, mark in second) == (True, False)


async def test_after_five_merges_the_whole_is_summarized_anew(start: Start):
    world, conversation = start(), long(26)
    for _ in range(120):
        await world.fit(conversation.request())
        conversation.turn(loops=1, lines=40)
    merged = ["<earlier_summary>" in prompt for prompt in world.upstream.prompts]
    assert merged[:8] == [False, *[True] * 5, False, True]


async def test_an_incomplete_summary_is_not_built_upon(start: Start):
    world, conversation = start(Upstream(complete=False)), long(26)
    for _ in range(26):
        await world.fit(conversation.request())
        conversation.turn(loops=1, lines=40)
    assert len(world.upstream.prompts) >= 2
    assert not any("<earlier_summary>" in prompt for prompt in world.upstream.prompts)


async def test_going_back_in_the_conversation_reuses_the_earlier_summary(start: Start):
    world, conversation = start(), long(26)
    before = await world.fit(conversation.request())
    for _ in range(30):
        conversation.turn(loops=1, lines=40)
        await world.fit(conversation.request())
    calls = len(world.upstream.bodies)
    back = long(25)
    back.messages[-1] = result(back.messages[-1]["content"][0]["tool_use_id"], "line\n" * 3_000)
    after = await world.fit(back.request())
    assert (after.action, after.cost, len(world.upstream.bodies)) == ("reused", 0, calls)
    assert after.request["messages"][-10:] == back.messages[-10:]
    assert before.request["messages"][:3] == after.request["messages"][:3]


async def test_calls_are_at_most_one_for_twenty_thousand_tokens_of_growth(start: Start):
    world, conversation, truth = start(limit=200_000, target=180_000), Conversation(3), Truth()
    totals, previous, breaks = [], None, 0
    for _ in range(75):
        conversation.turn(loops=2, lines=90)
        fitted = await world.fit(conversation.request())
        totals.append(truth.count(conversation.request()))
        world.manager.learn(fitted, {"usage": {"input_tokens": truth.count(fitted.request)}})
        breaks += previous is not None and not same_start(previous, fitted)
        previous = fitted
    assert totals[-1] > 350_000
    calls = len(world.upstream.bodies)
    assert 3 <= calls <= (totals[-1] - 200_000) / 20_000 + 1
    assert breaks == calls


async def test_auto_target_makes_fewer_and_deeper_summaries(start: Start, tmp_path: Path):
    counts = {}
    for target in (TARGET, "auto"):
        world, conversation = start(target=target, directory=tmp_path / str(target)), long(20)
        for _ in range(60):
            conversation.turn(loops=1, lines=40)
            await world.fit(conversation.request())
        counts[target] = len(world.upstream.bodies)
    assert counts["auto"] < counts[TARGET]


async def test_parallel_requests_share_one_call(start: Start):
    world, conversation = start(Upstream(gate=asyncio.Event())), long(26)
    one = conversation.request()
    conversation.turn(loops=0)
    other = conversation.request()
    running = [asyncio.create_task(world.fit(request)) for request in (one, other, one)]
    await until(lambda: bool(world.upstream.bodies))
    gate = world.upstream.gate
    assert gate
    gate.set()
    results = await asyncio.gather(*running)
    assert len(world.upstream.bodies) == 1
    assert {fitted.summary for fitted in results} == {results[0].summary}
    assert sorted(fitted.cost for fitted in results) == [0, 0, 0.01]


async def test_other_conversations_do_not_wait(start: Start):
    world = start(Upstream(gate=asyncio.Event()))
    running = [asyncio.create_task(world.fit(long(26, seed).request())) for seed in (1, 2)]
    await until(lambda: len(world.upstream.bodies) == 2)
    gate = world.upstream.gate
    assert gate
    gate.set()
    await asyncio.gather(*running)


async def test_a_client_that_leaves_does_not_waste_the_call(start: Start):
    world, request = start(Upstream(gate=asyncio.Event())), long(26).request()
    leaving = asyncio.create_task(world.fit(request))
    await until(lambda: bool(world.upstream.bodies))
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    gate = world.upstream.gate
    assert gate
    gate.set()
    assert (await world.fit(request)).action == "reused"
    assert len(world.upstream.bodies) == 1


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came")


FAILURES = {
    "no-key": Upstream(),
    "budget-spent": Upstream(error=CCProxyError("the budget of $5 is spent")),
    "rate-limited": Upstream(error=RateLimited("slow down")),
    "empty": Upstream(answer=""),
    "too-short": Upstream(answer="I can't help with that."),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_when_no_summary_comes_it_is_trimmed(start: Start, failure: str):
    upstream = replace(FAILURES[failure], bodies=[])
    world = start(upstream, key=failure != "no-key")
    request = long(26).request()
    fitted = await world.fit(request)
    assert fitted.action == "trimmed"
    assert fitted.count.total <= TARGET
    assert fitted.notes[-1].startswith("✂️ trimmed: ")
    assert len(upstream.bodies) == (failure != "no-key")


async def test_a_failing_summarizer_is_left_in_peace_for_a_while(start: Start):
    world, conversation = start(Upstream(error=CCProxyError("down"))), long(26)
    for _ in range(3):
        await world.fit(conversation.request())
        conversation.turn(loops=0)
    assert len(world.upstream.bodies) == 1
    world.clock.now += PAUSE_SECONDS + 1
    world.upstream.error = None
    assert (await world.fit(conversation.request())).action == "summarized"


async def test_a_call_that_hangs_is_given_up(start: Start, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(summarizer_module, "TIMEOUT_SECONDS", 0.02)
    world = start(Upstream(gate=asyncio.Event()))
    assert (await world.fit(long(26).request())).action == "trimmed"


async def test_a_bug_in_the_call_is_not_swallowed(start: Start):
    with pytest.raises(ZeroDivisionError):
        await start(Upstream(error=ZeroDivisionError())).fit(long(26).request())


async def test_made_ahead_the_crossing_turn_does_not_wait(start: Start):
    world, conversation = start(), long(10)
    prepared_at = 0
    while (fitted := await world.fit(conversation.request())).action == "none":
        await world.manager.prepare_ahead(fitted)
        prepared_at = prepared_at or (len(world.upstream.bodies) and fitted.before)
        conversation.turn(loops=1, lines=40)
    assert (fitted.action, fitted.cost) == ("reused", 0)
    assert 0.75 * LIMIT < prepared_at <= LIMIT
    assert len(world.upstream.bodies) == 1
    assert fitted.count.total <= LIMIT


async def test_a_summary_that_is_ready_is_used_at_once(start: Start):
    """Every turn until the limit would read what it replaces."""
    world, conversation = start(), long(10)
    while not world.upstream.bodies:
        conversation.turn(loops=1, lines=40)
        fitted = await world.fit(conversation.request())
        await world.manager.prepare_ahead(fitted)
    assert fitted.action == "none"
    conversation.turn(loops=0)
    fitted = await world.fit(conversation.request())
    assert fitted.action == "reused" and fitted.before <= LIMIT


async def test_one_summary_replaces_what_two_would(start: Start):
    """Since the conversation is expected to need both; in the end as much is left."""
    world, conversation = start(limit=60_000, target=54_000), long(10)
    while (fitted := await world.fit(conversation.request())).action == "none":
        conversation.turn(loops=1, lines=40)
    left = fitted.count.total
    assert 60_000 - 3.5 * 6_000 / 0.7 < left < 60_000 - 1.5 * 6_000 / 0.7


@pytest.mark.parametrize("target", [TARGET, "auto"])
async def test_the_cheapest_depth_is_reached_before_the_limit(start: Start, target: Any):
    world, conversation = start(target=target), long(10)
    while (fitted := await world.fit(conversation.request())).action == "none":
        await world.manager.prepare_ahead(fitted)
        conversation.turn(loops=1, lines=10)
    share = fitted.before / LIMIT
    assert 0.65 < share < 0.85 if target == "auto" else 0.85 < share < 1


async def test_ahead_of_need_is_still_once(start: Start):
    world, conversation, previous, breaks = start(limit=60_000, target=50_000), long(10), None, 0
    for _ in range(50):
        fitted = await world.fit(conversation.request())
        assert not fitted.cost
        await world.manager.prepare_ahead(fitted)
        breaks += previous is not None and not same_start(previous, fitted)
        previous = fitted
        conversation.turn(loops=1, lines=40)
    assert len(world.upstream.bodies) - 1 <= breaks <= len(world.upstream.bodies)


async def test_ahead_of_need_leaves_short_conversations_alone(start: Start):
    world = start()
    await world.manager.prepare_ahead(await world.fit(long(5).request()))
    assert not world.upstream.bodies


async def test_the_last_prompt_and_plan_survive_word_for_word(start: Start):
    world, conversation = start(), long(2)
    todo = {
        "type": "tool_use",
        "id": "todo",
        "name": "TodoWrite",
        "input": {"todos": ["polish the parser"]},
    }
    conversation.answer()
    conversation.messages += [
        text("user", "Make it fast, in Österreich."),
        {"role": "assistant", "content": [todo]},
    ]
    conversation.messages += [result("todo", "ok")]
    for _ in range(40):
        conversation.loop(lines=40)
    fitted = await world.fit(conversation.request())
    (subscription,) = (
        m for m in fitted.request["messages"] if "[Context Summary - " in str(m["content"])
    )
    shown = [block["text"] for block in subscription["content"]]
    assert "Make it fast, in Österreich." in shown
    assert 'TodoWrite: {"todos": ["polish the parser"]}' in shown


def thoughtful(turns: int) -> Conversation:
    conversation = long(turns)
    for at, message in enumerate(conversation.messages):
        if message["role"] == "assistant":
            thought = {"type": "thinking", "thinking": "", "signature": f"sig{at}"}
            blocks = message["content"]
            blocks = [{"type": "text", "text": blocks}] if isinstance(blocks, str) else blocks
            message["content"] = [thought, *blocks]
    return conversation


@pytest.mark.parametrize("key", [True, False], ids=["summarized", "trimmed"])
async def test_thinking_bound_to_the_old_prefix_is_left_out(start: Start, key: bool):
    world, conversation = start(key=key), thoughtful(26)
    fitted = await world.fit(conversation.request(), PRESERVED)
    assert "signature" not in json.dumps(fitted.request["messages"])
    fresh = {"type": "thinking", "thinking": "", "signature": "new"}
    conversation.messages.append(
        {"role": "assistant", "content": [fresh, {"type": "text", "text": "ok"}]}
    )
    conversation.messages.append(text("user", "go on"))
    after = await world.fit(conversation.request(), PRESERVED)
    assert json.dumps(after.request["messages"]).count("signature") == 1
    assert same_start(fitted, after)


async def test_thinking_of_other_models_stays(start: Start):
    fitted = await start().fit(thoughtful(26).request(), NEW)
    assert "signature" in json.dumps(fitted.request["messages"])


async def test_strategy_none_touches_nothing(start: Start):
    world, request = start(strategy="none"), long(40).request()
    fitted = await world.manager.fit(request, NEW)
    assert (fitted.action, fitted.request) == ("none", request)
    assert fitted.count.total > LIMIT


async def test_strategy_trim_keeps_its_cuts_while_they_suffice(start: Start):
    world, conversation = start(strategy="trim"), long(26)
    before, breaks = await world.fit(conversation.request()), 0
    for _ in range(16):
        conversation.turn(loops=1, lines=40)
        after = await world.fit(conversation.request())
        breaks += not same_start(before, after)
        before = after
    assert 2 <= breaks <= 6
    assert not world.upstream.bodies


async def test_what_can_not_be_made_to_fit_is_sent_for_anthropic_to_judge(start: Start):
    messages = [text("user" if at % 2 == 0 else "assistant", f"{at} " * 1_500) for at in range(13)]
    world = start(limit=30_000, target=20_000)
    fitted = await world.manager.fit({"messages": messages}, NEW)
    assert fitted.count.total > fitted.limit
    again = await world.manager.fit({"messages": messages}, NEW)
    assert again.request == fitted.request


async def test_a_summary_that_could_not_help_is_not_paid_for(start: Start):
    """The newest messages alone are over the limit, so that they have to be cut anyway."""
    world, conversation = start(), long(3)
    for _ in range(12):
        conversation.loop(lines=200)
    assert (await world.fit(conversation.request())).action == "trimmed"
    assert not world.upstream.bodies


async def test_limit_auto_is_the_window_of_the_model(start: Start):
    world, request = start(limit="auto", target="auto"), long(26).request()
    assert (await world.fit(request)).limit == 1_000_000
    small = replace(NEW, context=LIMIT)
    assert (await world.fit(request, small)).action == "summarized"
    assert not world.counter.needs_count(request, NEW, 1_000_000)


async def test_a_client_that_asks_for_the_whole_window_gets_it(start: Start):
    world, request = start(strategy="trim"), long(26).request()
    assert (await world.fit(request)).action == "trimmed"
    fitted = await world.manager.fit(request, NEW, whole_window=True)
    assert (fitted.limit, fitted.action) == (1_000_000, "none")
    assert not world.manager.may_prepare(fitted)
    small = await world.manager.fit(request, replace(NEW, context=LIMIT), whole_window=True)
    assert (small.limit, small.action) == (LIMIT, "trimmed")


async def test_a_limit_above_the_window_is_the_window(start: Start):
    world = start(limit=300_000, target=250_000)
    fitted = await world.fit(long(26).request(), replace(NEW, context=LIMIT))
    assert (fitted.limit, fitted.action) == (LIMIT, "summarized")


@pytest.mark.parametrize("target", [40_000, 50_000])
def test_a_target_that_is_not_below_the_limit_is_refused_at_start(start: Start, target: int):
    with pytest.raises(ValueError, match="must be below"):
        start(limit=40_000, target=target)


async def test_max_tokens_gives_way_near_the_window(start: Start):
    world, request = start(limit="auto", target="auto"), long(26).request(max_tokens=64_000)
    fitted = await world.fit(request, replace(NEW, context=90_000))
    assert fitted.action == "none"
    assert fitted.request["max_tokens"] == 90_000 - fitted.count.upper
    assert {**fitted.request, "max_tokens": 64_000} == request


async def test_max_tokens_stays_above_a_thinking_budget(start: Start):
    thinking = {"type": "enabled", "budget_tokens": 30_000}
    request = long(26).request(max_tokens=64_000, thinking=thinking)
    fitted = await start(limit="auto", target="auto").fit(request, replace(NEW, context=70_000))
    assert fitted.request["max_tokens"] == 30_001


async def test_a_summarized_view_is_counted_by_its_own_conversation(start: Start):
    """What other conversations taught is of another kind of text, and half as dense."""
    world, truth = start(limit=60_000, target=50_000), Truth(noise=0)
    for seed in range(10, 16):
        other = long(4, seed).request()
        world.counter.count(other, NEW)
        world.counter.learn(other, NEW, round(truth.count(other) * 0.6))
    conversation = long(12)
    for _ in range(60):
        fitted = await world.fit(conversation.request())
        if fitted.action == "summarized":
            break
        world.manager.learn(fitted, {"usage": {"input_tokens": truth.count(fitted.request)}})
        conversation.turn(loops=1, lines=40)
    assert fitted.count.total == pytest.approx(truth.count(fitted.request), rel=0.05)


ODD_CONTENT: list[Any] = [
    None,
    [{}],
    [{"type": "text"}],
    [{"type": "tool_use"}],
    [{"type": "tool_result", "content": [{"type": "text"}, {}]}],
    [{"type": "tool_result", "content": {"type": "text"}}],
    [{"type": "new_block", "content": 7}, {"type": "image"}, {"type": "document", "source": 3}],
    [{"type": "document", "source": {"type": "content", "content": None}}],
]
"""What the translation lets through, and Anthropic rejects or will accept one day."""


@pytest.mark.parametrize("strategy", ["none", "summarize", "trim"])
@pytest.mark.parametrize("content", ODD_CONTENT, ids=str)
async def test_content_of_an_unknown_shape_is_left_for_anthropic_to_judge(
    start: Start, content: Any, strategy: str
):
    world = start(strategy=strategy)
    for at in (4, 30, -1):
        request = long(30).request()
        odd = {"role": request["messages"][at]["role"], "content": content}
        request["messages"][at] = odd
        fitted = await world.manager.fit(request, PRESERVED)
        assert fitted.action != "none" or odd in fitted.request["messages"]
    missing = {"messages": [{"role": "user"}]}
    assert (await world.manager.fit(missing, NEW)).request == missing


async def test_a_refusal_teaches_and_is_answered_with_a_trimmed_request(start: Start):
    world, request = start(), long(20).request()
    fitted = await world.fit(request)
    true = round(fitted.count.total * 2.2)
    again = await world.manager.after_refusal(
        fitted, f"prompt is too long: {true} tokens > {LIMIT} maximum"
    )
    assert again
    assert again.action == "trimmed"
    assert problems(again.request) == []
    assert again.count.total * 2.2 <= LIMIT
    assert world.counter.count(request, NEW).total == true


async def test_a_refused_trimmed_request_is_trimmed_harder(start: Start):
    world, request = start(key=False), long(26).request()
    fitted = await world.fit(request)
    again = await world.manager.after_refusal(
        fitted, f"prompt is too long: {LIMIT + 5_000} tokens > {LIMIT} maximum"
    )
    assert again
    assert problems(again.request) == []
    assert again.count.total < 0.9 * fitted.count.total


async def test_a_refusal_that_can_not_be_helped_tells_upstreams_numbers(start: Start):
    fitted = await start().fit({"messages": [text("user", "word " * 20_000)]})
    refusal = "prompt is too long: 41000 tokens > 900 maximum"
    with pytest.raises(BadRequest, match=rf"^{refusal}\. It is too long even") as caught:
        await start().manager.after_refusal(fitted, refusal)
    assert (caught.value.param, caught.value.code) == ("messages", "context_length_exceeded")


async def test_a_refusal_for_max_tokens_is_answered_with_less(start: Start):
    fitted = await start().fit(long(20).request(max_tokens=21_333))
    message = "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length"
    again = await start().manager.after_refusal(fitted, message)
    assert again
    assert again.request["max_tokens"] == 11_760


async def test_another_refusal_is_none_of_our_business(start: Start):
    world = start()
    assert (
        await world.manager.after_refusal(await world.fit(long(5).request()), "messages: bad role")
        is None
    )


async def test_digests_that_the_caller_has_are_used(start: Start):
    world, request = start(), long(5).request()
    fitted = await world.manager.fit(
        request, NEW, [bytes([at]) * 16 for at in range(len(request["messages"]))]
    )
    assert fitted.fingerprint.messages[2] == b"\x02" * 16


async def test_cuts_are_handed_on_for_the_same_limits_alone(start: Start):
    cuts: KnownCuts = Lru(8)
    chat = long(26)
    trimmed = await start(strategy="trim", cuts=cuts).fit(chat.request())
    chat.turn(loops=0)
    went_on = await start(strategy="trim", cuts=cuts).fit(chat.request())
    raised = await start(strategy="trim", cuts=cuts, limit=2 * LIMIT).fit(chat.request())
    assert [fitted.action for fitted in (trimmed, went_on, raised)] == [
        "trimmed",
        "trimmed",
        "none",
    ]
    assert same_start(trimmed, went_on)


async def test_a_call_whose_client_has_left_is_in_the_background_until_it_is_kept(start: Start):
    world, request = start(Upstream(gate=asyncio.Event())), long(26).request()
    asking = asyncio.create_task(world.fit(request))
    await until(lambda: bool(world.upstream.bodies))
    asking.cancel()
    await asyncio.wait({asking})
    assert len(world.background) == 1
    gate = world.upstream.gate
    assert gate
    gate.set()
    await asyncio.wait(set(world.background))
    assert len(world.memory.ids()) == 1 and not world.background


@unhurried
@given(conversations(most_turns=10, most_lines=250))
def test_whatever_comes_fits_or_is_cut_as_far_as_may_be(messages: list[dict[str, Any]]):
    async def both() -> None:
        upstream, clock = Upstream(), Clock()
        counter = TokenCounter(vocabulary(), clock=clock)
        memory = SummaryMemory(None, clock)
        summarizer = Summarizer(
            upstream, memory, counter, model=OLD, clock=clock, tasks=SummaryTasks()
        )
        manager = ContextManager(counter, summarizer, limit=20_000, target=16_000)
        request = {"messages": messages}
        try:
            fitted = await manager.fit(request, NEW)
            again = await manager.fit(request, NEW)
        finally:
            counter.close()
        assert problems(fitted.request) == []
        kept = fitted.request["messages"]
        if fitted.action == "summarized":
            more = choose(kept, fitted.count.per_message, 1, after=fitted.view.covered)
            assert fitted.count.total <= 16_000 or more is None or len(upstream.bodies) == 2
            assert (kept[:3], kept[-10:]) == (messages[:3], messages[-10:])
        assert fitted.count.total <= 20_000 or fitted.action == "trimmed"
        assert len(upstream.bodies) <= 2
        assert json.dumps(again.request) == json.dumps(fitted.request)

    asyncio.run(both())
