"""How long counting takes, and how long it holds up the event loop: `python bench/counting.py [tokens]`.

Asked for 200,000 tokens on a quiet machine: cold 250 ms, warm 5 ms, no gap over 10 ms.
Counts a made-up agent's conversation (default 200,000 Claude tokens, 25 tools) cold and warm, then the turn after it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from addon.claude.catalogue import Catalogue
from addon.claude.digest import fingerprint_of, message_digest
from addon.context.tokens.counter import TokenCounter
from addon.context.tokens.vocabulary import Vocabulary

ROOT = Path(__file__).parents[1]
MODEL = Catalogue.load((ROOT / "addon/claude/models.toml").read_text()).get("claude-sonnet-5")
SOURCES = sorted(Path(asyncio.__file__).parent.glob("*.py"))
RUNS = 5


def conversation(tokens: int, counter: TokenCounter) -> dict[str, Any]:
    """Reads of Python source files by an agent, until there are `tokens`."""
    rng = random.Random(1)
    lines = [line for path in SOURCES for line in path.read_text().splitlines(keepends=True)]
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Please read the sources."}]
    request = {"messages": messages, "system": "You are an agent. " * 800, "tools": tools()}
    while counter.count(request, MODEL).total < tokens:
        for _ in range(10):
            messages += exchange(len(messages), rng, lines)
    return request


def exchange(number: int, rng: random.Random, lines: list[str]) -> list[dict[str, Any]]:
    ident, start = f"toolu_{number}", rng.randrange(len(lines) - 200)
    call = {"type": "tool_use", "id": ident, "name": "tool_1", "input": {"path": f"{number}.py"}}
    text = f"{number}: " + "".join(lines[start : start + rng.randrange(20, 150)])
    result = {"type": "tool_result", "tool_use_id": ident, "content": text}
    return [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]


def tools() -> list[dict[str, Any]]:
    schema = {
        "type": "object",
        "properties": {f"p{n}": {"type": "string", "description": "what"} for n in range(9)},
    }
    return [
        {
            "name": f"tool_{n}",
            "description": "Does a thing with care. " * 20,
            "input_schema": schema,
        }
        for n in range(25)
    ]


async def gap_during(work: Awaitable[Any]) -> tuple[float, float]:
    """Seconds that `work` took, and the longest time in which the event loop did nothing else.

    Both by the wall: on a busy machine run it again.
    """
    longest, stop = 0.0, asyncio.Event()

    async def tick() -> None:
        nonlocal longest
        last = time.perf_counter()
        while not stop.is_set():
            await asyncio.sleep(0)
            longest, last = max(longest, time.perf_counter() - last), time.perf_counter()

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    longest, began = 0.0, time.perf_counter()
    await work
    took = time.perf_counter() - began
    await asyncio.sleep(0)
    stop.set()
    await ticking
    return took, longest


def report(name: str, runs: list[tuple[float, float]]) -> None:
    took = statistics.median(run[0] for run in runs) * 1e3
    gaps = [run[1] * 1e3 for run in runs]
    print(
        f"{name:<34}{took:8.1f} ms   loop gap median {statistics.median(gaps):5.1f}, max {max(gaps):5.1f} ms"
    )


async def main(tokens: int) -> None:
    began = time.perf_counter()
    vocabulary = Vocabulary()
    vocabulary.load()
    print(f"{'load the vocabulary':<34}{(time.perf_counter() - began) * 1e3:8.1f} ms")

    def counter() -> TokenCounter:
        return TokenCounter(vocabulary, clock=time.time)

    request = conversation(tokens, counter())
    body = json.dumps(request)
    print(f"{len(body) / 1e6:.2f} MB of JSON, {len(request['messages'])} messages")
    rng, lines = (
        random.Random(2),
        "".join(path.read_text() for path in SOURCES).splitlines(keepends=True),
    )
    cold, warm, following = [], [], []
    for _ in range(RUNS):
        subject, turn = counter(), json.loads(body)
        cold.append(await gap_during(subject.count_soon(turn, MODEL)))
        warm.append(await gap_during(subject.count_soon(turn, MODEL)))
        turn["messages"] += exchange(len(turn["messages"]), rng, lines)
        following.append(await gap_during(subject.count_soon(turn, MODEL)))
        subject.close()
    report("cold, in the worker", cold)
    report("the same again", warm)
    report("the next turn", following)
    fingerprint = [message_digest(message) for message in request["messages"]]
    began = time.perf_counter()
    fingerprint_of(request)
    print(f"{'of which digests of all messages':<34}{(time.perf_counter() - began) * 1e3:8.1f} ms")
    began = time.perf_counter()
    fingerprint_of(request, fingerprint)
    print(f"{'digests when the caller has them':<34}{(time.perf_counter() - began) * 1e3:8.1f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tokens", type=int, nargs="?", default=200_000)
    asyncio.run(main(parser.parse_args().tokens))
