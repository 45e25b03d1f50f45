"""How cost grows with what can be large: `python -m bench.growth`.

Of each thing its size is doubled three times, from one that takes 20 ms of CPU time or more. Eight times the size may
take twelve times the time and the memory: less would need caches that don't warm up, more is worse than linear. What
takes less even with 3 MB counts as 20 ms: it does little but copy, and 26 MB no longer fit the processor's caches.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import io
import itertools
import json
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mitmproxy import http

from addon.addons.mitmproxy_tuning import COLLECT_AFTER
from addon.core.settings import Settings
from addon.core.types import Dialect
from addon.exchange.access import Visitor, judge
from addon.exchange.answer import BufferedAnswer, StreamedAnswer
from addon.exchange.http_messages import lowered, without_unknown_values
from addon.exchange.routes import find
from addon.stand_in.access import OAUTH_TOKEN
from addon.translation.from_anthropic.by_dialect import renderer_for
from addon.translation.types import Reply
from tests.damaged import CHAT, MESSAGES, RESPONSES, Sent
from tests.test_fuzz import RequestPath
from tests.translation.upstream import message, stream_of, text, thinking, tool

LEAST_SECONDS = 0.02
DOUBLINGS = 3
MOST_TIMES = 12.0
TRIES = 5
FIRST_SIZE = 25
LARGEST_SIZE = 3_000_000

type Work = Callable[[], object]
type Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    prepare: Callable[[int], Work]
    """The work for one size, each time with another input: what was seen before may be remembered."""
    first: int = FIRST_SIZE
    """The smallest size that is tried."""


# ------------------------------------------------------------------------------------------------ requests

NONCE = itertools.count()


class Requests:
    """Everything from a client's body to what is sent upstream."""

    def __init__(self, home: Path) -> None:
        self.runner = asyncio.Runner()
        self.path = RequestPath(home, CONTEXT_STRATEGY="none", QUIET="true")
        # Where the worker takes longer than a request waits, the text is also weighed: a busy machine would show that
        # as growth.
        counter = self.path.counter
        counter.count_soon = partial(counter.count_soon, wait=600.0)  # type: ignore[method-assign]

    def close(self) -> None:
        self.runner.close()
        self.path.counter.close()

    def case(self, name: str, path: str, body: Callable[[int, str], Json]) -> Case:
        return Case(name, lambda size: self.work(path, body(size, f"{next(NONCE)}")))

    def work(self, path: str, body: Json) -> Work:
        sent = Sent(path, json.dumps(body).encode(), "")

        async def handle() -> None:
            flow, exchange = await self.path.take(sent)
            if flow.response is None and exchange.claude is not None:
                self.path.attempts.subscription(exchange, exchange.claude, OAUTH_TOKEN, 1)
            # what is counted behind the request is a part of its cost, and not of the next one's
            await asyncio.wrap_future(self.path.counter._worker.submit(int))

        return lambda: self.runner.run(handle())


def chat(*messages: Json, **more: Any) -> Json:
    return {"model": "claude-opus-4-8", "messages": list(messages), **more}


def user(content: Any) -> Json:
    return {"role": "user", "content": content}


def turns(size: int, nonce: str) -> Json:
    said = [
        each
        for n in range(size)
        for each in (user(f"{nonce} {n}"), {"role": "assistant", "content": f"{nonce} so {n}"})
    ]
    return chat(*said, user("end"))


def call(number: int, arguments: str) -> Json:
    function = {"name": "f", "arguments": arguments}
    return {"id": f"call_{number}", "type": "function", "function": function}


def tool_loops(size: int, nonce: str) -> Json:
    said = [
        each
        for n in range(size)
        for each in (
            {"role": "assistant", "content": None, "tool_calls": [call(n, f'{{"{nonce}": {n}}}')]},
            {"role": "tool", "tool_call_id": f"call_{n}", "content": f"{nonce} {n}"},
        )
    ]
    return chat(user(nonce), *said, tools=[function("f", {})])


def parallel_calls(size: int, nonce: str) -> Json:
    asked = {
        "role": "assistant",
        "content": None,
        "tool_calls": [call(n, "{}") for n in range(size)],
    }
    told = [{"role": "tool", "tool_call_id": f"call_{n}", "content": nonce} for n in range(size)]
    return chat(user(nonce), asked, *reversed(told), tools=[function("f", {})])


