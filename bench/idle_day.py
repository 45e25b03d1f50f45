"""What pauses in conversations cost: days of conversations with `CACHE_TTL` 5m, 1h, auto, and with an oracle.

`python -m bench.idle_day`: the addon that marks prompts, against the fake's accounting of Anthropic's cache, on a clock
that the bench moves. A day begins with a proxy that knows nothing, and the proxy is not told which day it is.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mitmproxy.test import tflow

from addon.addons.prompt_cache import CacheMemory, PromptCache
from addon.claude.cache_lifetime import LONG, SHORT, Lifetime
from addon.claude.catalogue import Catalogue
from addon.claude.model import Model
from addon.claude.names import ModelChoice
from addon.claude.pricing import Tokens, cost
from addon.claude.thinking_request import ThinkingRequest
from addon.core.settings import Settings
from addon.exchange.attempt import Attempt, Source
from addon.exchange.claude_request import ClaudeRequest
from addon.exchange.state import Exchanges
from addon.stand_in.models import FakeModel, table
from addon.stand_in.prompt_cache import PromptCache as FakeCache
from addon.stand_in.prompt_cache import pieces
from addon.stand_in.record import JsonObject
from addon.stand_in.tokens import Counter
from addon.translation.types import Reply
from bench.run import write
from bench.target import ROOT

CATALOGUE = Catalogue.load((ROOT / "addon/claude/models.toml").read_text(encoding="utf-8"))
MODEL = "claude-sonnet-5"
CONVERSATIONS = 12
TURNS = (5, 80)
SEEDS = range(10)
MINUTE, HOUR = 60.0, 3600.0
TOOLS, SYSTEM = 9_000, 6_000
"""Tokens."""
TTLS = ("5m", "1h", "auto", "oracle")


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the turns that come after 6 to 50 minutes, and after two hours."""

    short: float
    long: float


DAYS = {"none": Mix(0, 0), "3.7 %": Mix(0.037, 0.01), "10 %": Mix(0.10, 0.02)}


@dataclass(frozen=True, slots=True)
class Turn:
    gap: float
    """Seconds since the turn before."""
    new: int
    """Tokens that the client adds: a question, or what a tool gave."""
    output: int


def day(mix: Mix, seed: int) -> list[list[Turn]]:
    """Conversations, one after the other."""
    rng = random.Random(seed)
    return [
        [_turn(mix, rng, first=not number) for number in range(rng.randint(*TURNS))]
        for _ in range(CONVERSATIONS)
    ]


def _turn(mix: Mix, rng: random.Random, *, first: bool) -> Turn:
    gap, which = min(240.0, rng.lognormvariate(3.2, 0.9)), rng.random()
    if not first and which < mix.short:
        gap = rng.uniform(6 * MINUTE, 50 * MINUTE)
    elif not first and which < mix.short + mix.long:
        gap = 2 * HOUR
    new = round(min(30_000, rng.lognormvariate(6.9, 1.0)))
    return Turn(gap, new, round(min(8_000, rng.lognormvariate(5.8, 0.8))))


class Sizes(Counter):
    """Counts what a text says that it has: `1200 …`."""

    def text(self, content: str, model: FakeModel, kind: Any = None) -> int:
        return int(content.split(maxsplit=1)[0])

    def tool(self, tool: JsonObject, model: FakeModel) -> int:
        return self.text(tool["description"], model)


@dataclass
class Oracle:
    """In place of `CacheLifetimes`: knows when the next turn comes."""

    next_gap: float = 0.0
    marked: Any = None

    def choose(self, conversation: str, model: Model, tokens: int, *_: Any) -> Lifetime:
        keep, self.marked = self.marked, None
        return Lifetime(SHORT < self.next_gap < LONG, keep)

    def learn(self, conversation: str, chosen: Lifetime, marked: Any, *_: Any, **more: Any) -> None:
        self.marked = marked if chosen.hour else None


