"""Two conversations of 80 turns from 20K to 400K tokens, interleaved, with a restart of the proxy in the middle.

`python -m bench.long_conversation`: through the proxy with several settings, and straight to the fake Anthropic, which
counts with a tokenizer of its own and accounts for its prompt cache as the real one does.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict

import httpx

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.models import FakeModel
from addon.stand_in.prompt_cache import InputUsage, Piece, PromptCache
from addon.stand_in.record import Received
from addon.stand_in.script import delivered, say
from addon.stand_in.stream import thinking, tool_use
from bench.dialog import ChatDialog, Dialog, NativeDialog
from bench.long_figures import MODEL, SUMMARIZER, Arm, Run, Turn, figures, table
from bench.run import write
from tests.e2e.proxy import API_KEY, Proxy

TURNS = 80
FIRST_CHARACTERS, STEP_CHARACTERS = 30_000, 13_300
"""About 20K tokens at first, and what takes them to 400K."""
CALLS = 5
"""Every fifth turn ends in an answer, the others in a call of a tool."""
SUMMARY = (
    "The parser was read; its parts are these: " + "a function, what it is for, its name. " * 320
)
SUMMARY_SECONDS = 0.6
PAUSE_SECONDS = 0.25
"""Between two turns, so that a summary takes about as many turns as with Claude, who answers for a while himself."""
WAITED_SECONDS = SUMMARY_SECONDS / 2
ARMS = {
    "direct": Arm("no proxy"),
    "default": Arm("200K, 180K", {}),
    "deep": Arm("200K, auto", {"CONTEXT_TARGET_TOKENS": "auto"}),
    "auto": Arm("auto, auto", {"CONTEXT_MAX_TOKENS": "auto"}),
    "off": Arm("no cache, no memo", {"PROMPT_CACHE": "off", "CONTEXT_AHEAD": "false"}, True),
}
_COUNTED = re.compile(r"📊 ([\d.]+)K tokens")
_SUMMARIZED = re.compile(rb"\[Context Summary - \d+ messages summarized\]")


class Accounts(PromptCache):
    """The fake's cache accounting, with what it said by model."""

    def __init__(self) -> None:
        super().__init__(time.time)
        self.used: dict[str, list[InputUsage]] = {MODEL: [], SUMMARIZER: []}

    def use(self, row: Sequence[Piece], model: FakeModel, account: str) -> InputUsage:
        usage = super().use(row, model, account)
        self.used[model.id].append(usage)
        return usage


