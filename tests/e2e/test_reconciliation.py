"""Two thousand requests of every kind, counted against what the fake's answers said they used."""

from __future__ import annotations

import functools
import itertools
import random
import re
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, replace
from typing import Any

import httpx
import pytest

from addon.stand_in.access import kind_of
from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.delivery import Gate
from addon.stand_in.record import Received, Used, used
from addon.stand_in.script import Answer, broken, delivered, fail, say
from tests.e2e.accounts import settled, tokens_of, worth
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import chat, message

PLAN_POLICY = "This credential is only authorized for use with Claude Code."
LONG = "The quick brown fox jumps over the lazy dog near the quiet river bank. " * 60
FATES: Mapping[str, tuple[str, str | None, Answer]] = {
    "cut": ("always", None, delivered(say(LONG), cut="fin", after_events=9)),
    "short": ("always", None, delivered(say(LONG), cut="end", after_events=9)),
    "lost": ("once", "oauth", delivered(cut="fin", after_events=1)),
    "overloaded": ("once", None, fail(529)),
    "late": ("once", None, broken()),
    "broken": ("always", None, broken(after=3)),
    "policy": ("always", "oauth", fail(400, PLAN_POLICY)),
    "wrong": ("always", None, fail(400, "messages.0: wrong")),
}
"""What the fake does with a kind of request: how often, to which credential, and how it answers."""

KINDS = {
    "usual": 50,
    "cached": 20,
    "thinks": 5,
    "policy": 6,
    "cut": 4,
    "short": 3,
    "broken": 3,
    "wrong": 2,
    "lost": 2,
    "overloaded": 1,
    "late": 1,
    "malformed": 2,
    "passed": 2,
}
DIALECTS = {"thinks": "chat", "passed": "chat", "cached": "messages"}
"""Of the kinds that are asked in one dialect only."""
MODELS = ("claude-opus-4-8", "claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5")
"""The last one is refused to the subscription, so it is always paid."""
BROKEN, MOST_GUESSED = ("cut", "short", "broken"), 60
_NAME = re.compile(rb"kind=([a-z]+) ([0-9]+)")


def name_of(request: Received) -> tuple[str, str]:
    """The kind and the number of the client's request."""
    found = _NAME.search(request.body)
    assert found
    return found[1].decode(), found[2].decode()


class Load:
    """A random run: every request says in its text what shall become of it."""

    def __init__(self, fake: FakeAnthropic, client: httpx.Client) -> None:
        self.rng = random.Random(7)  # noqa: S311 - repeatable, not secret
        self.client = client
        self.numbers = itertools.count()
        self.met: set[tuple[str, str]] = set()
        fake.script(fail(403, "Not for you"), when=_is_haiku_by_plan)
        for kind, (often, credential, answer) in FATES.items():
            fake.script(answer, when=functools.partial(self.meets, kind, often, credential))

    def meets(self, kind: str, often: str, credential: str | None, request: Received) -> bool:
        if request.path != "/v1/messages" or credential not in (None, kind_of(request)):
            return False
        name = name_of(request)
        if name[0] != kind or (often == "once" and name in self.met):
            return False
        self.met.add(name)
        return True

    def kinds(self, count: int) -> list[str]:
        return self.rng.choices([*KINDS], [*KINDS.values()], k=count)

    def one(self, kind: str) -> None:
        """Send one request and read all of its answer."""
        text = f"kind={kind} {next(self.numbers):05d} {self.rng.choice(('', LONG))}"
        dialect = DIALECTS.get(kind) or self.rng.choice(("chat", "messages", "responses"))
        body = {**self.body(kind, text, dialect), "stream": self.rng.random() < 0.6}
        path = {"chat": "/v1/chat/completions"}.get(dialect, f"/v1/{dialect}")
        with self.client.stream("POST", path, json=body) as response:
            response.read()

    def body(self, kind: str, text: str, dialect: str) -> dict[str, Any]:
        model = "gpt-5" if kind == "passed" else self.rng.choice(MODELS)
        if kind == "malformed":
            return {"model": [model], "messages": 5, "input": 5}
        match dialect:
            case "chat":
                thinks = kind == "thinks"
                body = chat(f"{text} [[think Let me see.]]" if thinks else text, model)
                return body | ({"reasoning_effort": "low"} if thinks else {})
            case "messages":
                mark = {"cache_control": {"type": "ephemeral"}} if kind == "cached" else {}
                return message(text, model, system=[{"type": "text", "text": LONG * 6, **mark}])
            case _:
                return {"model": model, "input": text}


def _is_haiku_by_plan(request: Received) -> bool:
    return b'"claude-haiku' in request.body and kind_of(request) == "oauth"


def leave_in_mid_stream(fake: FakeAnthropic, client: httpx.Client) -> None:
    """A client that closes the connection while the fake waits, having read all it sent."""
    gate = Gate()
    fake.script(
        [delivered(say(LONG), pause_after=12, pause=gate)], when=lambda r: b"kind=leaver" in r.body
    )
    body = message("kind=leaver 1", stream=True)
    with client.stream("POST", "/v1/messages", json=body) as response:
        deltas = 0
        for line in response.iter_lines():
            deltas += line == "event: content_block_delta"
            if deltas == 9:  # a start, a block, a ping, and these
                break
    assert fake.wait_until(lambda: fake.requests[-1].closed_at is not None)
    gate.open()


@pytest.mark.thorough
@pytest.mark.timeout(400)
def test_two_thousand_requests_are_counted_to_the_token(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    fake.log.keep_answers = True
    proxy = start_proxy(OPENAI_API_KEY="sk-test", OPENAI_BASE_URL=fake.url)
    with httpx.Client(base_url=proxy.url, timeout=60) as client:
        load = Load(fake, client)
        kinds = load.kinds(1990)
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(load.one, kinds))
        for _ in range(10):
            leave_in_mid_stream(fake, client)
    told = settled(proxy, 2000)

    bills = {
        "claude_code": [r for r in fake.messages() if kind_of(r) == "oauth"],
        "api_key": [r for r in fake.messages() if kind_of(r) == "api_key"],
    }
    for source, requests in bills.items():
        shown = told["bySource"][source]
        bill = sum(map(used, requests), Used())
        # what was broken off does not say how much was written: the proxy estimates it
        guessed = tokens_of(shown).output - bill.output
        assert replace(tokens_of(shown), output=bill.output) == bill
        assert 0 <= guessed <= MOST_GUESSED * sum(kind in BROKEN for kind in kinds)
        assert 0 <= shown["estimatedCost"] - worth(requests) + 1e-9 <= guessed * 25e-6 + 2e-9
        assert all(astuple(bill))  # of every kind of token there were some
    paid, saved = told["bySource"]["api_key"], told["bySource"]["claude_code"]
    assert told["estimatedApiKeyCost"] == paid["estimatedCost"]
    assert told["estimatedSavings"] == saved["estimatedCost"]

    wanted = Counter(kinds)
    assert told["bySource"]["openai"]["requests"] == wanted["passed"]
    assert told["totalRequests"] == 2000 - wanted["passed"]
    assert told["errorRequests"] == wanted["malformed"]
    paid_answers = Counter(name_of(r) for r in bills["api_key"] if used(r) != Used())
    assert set(paid_answers.values()) == {1}  # nobody paid twice for one request
