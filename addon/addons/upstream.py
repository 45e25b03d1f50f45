"""Which credential a request goes out with, and what is tried next when it fails.

The rules are one table, `addon/fallback/policy.py`; here they are carried out.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from mitmproxy import connection, http

from addon.addons.context_window import ContextWindow
from addon.addons.fallback_chain import FallbackChain, for_model
from addon.addons.mending import Mending
from addon.addons.thinking import thinking_options
from addon.addons.upstream_request import UpstreamRequestBuilder
from addon.claude.model import Model
from addon.claude.pricing import bill
from addon.core.errors import CCProxyError, RateLimited, Unauthorized
from addon.core.settings import Settings
from addon.core.types import Tried
from addon.credentials.credential import CredentialError
from addon.credentials.login import Login
from addon.exchange.attempt import Failure, Source
from addon.exchange.claude_request import ClaudeRequest, yield_if_large
from addon.exchange.state import Exchange, Exchanges
from addon.fallback.causes import CredentialKind
from addon.fallback.messages import all_failed, cooling_down, explained, local_time
from addon.fallback.policy import (
    ChainStep,
    Decision,
    Outcome,
    RetryState,
    StepKind,
    decide,
    first,
    limits,
)
from addon.fallback.rate_limits import Limit, RateLimit, read_rate_limit, read_windows
from addon.usage.budget import Reservation
from addon.usage.record import picodollars
from addon.usage.subscription import SUBSCRIPTION

logger = logging.getLogger(__name__)

HOLD_TICK = 5.0
"""Seconds between two looks whether a held request can be sent: its cooldown may end early."""
STEP_SOURCES: Mapping[StepKind, Source] = {
    "api_key": "api_key",
    "claude": SUBSCRIPTION,
    "openai": "openai",
    "wait": SUBSCRIPTION,
}
REFUSALS = (401, 403, 429)
"""Statuses that say something of the credential; any other answer shows that it is accepted."""


class Upstream:
    def __init__(
        self,
        settings: Settings,
        exchanges: Exchanges,
        builder: UpstreamRequestBuilder,
        login: Login,
        *,
        chain: FallbackChain,
        window: ContextWindow,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.exchanges = exchanges
        self.builder = builder
        self.login = login
        self.subscription = chain.subscription
        self.chain = chain
        self.paid = chain.paid
        self.window = window
        self.thinking = thinking_options(settings)
        self.mending = Mending(builder.refused, self.thinking)
        self.clock = clock

    # -- hooks --------------------------------------------------------------------------------------------------

    async def request(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.open(flow)
        if exchange is None:
            return
        if exchange.passthrough is not None:
            exchange.approve(self.builder.passthrough(exchange, exchange.passthrough))
        elif exchange.claude is not None:
            await yield_if_large(exchange.claude.size)
            await self.begin(exchange, exchange.claude)
            if exchange.error is not None:
                exchange.refuse(flow, exchange.error)

    async def upstream_failed(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        if exchange is None or exchange.failure is None:
            return
        failure, claude = exchange.failure, exchange.claude
        if claude is None:
            exchange.error = failure.error
            return
        outcome = self.outcome(failure, claude, self.patience(exchange))
        await self.go_on(exchange, outcome, failure.attempt.source)

    async def upstream_paused(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        claude, last = (exchange.claude, exchange.attempt) if exchange else (None, None)
        if exchange is None or claude is None or last is None:
            return
        exchange.resumed = time.monotonic()
        exchange.tried = replace(exchange.tried, retries=0, reconnected=False, waited=False)
        outcome = await self.again(exchange, claude)
        await self.go_on(exchange, outcome, last.source)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        if exchange is None or exchange.claude is None or not flow.response:
            return
        now, attempt = self.clock(), exchange.attempt
        if attempt is None or attempt.source != SUBSCRIPTION:
            return
        windows = read_windows(attempt.response_headers or flow.response.headers, now)
        self.subscription.note_windows(windows, now, attempt.made)
        if windows is not None:
            attempt.extra_usage = windows.extra_usage and flow.response.status_code not in REFUSALS
            if self.settings.plan_only:
                self.rest(windows.spent(now), "plan_only", now)
        if flow.response.status_code not in REFUSALS:
            self.subscription.cooldowns.succeeded(SUBSCRIPTION, exchange.claude.model.family, now)

    def http_connect_upstream(self, flow: http.HTTPFlow) -> None:
        """The outbound proxy's credentials are on mitmproxy's own flow for the CONNECT only, which nothing shows."""
        address = flow.server_conn.address
        for proxy in self.builder.proxies.values():
            if proxy and proxy.authorization and address == (proxy.host, proxy.port):
                flow.request.headers["proxy-authorization"] = proxy.authorization

    def client_disconnected(self, client: connection.Client) -> None:
        for exchange in self.exchanges.of_client(client.id):
            exchange.gone.set()

    # -- deciding -----------------------------------------------------------------------------------------------

    async def begin(self, exchange: Exchange, claude: ClaudeRequest) -> None:
        hindrance = self.paid.hindrance(self.api_key(exchange))
        decision = first(hindrance, claude_code_first=self.settings.claude_code_first)
        outcome: Outcome | None
        if decision.action == "send":
            outcome = await self.try_subscription(exchange, claude)
            await self.go_on(exchange, outcome, SUBSCRIPTION)
        elif decision.action == "fall_back":
            outcome = self.pay(exchange, claude)
            await self.go_on(exchange, outcome, "api_key")
        else:
            exchange.error = Unauthorized(
                "No authentication method available: CLAUDE_CODE_FIRST=false needs ANTHROPIC_API_KEY."
            )

    async def go_on(self, exchange: Exchange, outcome: Outcome | None, source: Source) -> None:
        """Decide and act until an attempt is approved or the error is final."""
        while outcome is not None and (claude := exchange.claude):
            mend = self.mending.find(exchange, claude, outcome)
            now, credential = self.clock(), _credential(source)
            self.rest(limits(outcome, credential), "rate_limited", now)
            state = self.state(exchange, claude, source, mendable=mend is not None)
            decision = decide(outcome, state)
            self.rest(decision.cooldowns, decision.reason, now)
            exchange.skipped += [f"{step.name}={step.hindrance}" for step in decision.skipped]
            logger.debug("%s: %s (%s)", source, decision.action, decision.reason)
            if decision.action in ("relay", "refuse"):
                exchange.error = self.final_error(exchange, claude, outcome, decision)
                return
            if decision.action == "mend_and_retry" and mend is not None:
                mend()
            if decision.step is not None:
                source = self.take(exchange, decision.step, decision.reason, outcome)
                outcome = await self.serve(exchange, exchange.asked or claude, decision.step)
            else:
                outcome = await self.act(exchange, claude, outcome, decision)
            if exchange.error is not None or exchange.gone.is_set():
                return

    def rest(self, limits: tuple[Limit, ...], reason: str, now: float) -> None:
        for limit in limits:
            self.subscription.cooldowns.start(SUBSCRIPTION, limit, reason=reason, now=now)

    def take(self, exchange: Exchange, step: ChainStep, reason: str, outcome: Outcome) -> Source:
        """Let a step of the chain take over from what has failed."""
        last = exchange.step
        if last is None:
            exchange.reason = reason
        elif last.name != step.name:
            exchange.skipped.append(f"{last.name}={reason}")
        if last is None or last.name != step.name:  # `wait` may be taken again
            exchange.failed.append((self.who(exchange), outcome.error))
        if STEP_SOURCES[step.kind] == SUBSCRIPTION:
            self.give_back(exchange)
        exchange.asked = exchange.claude = exchange.asked or exchange.claude
        exchange.step, exchange.tried = step, Tried()
        return STEP_SOURCES[step.kind]

    def give_back(self, exchange: Exchange) -> None:
        """Reserve no more than what paid attempts have cost: a refused one nothing, the beginning of a paused turn
        something. What serves next may wait for hours."""
        held = next((r for r in exchange.reservations if isinstance(r, Reservation)), None)
        asked = exchange.asked or exchange.claude
        exchange.reservations.clear()
        if held is None or asked is None:
            return
        if used := self.used(exchange, asked.model):
            budget = self.paid.budget
            exchange.reservations.append(budget.reserve(0, held.model, used=used, held=held))
        else:
            self.paid.budget.release(held, 0)

    def who(self, exchange: Exchange) -> str:
        """Who serves at present, for people."""
        step, first = exchange.step, self.settings.claude_code_first
        if step is not None and step.kind in ("claude", "openai"):
            return step.name
        key = step.kind == "api_key" if step else not first
        return "API key" if key else "Claude Code subscription"

    async def serve(
        self, exchange: Exchange, claude: ClaudeRequest, step: ChainStep
    ) -> Outcome | None:
        match step.kind:
            case "api_key" | "openai":
                return self.pay(exchange, claude)
            case "claude":
                model = self.chain.catalogue.get(step.model)
                exchange.claude = for_model(claude, model, self.thinking)
                return await self.try_subscription(exchange, exchange.claude)
            case "wait":
                return await self.hold(exchange, claude, step.until or self.clock())

    async def hold(self, exchange: Exchange, claude: ClaudeRequest, until: float) -> Outcome | None:
        """Keep the client waiting until the subscription may be asked again."""
        begun = exchange.held_since = exchange.held_since or time.monotonic()
        try:
            while True:
                now = self.clock()
                exchange.waits_until = until
                shown = local_time(until, now)
                await exchange.pause(
                    min(max(until - now, 0.0), HOLD_TICK),
                    f"held until {shown}, when the limit resets",
                )
                if exchange.gone.is_set():
                    return None
                outcome = await self.try_subscription(exchange, claude)
                if outcome is None or outcome.blocked is None:
                    return outcome
                until = outcome.blocked.until
                if until - self.clock() > self.settings.hold_seconds - (time.monotonic() - begun):
                    return outcome
        finally:
            exchange.waits_until = None

    async def act(
        self, exchange: Exchange, claude: ClaudeRequest, outcome: Outcome, decision: Decision
    ) -> Outcome | None:
        tried, last = exchange.tried, exchange.attempt
        match decision.action:
            case "refresh_and_retry":
                tried.refreshed = True
                refused = last.auth[1].removeprefix("Bearer ") if last else None
                return await self.try_subscription(exchange, claude, refused)
            case "wait":
                tried.waited = True
            case "mend_and_retry":
                tried.mended += 1
            case "strip_thinking_and_retry":
                tried.stripped = True
                claude.repaired.append("thinking")
            case "drop_server_tools_and_retry":
                tried.server_tools_dropped = True
                claude.repaired.append("server_tools")
            case "trim_and_retry":
                tried.trimmed = True
                if not await self.shortened(exchange, outcome):
                    return None
            case _:
                tried.retries += 1
                tried.reconnected = tried.reconnected or decision.reason == "stale_connection"
        await exchange.pause(decision.seconds)
        return await self.again(exchange, claude)

    async def shortened(self, exchange: Exchange, outcome: Outcome) -> bool:
        """Whether the request has been cut after Anthropic found it too long; else the error is final."""
        try:
            if await self.window.trim_again(exchange, outcome.error.message):
                return True
            exchange.error = outcome.error
        except CCProxyError as error:
            exchange.error = error
        return False

    async def again(self, exchange: Exchange, claude: ClaudeRequest) -> Outcome | None:
        if exchange.gone.is_set():
            return None
        if exchange.source == SUBSCRIPTION:
            return await self.try_subscription(exchange, claude)
        return self.pay(exchange, claude)

    def state(
        self,
        exchange: Exchange,
        claude: ClaudeRequest,
        source: Source,
        *,
        mendable: bool = False,
    ) -> RetryState:
        now = self.clock()
        asked = exchange.asked or claude
        return RetryState(
            credential=_credential(source),
            family=claude.model.family,
            now=now,
            patience=self.patience(exchange),
            jitter=random.random(),  # noqa: S311 (spreads retries, guards nothing)
            tried=_possible(claude, exchange.tried, source),
            mendable=mendable,
            chain=self.chain.left(
                exchange, asked, now, self.paid.hindrance(self.api_key(exchange))
            ),
            step=exchange.step.kind if exchange.step else None,
        )

    def patience(self, exchange: Exchange) -> float:
        since = exchange.resumed or exchange.clock
        return max(0.0, since + self.settings.first_byte_seconds - time.monotonic())

    def outcome(self, failure: Failure, claude: ClaudeRequest, patience: float) -> Outcome:
        headers = failure.headers
        limited = failure.error.status == 429
        should = headers.get("x-should-retry")
        return Outcome(
            phase=failure.phase,
            error=failure.error,
            answered=failure.answered,
            reused=failure.reused,
            rate_limit=read_rate_limit(
                headers, family=claude.model.family, now=self.clock(), patience=patience
            )
            if limited
            else RateLimit(),
            should_retry=None if should is None else should == "true",
        )

    def final_error(
        self, exchange: Exchange, claude: ClaudeRequest, outcome: Outcome, decision: Decision
    ) -> CCProxyError:
        now, wait = self.clock(), outcome.error.retry_after
        asked = exchange.asked or claude
        if outcome.over_budget:
            return explained(self.over_budget(outcome.error, exchange, asked), decision)
        if not exchange.failed:
            if wait is None and outcome.rate_limit.until:  # Anthropic often names the reset alone
                outcome.error.retry_after = outcome.rate_limit.until - now
            return explained(outcome.error, decision)
        subscription = self.subscription.limited_until(asked.model.family, now)
        resets = (subscription, None if wait is None else now + wait)
        earliest = min((reset for reset in resets if reset is not None), default=None)
        errors = [*exchange.failed, (self.who(exchange), outcome.error)]
        return explained(all_failed(errors, reset=earliest, now=now), decision)

    # -- sending ------------------------------------------------------------------------------------------------

    async def try_subscription(
        self, exchange: Exchange, claude: ClaudeRequest, refused: str | None = None
    ) -> Outcome | None:
        """Approve an attempt with the subscription, or return why not."""
        identity = await self.login.identity()
        self.subscription.note_login(SUBSCRIPTION, identity)
        now = self.clock()
        if (
            self.settings.plan_only
        ):  # it may just have been set, or the windows are from before a restart
            self.subscription.guard(now)
        blocked = self.subscription.cooldowns.admit(
            SUBSCRIPTION, claude.model.family, now, by=exchange.id
        )
        if blocked is not None:
            error = cooling_down(blocked, now)
            return Outcome(phase="connect", error=error, answered=False, blocked=blocked)
        try:
            token = await self.login.access_token(force_refresh_of=refused)
        except CredentialError as failure:
            unauthorized = Unauthorized(failure.message)
            return Outcome(phase="connect", error=unauthorized, answered=False, login=failure.kind)
        exchange.approve(self.builder.subscription(exchange, claude, token, identity))
        return None

    def pay(self, exchange: Exchange, claude: ClaudeRequest) -> Outcome | None:
        """Approve an attempt that costs money, or return why there is no room for it."""
        step = exchange.step if exchange.step and exchange.step.kind == "openai" else None
        model = self.chain.priced(step, claude) if step else claude.model
        try:
            if model is not None and not claude.counts_tokens:  # counting is free
                exchange.reservations = [self.reservation(exchange, claude, model)]
        except CCProxyError as error:
            return Outcome(phase="connect", error=error, answered=False, over_budget=True)
        if step is not None:
            exchange.approve(self.builder.openai_step(exchange, step, model))
        else:
            key = self.api_key(exchange) or ""
            exchange.approve(self.builder.api_key(exchange, claude, key))
        return None

    def reservation(self, exchange: Exchange, claude: ClaudeRequest, model: Model) -> Reservation:
        """For all paid attempts: what they used is billed, and the next one may be larger. Raises CCProxyError."""
        used = self.used(exchange, model)
        held = next((r for r in exchange.reservations if isinstance(r, Reservation)), None)
        return self.paid.reserve(
            claude.request,
            model,
            claude.size,
            claude.prompt_tokens,
            used=used,
            held=held,
        )

    def used(self, exchange: Exchange, model: Model) -> int:
        """Pico-dollars that paid attempts have cost so far."""
        usages = (a.answer.usage for a in exchange.attempts if a.answer and a.paid)
        return sum(picodollars(bill(u, model, self.paid.find).usd) for u in usages)

    def api_key(self, exchange: Exchange) -> str | None:
        """The client's own key comes before ours; with CLAUDE_CODE_FIRST=false ours alone is used."""
        if self.settings.claude_code_first and exchange.client_key:
            return exchange.client_key
        return self.settings.api_key

    def over_budget(
        self, error: CCProxyError, exchange: Exchange, claude: ClaudeRequest
    ) -> CCProxyError:
        """The budget's own words first, then why the budget was asked at all, and when it need not be."""
        now = self.clock()
        if not exchange.failed:
            return error
        first = exchange.failed[0][1]
        reset = self.subscription.limited_until(claude.model.family, now)
        words = error.message.removesuffix(".")
        return RateLimited(
            f"{words}. The subscription was tried before: {first.message}",
            code=error.code,
            retry_after=None if reset is None else reset - now,
        )


def _credential(source: Source) -> CredentialKind:
    return SUBSCRIPTION if source == "local" else source


def _possible(claude: ClaudeRequest, tried: Tried, source: Source) -> Tried:
    """A request that nothing here may look into can be neither shortened nor stripped of anything."""
    if source == "openai":
        return replace(tried, trimmed=True, stripped=True, server_tools_dropped=True)
    if not claude.opaque:
        return tried
    trimmed = tried.trimmed or claude.fitted is None
    return replace(tried, trimmed=trimmed, stripped=True, server_tools_dropped=True)
