"""Ten thousand requests from careless clients, through every addon that shapes a request, before the fake's judge.

tests/e2e/test_fuzz.py sends a part of the same kind over sockets.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.test import tflow, tutils

from addon.addons.chain import Chain
from addon.addons.context_window import ContextWindow
from addon.addons.model_list import ModelList
from addon.addons.prompt_cache import CacheMemory, PromptCache
from addon.addons.summary_call import make_manager
from addon.addons.thinking import Continuity, Thinking
from addon.addons.translate import Translate
from addon.addons.upstream_request import UpstreamRequestBuilder
from addon.claude.catalogue import Catalogue
from addon.claude.refused_features import RefusedFeatures
from addon.claude.thinking_store import ThinkingStore
from addon.context.summarizer import SummaryTasks
from addon.context.summary_memory import SummaryMemory
from addon.context.tokens.counter import TokenCounter
from addon.context.tokens.vocabulary import Vocabulary
from addon.context.window import KnownCuts
from addon.core.lru import Lru
from addon.core.own_http import OwnHttp, own_http
from addon.core.settings import Settings
from addon.core.terminal import Terminal
from addon.core.types import JsonObject
from addon.exchange.routes import find
from addon.exchange.state import Exchange, Exchanges
from addon.exchange.stored_responses import StoredResponses
from addon.stand_in.access import OAUTH_TOKEN
from addon.stand_in.messages import Judge
from addon.stand_in.refusal import Refusal
from addon.translation.to_anthropic.conversion_cache import ConversionCache
from addon.usage.budget import Budget, PaidCalls
from addon.usage.ledger import UsageLedger
from tests.budget import thorough_after
from tests.claude.support import CATALOGUE
from tests.damaged import MESSAGES, Sent, check_refusal, sent


@dataclass
class Services:
    """What the context window is made from."""

    memory: SummaryMemory
    counter: TokenCounter
    ledger: UsageLedger
    http: OwnHttp
    catalogue: Catalogue = CATALOGUE
    summary_tasks: SummaryTasks = field(default_factory=SummaryTasks)
    cuts: KnownCuts = field(default_factory=lambda: Lru(8))


async def no_list() -> JsonObject:
    raise LookupError("nobody is asked here")


class RequestPath:
    """The addons from `Translate` to the attempt, as ccproxy_addon.py lists them."""

    def __init__(self, home: Path, **environ: str) -> None:
        settings = Settings.from_env({"CCPROXY_HOME": str(home), **environ})
        self.exchanges = Exchanges()
        ledger = UsageLedger(time.time)
        vocabulary = Vocabulary()
        vocabulary.start()
        self.counter = TokenCounter(vocabulary, clock=time.time)
        services = Services(
            SummaryMemory(home, time.time),
            self.counter,
            ledger,
            own_http(),
        )
        continuity = Continuity(ThinkingStore(time.monotonic))
        manager = make_manager(
            settings, services, PaidCalls(settings, Budget(ledger), CATALOGUE.get)
        )
        members = [
            Translate(
                settings,
                self.exchanges,
                ModelList(CATALOGUE, no_list),
                ConversionCache(),
                StoredResponses(time.monotonic),
            ),
            Thinking(settings, self.exchanges, continuity),
            ContextWindow(settings, self.exchanges, manager, Terminal(None)),
            PromptCache(settings, self.exchanges, CacheMemory()),
        ]
        self.chain: Any = Chain(members)
        self.attempts = UpstreamRequestBuilder(settings, continuity, RefusedFeatures())

    async def take(self, request: Sent) -> tuple[http.HTTPFlow, Exchange]:
        flow = tflow.tflow(
            req=tutils.treq(method=b"POST", path=request.path.encode(), content=request.body)
        )
        flow.request.headers["content-encoding"] = request.encoding
        exchange = self.exchanges.begin(flow)
        exchange.route = find("POST", request.path)
        await self.chain.request(flow)
        return flow, exchange


@pytest.mark.parametrize("seed", thorough_after(1, range(10)))
async def test_a_thousand_careless_requests(seed: int, tmp_path: Path) -> None:
    path, judge, accepted = RequestPath(tmp_path), Judge(), 0
    for request in sent(seed, 1000):
        flow, exchange = await path.take(request)
        if flow.response is not None:
            check_refusal(request.path, flow.response.status_code, flow.response.raw_content or b"")
        elif exchange.claude is not None:
            attempt = path.attempts.subscription(exchange, exchange.claude, OAUTH_TOKEN, 1)
            accepted += judged(judge, [*attempt.headers, attempt.auth], attempt.body, request)
        else:
            assert exchange.route is None, "neither refused nor ready to be sent"
    assert accepted > 150


def judged(judge: Judge, headers: list[tuple[str, str]], body: bytes, request: Sent) -> bool:
    """Whether the fake accepts it. What a client wrote in Anthropic's own words is Anthropic's to refuse."""
    try:
        judge.accept(headers, body)
    except Refusal as refusal:
        if request.path != MESSAGES and not is_anthropics_to_say(request.body, refusal.message):
            raise AssertionError(f"{refusal.message}\n{request.body!r}\n{body!r}") from refusal
        return False
    return True


ANTHROPICS = ("model: ", "Could not process image", "Invalid `signature`")
"""Of a model's name, a picture and a signature it alone knows whether they are good."""


def is_anthropics_to_say(body: bytes, refusal: str) -> bool:
    handed_over = ("thinking", "context_management")
    given = json.loads(body)
    return any(words in refusal for words in ANTHROPICS) or any(
        name in given and name in refusal for name in handed_over
    )