def function(name: str, properties: Json) -> Json:
    schema = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def many_tools(size: int, nonce: str) -> Json:
    return chat(user(nonce), tools=[function(f"f{n}", {"a": {}}) for n in range(size)])


def parts(size: int, nonce: str) -> Json:
    return chat(user([{"type": "text", "text": f"{nonce} {n}"} for n in range(size)]))


def wide_schema(size: int, nonce: str) -> Json:
    properties = {f"p{n}": {"type": ["string", "null"], "description": nonce} for n in range(size)}
    return chat(user("a"), tools=[function("f", properties)])


def choices(size: int, nonce: str) -> Json:
    options = [{"type": "object", "properties": {f"p{n}": {"const": nonce}}} for n in range(size)]
    return chat(user("a"), tools=[function("f", {"x": {"anyOf": options, "allOf": options}})])


def deep_schema(size: int, nonce: str) -> Json:
    inner: Json = {"type": "string", "description": nonce}
    for _ in range(min(size, 40)):
        inner = {"type": "object", "properties": {"a": inner}, "items": [inner.get("type")]}
    tools = [function(f"f{n}", {"x": inner}) for n in range(1 + size // 40)]
    return chat(user("a"), tools=tools)


def responses(size: int, nonce: str) -> Json:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": f"{nonce} {n}"}]}
        for n in range(size)
    ]
    return {"model": "claude-opus-4-8", "input": items}  # fmt: skip


def native(size: int, nonce: str) -> Json:
    blocks = [{"type": "text", "text": f"{nonce} {n}"} for n in range(size)]
    return {"model": "claude-opus-4-8", "max_tokens": 100, "messages": [user(blocks)]}


def request_cases(requests: Requests) -> Iterator[Case]:
    def in_chat(name: str, body: Callable[[int, str], Json]) -> Case:
        return requests.case(name, CHAT, body)

    # fewer are counted at once; more by the worker, beside an estimate: that is a step
    yield replace(in_chat("messages", turns), first=1_600)
    yield in_chat("tool loops", tool_loops)
    yield in_chat("parallel calls", parallel_calls)
    yield in_chat("tools", many_tools)
    yield in_chat("schema, wide", wide_schema)
    yield in_chat("schema, choices", choices)
    yield in_chat("schema, deep", deep_schema)
    for piece in ("word ", "a", "0", " ", "ä", "\n", "a.b/"):
        yield in_chat(f"text of {piece!r}", lambda size, n, p=piece: chat(user(n + p * size)))  # type: ignore[misc]
    yield in_chat("parts", parts)
    for piece in ("a", "\\\\", "{", "[[", '\\"'):
        yield in_chat(
            f"arguments of {piece!r}",
            lambda size, n, p=piece: chat(  # type: ignore[misc]
                user(n),
                {"role": "assistant", "tool_calls": [call(1, f'{{"a": "{p * size}"}}')]},
                {"role": "tool", "tool_call_id": "call_1", "content": n},
                tools=[function("f", {})],
            ),
        )
    yield requests.case("input items", RESPONSES, responses)
    yield requests.case("native blocks", MESSAGES, native)


# ------------------------------------------------------------------------------------------------ responses


DIALECTS: Sequence[Dialect] = ("chat", "messages", "responses")


def answered(dialect: Dialect, stream: bytes, piece: int) -> None:
    renderer = renderer_for(dialect, Reply(model="m"), 0)
    for answer in (StreamedAnswer(renderer), BufferedAnswer(renderer, lambda message: b"{}")):
        for start in range(0, len(stream), piece):
            answer.feed(stream[start : start + piece])
        answer.close()


def content(kind: str, size: int) -> Sequence[Json]:
    match kind:
        case "text":
            return [text("word " * size)]
        case "thinking":
            return [thinking("so so " * size), text("a")]
        case "arguments":
            return [tool("toolu_1", "f", {"a": "x" * 5 * size})]
        case _:
            return [
                block for n in range(size) for block in (text("a"), tool(f"toolu_{n}", "f", {}))
            ]


def response_cases() -> Iterator[Case]:
    kinds = ("text", "thinking", "arguments", "blocks")
    for dialect, kind in itertools.product(DIALECTS, kinds):
        yield Case(f"events of {kind}, {dialect}", partial(response_work, dialect, kind))


def response_work(dialect: Dialect, kind: str, size: int) -> Work:
    stream = stream_of(message(*content(kind, size)), 5)
    return lambda: answered(dialect, stream, 1400)


# ------------------------------------------------------------------------------------------------ heads

SETTINGS = Settings.from_env({"PROXY_SECRET_KEY": "hush-hush-hush-hush-hush"})


def head(path: str, headers: http.Headers) -> None:
    visitor = Visitor(
        peer="127.0.0.1", method="GET", path=path, authority="", headers=lowered(headers)
    )
    judge(visitor, find("GET", without_unknown_values(path)), SETTINGS)


def head_cases() -> Iterator[Case]:
    paths: Mapping[str, str] = {"/": "/", "/v1": "/v1", "?a=b": "&a=b", "models/": "/v1/models/a/"}
    for name, piece in paths.items():
        yield Case(
            f"path of {name}", lambda size, p=piece: lambda: head("/" + p * size, http.Headers())  # type: ignore[misc]
        )  # fmt: skip
    yield Case(
        "headers",
        lambda size: lambda: head("/", http.Headers([(b"x-%d" % n, b"a") for n in range(size)])),
    )
    yield Case(
        "headers of one name",
        lambda size: lambda: head("/", http.Headers([(b"cookie", b"a=b")] * size)),
    )


# ------------------------------------------------------------------------------------------------ measuring


@contextmanager
def all_cases() -> Iterator[list[Case]]:
    with tempfile.TemporaryDirectory(prefix="growth-") as home:
        requests = Requests(Path(home))
        threshold = gc.get_threshold()
        gc.set_threshold(COLLECT_AFTER)  # as in the proxy
        try:
            yield [*request_cases(requests), *response_cases(), *head_cases()]
        finally:
            gc.set_threshold(*threshold)
            requests.close()


def seconds(case: Case, size: int, tries: int = TRIES) -> float:
    found = []
    for _ in range(tries):
        work = case.prepare(size)
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def peak(case: Case, size: int) -> int:
    work = case.prepare(size)
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@dataclass(frozen=True, slots=True)
class Growth:
    name: str
    size: int
    seconds: Sequence[float]
    """Of the size, and of it doubled once, twice, three times."""
    memory: tuple[int, int]
    """Peaks in bytes, of the size and of eight times as much."""

    @property
    def times(self) -> float:
        return self.seconds[-1] / max(self.seconds[0], LEAST_SECONDS)

    @property
    def times_memory(self) -> float:
        return self.memory[1] / self.memory[0]

    @property
    def is_linear(self) -> bool:
        return self.times <= MOST_TIMES and self.times_memory <= MOST_TIMES

    def __str__(self) -> str:
        steps = " ".join(f"{1000 * each:8.1f}" for each in self.seconds)
        verdict = "" if self.is_linear else "  MORE THAN LINEAR"
        return f"{self.name:34} {self.size:9} {steps}  {self.times:5.1f}  memory {self.times_memory:5.1f}{verdict}"


def growth(case: Case, tries: int = TRIES) -> Growth:
    with contextlib.redirect_stdout(io.StringIO()):  # a line for each request
        size = case.first
        while seconds(case, size, 2) < LEAST_SECONDS and size < LARGEST_SIZE:
            size *= 2
        sizes = [size << doubled for doubled in range(DOUBLINGS + 1)]
        return Growth(
            case.name,
            size,
            [seconds(case, each, tries) for each in sizes],
            (peak(case, sizes[0]), peak(case, sizes[-1])),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="How cost grows with size.")
    parser.add_argument("only", nargs="?", default="", help="cases with this in their name")
    options = parser.parse_args()
    with all_cases() as cases:
        found = [growth(case) for case in cases if options.only in case.name]
    print(*found, sep="\n")
    if worse := [each.name for each in found if not each.is_linear]:
        sys.exit(f"more than linear: {', '.join(worse)}")


if __name__ == "__main__":
    main()