@dataclass
class World:
    """A proxy's cache addon and Anthropic's cache, on a clock that stands still until it is moved."""

    ttl: str
    now: float = 1.79e9
    dollars: float = 0.0
    source: Source = "api_key"
    after_pauses: float = 0.0
    """Dollars of the turns that came after a pause."""

    def __post_init__(self) -> None:
        self.exchanges, memory, self.oracle = Exchanges(), CacheMemory(), Oracle()
        setting = "auto" if self.ttl == "oracle" else self.ttl
        settings = Settings.from_env({"CACHE_TTL": setting})
        self.addon = PromptCache(settings, self.exchanges, memory)
        if self.ttl == "oracle":
            self.addon.lifetimes = self.oracle  # type: ignore[assignment]
        self.cache, self.sizes = FakeCache(lambda: self.now), Sizes()
        self.model, self.fake = CATALOGUE.get(MODEL), table()[MODEL]

    def live(self, conversations: Sequence[Sequence[Turn]]) -> None:
        for number, turns in enumerate(conversations):
            messages: list[JsonObject] = []
            tokens = TOOLS + SYSTEM
            for at, turn in enumerate(turns):
                self.now += turn.gap
                self.oracle.next_gap = turns[at + 1].gap if at + 1 < len(turns) else 0.0
                messages.append(message("user", turn.new, f"{number} {at}"))
                tokens += turn.new
                spent = self.ask(f"c{number}", messages, tokens, turn.output)
                tokens += turn.output
                self.dollars += spent
                self.after_pauses += spent if turn.gap > SHORT else 0.0
                messages.append(message("assistant", turn.output, f"{number} {at}"))
                self.now += turn.output / 60  # while Claude writes

    def ask(
        self, conversation: str, messages: Sequence[JsonObject], tokens: int, output: int
    ) -> float:
        """Dollars for one turn. `tokens`: of the prompt, as the proxy would estimate."""
        flow = tflow.tflow()
        self.exchange = exchange = self.exchanges.begin(flow)
        exchange.arrived = self.now
        request = _request(messages)
        exchange.claude = _claude(self.model, request, conversation, tokens)
        self.addon.request(flow)
        sent = exchange.claude.request
        used = self.cache.use(pieces(sent, self.fake, self.sizes), self.fake, self.source)
        usage = {**used.fields(), "output_tokens": output}
        exchange.attempts.append(_attempt(sent, self.source))
        exchange.answer = Answer(usage)  # type: ignore[assignment]
        self.addon.response(flow)
        return cost(self.model, Tokens.from_usage(usage))


@dataclass
class Answer:
    """As much of an answer as the addon reads."""

    usage: JsonObject
    complete: bool = True


def message(role: str, tokens: int, words: str) -> JsonObject:
    return {"role": role, "content": [{"type": "text", "text": f"{tokens} {words}"}]}


def _request(messages: Sequence[JsonObject]) -> JsonObject:
    tool = {"name": "read", "description": f"{TOOLS} tokens", "input_schema": {}}
    system = [{"type": "text", "text": f"{SYSTEM} tokens"}]
    return {"model": MODEL, "tools": [tool], "system": system, "messages": list(messages)}


def _claude(model: Model, request: JsonObject, conversation: str, tokens: int) -> ClaudeRequest:
    return ClaudeRequest(
        asked=MODEL,
        choice=ModelChoice(id=MODEL),
        model=model,
        request=request,
        reply=Reply(model=MODEL),
        thinking_request=ThinkingRequest(),
        max_tokens_given=True,
        betas=set(),
        conversation=conversation,
        prompt_tokens=tokens,
    )


def _attempt(request: JsonObject, source: Source) -> Attempt:
    return Attempt(
        source=source,
        credential="",
        scheme="https",
        host="api.example",
        port=443,
        path="/v1/messages",
        headers=[],
        body=b"",
        auth=("", ""),
        request=request,
    )


def bills(mix: Mix, seeds: Sequence[int] = SEEDS) -> dict[str, float]:
    """Dollars by TTL, and the share of the turns after pauses with marks of five minutes."""
    found = dict.fromkeys(TTLS, 0.0)
    for seed in seeds:
        conversations = day(mix, seed)
        for ttl in TTLS:
            world = World(ttl)
            world.live(conversations)
            found[ttl] += world.dollars
            if ttl == "5m":
                found["after pauses"] = found.get("after pauses", 0.0) + world.after_pauses
    return found


def verdicts(found: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, float, float]]:
    """What is asked of `auto`: a name, the ratio, and what it may be at most."""
    for name, bill in found.items():
        yield f"{name}: auto / better fixed", bill["auto"] / min(bill["5m"], bill["1h"]), 1.05
        yield f"{name}: auto / oracle", bill["auto"] / bill["oracle"], 1.10
    total = {ttl: sum(bill[ttl] for bill in found.values()) for ttl in TTLS}
    for ttl in ("5m", "1h"):
        yield f"all days: auto / {ttl}", total["auto"] / total[ttl], 1.0
    yield "all days: auto / oracle", total["auto"] / total["oracle"], 1.10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    seeds = range(parser.parse_args().seeds)
    began = time.monotonic()
    found = {name: bills(mix, seeds) for name, mix in DAYS.items()}
    print(f"{'pauses':<10}" + "".join(f"{ttl:>10}" for ttl in TTLS) + "   of 5m, after pauses")
    for name, bill in found.items():
        shares = f"{bill['after pauses'] / bill['5m']:>10.1%}"
        print(f"{name:<10}" + "".join(f"{bill[ttl]:>10.2f}" for ttl in TTLS) + shares)
    for name, ratio, most in verdicts(found):
        print(f"{name:<32} {ratio:.3f}  {'holds' if ratio <= most else 'FAILS'} (at most {most})")
    print(f"{time.monotonic() - began:.0f} s")
    write("idle-day", {"bills": found})


if __name__ == "__main__":
    main()