class World:
    """A fake, a proxy in front of it (or none), and two conversations."""

    def __init__(self, arm: Arm, fake: FakeAnthropic, proxy: Proxy | None) -> None:
        self.fake, self.proxy = fake, proxy
        self.accounts = fake.rules.cache = Accounts()
        self.result = Run(arm)
        kind = ChatDialog if proxy else NativeDialog
        self.dialogs = [kind(seed, MODEL, FIRST_CHARACTERS, STEP_CHARACTERS) for seed in (1, 2)]
        fake.script(delivered(say(SUMMARY), hold=SUMMARY_SECONDS), when=asks_for_summary)

    def turn(self, number: int) -> None:
        for dialog in self.dialogs:
            self.result.turns.append(self.ask(dialog, number))
            time.sleep(PAUSE_SECONDS)

    def ask(self, dialog: Dialog, number: int) -> Turn:
        call = [] if number % CALLS == 0 else [tool_use("tool_0", {"path": f"{number}.py"})]
        self.fake.script([say(thinking("Let me see."), "I go on.", *call)], when=is_turn)
        content = json.dumps(dialog.body()).encode()
        began, used = time.monotonic(), cpu(self.proxy)
        before = len(self.proxy.output) if self.proxy else 0
        answer = self.post(dialog.path, content)
        ended = time.monotonic()
        dialog.take(answer)
        asked = self.received()
        self.fake.wait_until(lambda: asked.ended_at is not None)
        heading = _SUMMARIZED.search(asked.body)
        return Turn(
            conversation=dialog.seed,
            number=number,
            usage=self.accounts.used[MODEL][-1],
            cpu=cpu(self.proxy) - used,
            added=ended - began - ((asked.ended_at or ended) - asked.time),
            waited=self.summarizing(began, asked.time) > WAITED_SECONDS,
            summary=heading[0].decode() if heading else "",
            counted=counted(self.proxy, before) if self.proxy else 0.0,
        )

    def post(self, path: str, content: bytes) -> dict[str, object]:
        url = self.proxy.url if self.proxy else self.fake.url
        headers = {
            "content-type": "application/json",
            "anthropic-version": "2023-06-01",
            "x-api-key": "any" if self.proxy else API_KEY,
        }
        answer = httpx.post(f"{url}{path}", content=content, headers=headers, timeout=60)
        answer.raise_for_status()
        return dict(answer.json())

    def received(self) -> Received:
        """The turn's own request. Bodies are let go of, but for those of summaries."""
        requests = list(self.fake.requests)
        self.fake.requests.clear()
        self.result.summaries += filter(asks_for_summary, requests)
        [asked] = (request for request in requests if not asks_for_summary(request))
        return asked

    def summarizing(self, start: float, end: float) -> float:
        """Seconds of that time in which a summary was being made."""
        spans = ((s.time, s.ended_at or end) for s in self.result.summaries)
        return sum(max(0.0, min(end, until) - max(start, since)) for since, until in spans)

    def restart(self, *, forget: bool) -> None:
        assert self.proxy is not None
        self.proxy.stop()
        if forget:
            shutil.rmtree(self.proxy.home / ".ccproxy", ignore_errors=True)
        self.proxy.__enter__()


def cpu(proxy: Proxy | None) -> float:
    """CPU seconds that it has used; 0 without one."""
    if proxy is None or proxy.process is None:
        return 0.0
    return time.clock_gettime((~proxy.process.pid << 3) | 2)  # Linux's clock id of another process


def counted(proxy: Proxy, before: int) -> float:
    """What the proxy counted, which it says near the limit, after so many characters of output; 0: it did not say."""
    return float([*_COUNTED.findall(proxy.output[before:]), 0][-1]) * 1000


def is_turn(request: Received) -> bool:
    return request.path == "/v1/messages" and not asks_for_summary(request)


def asks_for_summary(request: Received) -> bool:
    return b'"model":"%b"' % SUMMARIZER.encode() in request.body[:200]


def run(arm: Arm, turns: int) -> Run:
    with ExitStack() as stack:
        fake = stack.enter_context(FakeAnthropic())
        proxy = None
        if arm.settings is not None:
            proxy = stack.enter_context(Proxy(fake.url, fork=False, **arm.settings))
        world = World(arm, fake, proxy)
        for number in range(1, turns + 1):
            forget = arm.forgetful and bool(world.result.summaries)
            if proxy and (number == turns // 2 or forget):
                world.restart(forget=arm.forgetful)
            world.turn(number)
    world.result.summary_usage = world.accounts.used[SUMMARIZER]
    world.result.summary_output = fake.rules.counter.text(SUMMARY, fake.models[SUMMARIZER]) + 1
    return world.result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arm", nargs="*", help=f"of: {', '.join(ARMS)} (default: all)")
    parser.add_argument("--turns", type=int, default=TURNS)
    options = parser.parse_args()
    names = options.arm or list(ARMS)
    runs: dict[str, Run] = {}
    for name in names:
        began = time.monotonic()
        runs[name] = run(ARMS[name], options.turns)
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    found = figures(runs)
    print(table(runs, found))
    turns = {name: [asdict(turn) for turn in run.turns] for name, run in runs.items()}
    write("long-conversation", {"arms": found, "turns": turns})


if __name__ == "__main__":
    main()
