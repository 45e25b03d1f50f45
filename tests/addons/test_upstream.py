"""What a request is told when nothing could serve it, and what is set aside before money is spent."""

from __future__ import annotations

import time
from typing import Any

import pytest
from mitmproxy.test import tflow

from addon.addons.context_window import ContextWindow
from addon.addons.fallback_chain import FallbackChain
from addon.addons.thinking import Continuity
from addon.addons.upstream import Upstream
from addon.addons.upstream_request import UpstreamRequestBuilder
from addon.claude.names import ModelChoice
from addon.claude.refused_features import RefusedFeatures
from addon.claude.thinking_request import ThinkingRequest
from addon.claude.thinking_store import ThinkingStore
from addon.context.window import ContextManager
from addon.core.errors import BadGateway, CCProxyError, Forbidden, RateLimited, Unauthorized
from addon.core.settings import Settings
from addon.core.terminal import Terminal
from addon.credentials.login import StaticLogin
from addon.exchange.attempt import Attempt, Source
from addon.exchange.claude_request import ClaudeRequest
from addon.exchange.state import Exchange, Exchanges
from addon.fallback import policy
from addon.fallback.policy import Outcome
from addon.fallback.rate_limits import Limit, RateLimit
from addon.translation.types import Reply
from addon.usage.budget import Budget, BudgetSettings, PaidCalls
from addon.usage.ledger import UsageLedger
from addon.usage.subscription import SubscriptionState
from tests.claude.support import CATALOGUE
from tests.clock import NOW
from tests.usage.records import record

HOUR = 3600.0
OPUS = CATALOGUE.get("claude-opus-4-8")


class World:
    """One request that has come to `Upstream`."""

    def __init__(self, env: dict[str, str] | None = None, **budget: float) -> None:
        settings = Settings.from_env({"ANTHROPIC_API_KEY": "sk-ant-api03-test", **(env or {})})
        self.exchanges = Exchanges()
        self.subscription = SubscriptionState()
        self.ledger = UsageLedger(lambda: NOW)
        self.ledger.add(record(dollars=1))
        self.budget = Budget(self.ledger, BudgetSettings(**budget, enabled=bool(budget)))
        self.flow = tflow.tflow()
        self.exchange: Exchange = self.exchanges.begin(self.flow)
        self.claude = a_call()
        paid = PaidCalls(settings, self.budget, CATALOGUE.get)
        self.upstream = Upstream(
            settings,
            self.exchanges,
            UpstreamRequestBuilder(
                settings, Continuity(ThinkingStore(time.monotonic)), RefusedFeatures()
            ),
            StaticLogin("sk-ant-oat01-test"),
            chain=FallbackChain(settings, CATALOGUE, self.subscription, paid),
            window=ContextWindow(settings, self.exchanges, NO_MANAGER, Terminal()),
            clock=lambda: NOW,
        )

    def sent(self, source: Source) -> None:
        attempt = Attempt(
            source=source,
            credential=source,
            scheme="https",
            host="api.example",
            port=443,
            path="/v1/messages",
            headers=[],
            body=b"",
            auth=("x-api-key", "secret"),
        )
        self.exchange.attempts.append(attempt)

    async def failed(self, source: Source, error: CCProxyError, *limits: Limit) -> None:
        """Its attempt by `source` got this answer."""
        self.sent(source)
        limited = RateLimit(limits=limits, retry_after=error.retry_after)
        outcome = Outcome(phase="before_headers", error=error, rate_limit=limited)
        self.exchange.claude = self.exchange.claude or self.claude
        await self.upstream.go_on(self.exchange, outcome, source)

    @property
    def told(self) -> CCProxyError:
        assert self.exchange.error
        return self.exchange.error

    def headers(self) -> dict[str, str]:
        return self.exchange.error_headers(self.told)


class NoManager(ContextManager):
    def __init__(self) -> None:
        """Nothing here is counted or cut."""


NO_MANAGER = NoManager()


def a_call(**fields: Any) -> ClaudeRequest:
    request = {"model": OPUS.id, "max_tokens": 1000, "messages": []}
    call = ClaudeRequest(
        asked=OPUS.id,
        choice=ModelChoice(id=OPUS.id),
        model=OPUS,
        request=request,
        reply=Reply(model=OPUS.id),
        thinking_request=ThinkingRequest(),
        max_tokens_given=True,
        betas=set(),
    )
    for name, value in fields.items():
        setattr(call, name, value)
    return call


LIMIT = RateLimited("Your limit is reached")
BAD_KEY = Unauthorized("invalid x-api-key")


async def test_both_causes_and_the_reset_of_this_models_limit_are_named() -> None:
    world = World()
    # another family's rest ends sooner, and says nothing about this request
    world.subscription.cooldowns.start(
        "claude_code", Limit("fable", NOW + 60), reason="rate_limited", now=NOW
    )
    await world.failed("claude_code", LIMIT, Limit(None, NOW + 2 * HOUR))
    await world.failed("api_key", BAD_KEY)
    assert "Your limit is reached" in world.told.message
    assert "invalid x-api-key" in world.told.message
    assert (world.told.status, world.told.retry_after) == (429, 2 * HOUR)
    assert world.headers()["x-should-retry"] == "false"


async def test_of_two_limits_the_one_that_ends_first_is_named() -> None:
    world = World()
    await world.failed("claude_code", LIMIT, Limit(None, NOW + 2 * HOUR))
    await world.failed("api_key", RateLimited("Too many tokens a minute", retry_after=45.0))
    # 45 seconds are more than the client's patience, so the key is not waited for
    assert (world.told.status, world.told.retry_after) == (429, 45.0)


async def test_a_refused_permission_is_no_limit_that_ends() -> None:
    world = World()
    await world.failed("claude_code", Forbidden("Not for you"))
    await world.failed("api_key", BAD_KEY)
    assert (world.told.status, world.told.retry_after) == (401, None)
    assert "Not for you" in world.told.message and "invalid x-api-key" in world.told.message


async def test_a_spent_budget_keeps_the_first_cause_and_its_reset() -> None:
    world = World(daily=1.0)
    await world.failed("claude_code", LIMIT, Limit(None, NOW + HOUR))
    assert world.told.message.startswith("Daily budget exceeded: $1.00 / $1.00")
    assert "Your limit is reached" in world.told.message
    assert (world.told.code, world.told.retry_after) == ("budget_exceeded", HOUR)
    assert world.headers()["x-should-retry"] == "false"


async def test_counting_tokens_is_free_and_needs_no_budget() -> None:
    world = World(daily=1.0)
    world.claude = a_call(counts_tokens=True)
    await world.failed("claude_code", LIMIT, Limit(None, NOW + HOUR))
    assert world.exchange.error is None
    assert world.exchange.approved and world.exchange.approved.source == "api_key"
    assert world.exchange.reservations == []


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is not waited for."""
    monkeypatch.setattr(policy, "BACKOFF_BASE", 0.0)


async def handed_to_the_key(**budget: float) -> World:
    """Its reservation of $0.30 is held, besides the dollar that was spent before."""
    world = World(**budget)
    world.claude.request["max_tokens"] = 12_000
    await world.failed("claude_code", LIMIT, Limit(None, NOW + HOUR))
    world.exchange.take_approved()
    return world


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("status", [500, 529])
async def test_a_request_does_not_stand_in_its_own_way_when_the_key_is_tried_again(
    status: int,
) -> None:
    world = await handed_to_the_key(daily=1.5)
    for _ in range(policy.RETRIES["overloaded"]):
        await world.failed("api_key", CCProxyError("Try again", status=status))
        assert world.exchange.error is None
        attempt = world.exchange.take_approved()
        assert attempt and attempt.source == "api_key"
    assert len(world.exchange.reservations) == 1


@pytest.mark.usefixtures("at_once")
async def test_a_request_goes_on_with_its_reservation_when_others_spend_the_rest() -> None:
    world = await handed_to_the_key(daily=1.5)
    world.ledger.add(record(dollars=1))
    await world.failed("api_key", CCProxyError("Overloaded", status=529))
    assert world.exchange.error is None
    assert world.exchange.approved and world.exchange.approved.source == "api_key"


async def test_other_requests_find_its_reservation_held() -> None:
    world = await handed_to_the_key(daily=1.5)
    with pytest.raises(RateLimited, match="Daily budget exceeded"):
        world.upstream.paid.reserve({"max_tokens": 12_000}, OPUS, world.claude.size)


@pytest.mark.parametrize(
    ("sent", "error", "final"),
    [
        (0, RateLimited("resting", retry_after=7200.0), True),
        (0, RateLimited("Daily budget exceeded", code="budget_exceeded"), True),
        (0, RateLimited("spent is unknown", code="budget_unknown"), True),
        (0, RateLimited("too many pages"), False),
        (1, RateLimited("busy", retry_after=20.0), False),
        (2, RateLimited("busy", retry_after=20.0), True),
        (1, BadGateway("cut off"), True),
        (3, CCProxyError("Overloaded", status=529), True),
    ],
    ids=lambda value: str(value),
)
def test_sdks_are_told_not_to_try_again_what_was_tried_or_cannot_help(
    sent: int, error: CCProxyError, final: bool
) -> None:
    world = World()
    for _ in range(sent):
        world.sent("claude_code")
    assert (world.exchange.error_headers(error).get("x-should-retry") == "false") is final
