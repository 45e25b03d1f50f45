"""Which credential a request goes out with, and what is tried next when it fails.

The rules are one table, `addon/fallback/policy.py`; here they are carried out.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace

from mitmproxy import connection, http

from addon.addons.context_window import ContextWindow
from addon.addons.mending import Mending
from addon.addons.thinking import thinking_options
from addon.addons.upstream_request import UpstreamRequestBuilder
from addon.claude.pricing import bill
from addon.core.errors import CCProxyError, RateLimited, Unauthorized
from addon.core.settings import Settings
from addon.core.types import Tried
from addon.credentials.credential import CredentialError
from addon.credentials.login import Login
from addon.exchange.attempt import Failure, Source
from addon.exchange.claude_request import ClaudeRequest, yield_if_large
from addon.exchange.state import Exchange, Exchanges
from addon.fallback.messages import both_failed, cooling_down, explained
from addon.fallback.policy import Decision, Outcome, RetryState, decide, first
from addon.fallback.rate_limits import RateLimit, read_rate_limit, read_windows
from addon.usage.budget import PaidCalls, Reservation
from addon.usage.record import picodollars
from addon.usage.subscription import SubscriptionState

logger = logging.getLogger(__name__)

SUBSCRIPTION: Source = "claude_code"
REFUSALS = (401, 403, 429)
"""Statuses that say something of the credential; any other answer shows that it is accepted."""


class Upstream:
    def __init__(
        self,
        settings: Settings,
        exchanges: Exchanges,
        builder: UpstreamRequestBuilder,
        login: Login,
        subscription: SubscriptionState,
        *,
        paid: PaidCalls,
        window: ContextWindow,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.exchanges = exchanges
        self.builder = builder
        self.login = login
        self.subscription = subscription
        self.paid = paid
        self.window = window
        self.mending = Mending(builder.refused, thinking_options(settings))
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
        await self.go_on(exchange, claude, outcome, failure.attempt.source)

    async def upstream_paused(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        claude, last = (exchange.claude, exchange.attempt) if exchange else (None, None)
        if exchange is None or claude is None or last is None:
            return
        exchange.resumed = time.monotonic()
        exchange.tried = replace(exchange.tried, retries=0, reconnected=False, waited=False)
        outcome = await self.again(exchange, claude, last.source)
        await self.go_on(exchange, claude, outcome, last.source)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        if exchange is None or exchange.claude is None or not flow.response:
            return
        now, attempt = self.clock(), exchange.attempt
        if attempt is None or attempt.source != SUBSCRIPTION:
            return
        headers = attempt.response_headers or flow.response.headers
        self.subscription.note_windows(read_windows(headers, now), now)
        if flow.response.status_code not in REFUSALS:
            self.subscription.cooldowns.succeeded(SUBSCRIPTION, exchange.claude.model.family, now)

    def client_disconnected(self, client: connection.Client) -> None:
        for exchange in self.exchanges.of_client(client.id):
            exchange.gone.set()

    # -- deciding -----------------------------------------------------------------------------------------------

    async def begin(self, exchange: Exchange, claude: ClaudeRequest) -> None:
        state = self.state(exchange, claude, SUBSCRIPTION)
        decision = first(state, claude_code_first=self.settings.claude_code_first)
        if decision.action == "send":
            outcome = await self.try_subscription(exchange, claude)
            if outcome is not None:
                await self.go_on(exchange, claude, outcome, SUBSCRIPTION)
        elif decision.action == "fall_back":
            self.try_api_key(exchange, claude, reason=None)
        else:
            exchange.error = Unauthorized(
                "No authentication method available: CLAUDE_CODE_FIRST=false needs ANTHROPIC_API_KEY."
            )

    async def go_on(
        self, exchange: Exchange, claude: ClaudeRequest, outcome: Outcome | None, source: Source
    ) -> None:
        """Decide and act until an attempt is approved or the error is final."""
        while outcome is not None:
            mend = self.mending.find(exchange, claude, outcome)
            state = self.state(exchange, claude, source, mendable=mend is not None)
            decision = decide(outcome, state)
            for limit in decision.cooldowns:
                self.subscription.cooldowns.start(
                    SUBSCRIPTION, limit, reason=decision.reason, now=state.now
                )
            logger.debug("%s: %s (%s)", source, decision.action, decision.reason)
            if decision.action in ("relay", "refuse"):
                exchange.error = self.final_error(exchange, claude, outcome, decision)
                return
            if decision.action == "mend_and_retry" and mend is not None:
                mend()
            outcome = await self.act(exchange, claude, outcome, decision, source)
            if exchange.error is not None or exchange.gone.is_set():
                return

    async def act(
        self,
        exchange: Exchange,
        claude: ClaudeRequest,
        outcome: Outcome,
        decision: Decision,
        source: Source,
    ) -> Outcome | None:
        tried, last = exchange.tried, exchange.attempt
        match decision.action:
            case "fall_back":
                exchange.first_error = outcome.error
                exchange.tried = Tried()
                self.try_api_key(exchange, claude, decision.reason)
                return None
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
        return await self.again(exchange, claude, source)

    async def shortened(self, exchange: Exchange, outcome: Outcome) -> bool:
        """Whether the request has been cut after Anthropic found it too long; else the error is final."""
        try:
            if await self.window.trim_again(exchange, outcome.error.message):
                return True
            exchange.error = outcome.error
        except CCProxyError as error:
            exchange.error = error
        return False

    async def again(
        self, exchange: Exchange, claude: ClaudeRequest, source: Source
    ) -> Outcome | None:
        if exchange.gone.is_set():
            return None
        if source == SUBSCRIPTION:
            return await self.try_subscription(exchange, claude)
        self.try_api_key(exchange, claude, exchange.attempts[-1].reason)
        return None

    def state(
        self,
        exchange: Exchange,
        claude: ClaudeRequest,
        source: Source,
        *,
        mendable: bool = False,
    ) -> RetryState:
        return RetryState(
            credential="api_key" if source == "api_key" else "claude_code",
            family=claude.model.family,
            now=self.clock(),
            patience=self.patience(exchange),
            jitter=random.random(),  # noqa: S311 (spreads retries, guards nothing)
            tried=_possible(claude, exchange.tried),
            mendable=mendable,
            hindrance=self.paid.hindrance(self.api_key(exchange)),
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
        if exchange.first_error is None:
            if wait is None and outcome.rate_limit.until:  # Anthropic often names the reset alone
                outcome.error.retry_after = outcome.rate_limit.until - now
            return explained(outcome.error, decision)
        subscription = self.subscription.limited_until(claude.model.family, now)
        resets = (subscription, None if wait is None else now + wait)
        earliest = min((reset for reset in resets if reset is not None), default=None)
        return both_failed(exchange.first_error, outcome.error, reset=earliest, now=now)

    # -- sending ------------------------------------------------------------------------------------------------

    async def try_subscription(
        self, exchange: Exchange, claude: ClaudeRequest, refused: str | None = None
    ) -> Outcome | None:
        """Approve an attempt with the subscription, or return why not."""
        identity = await self.login.identity()
        self.subscription.note_login(SUBSCRIPTION, identity)
        now = self.clock()
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

    def try_api_key(self, exchange: Exchange, claude: ClaudeRequest, reason: str | None) -> None:
        """Approve an attempt by API key, if the budget has room for it; else the error is final."""
        try:
            if not claude.counts_tokens:  # counting is free
                exchange.reservations = [self.reservation(exchange, claude)]
        except CCProxyError as error:
            exchange.error = self.over_budget(error, exchange, claude)
            return
        attempt = self.builder.api_key(exchange, claude, self.api_key(exchange) or "")
        attempt.reason = reason
        exchange.approve(attempt)

    def reservation(self, exchange: Exchange, claude: ClaudeRequest) -> Reservation:
        """For all attempts by API key: what they used is billed, and the next one may be larger. Raises
        CCProxyError."""
        usages = (a.answer.usage for a in exchange.attempts if a.answer and a.source == "api_key")
        used = sum(picodollars(bill(u, claude.model, self.paid.find).usd) for u in usages)
        held = next((r for r in exchange.reservations if isinstance(r, Reservation)), None)
        return self.paid.reserve(
            claude.request,
            claude.model,
            claude.size,
            claude.prompt_tokens,
            used=used,
            held=held,
        )

    def api_key(self, exchange: Exchange) -> str | None:
        """The client's own key comes before ours; with CLAUDE_CODE_FIRST=false ours alone is used."""
        if self.settings.claude_code_first and exchange.client_key:
            return exchange.client_key
        return self.settings.api_key

    def over_budget(
        self, error: CCProxyError, exchange: Exchange, claude: ClaudeRequest
    ) -> CCProxyError:
        """The budget's own words first, then why the budget was asked at all, and when it need not be."""
        first, now = exchange.first_error, self.clock()
        if first is None:
            return error
        reset = self.subscription.limited_until(claude.model.family, now)
        words = error.message.removesuffix(".")
        return RateLimited(
            f"{words}. The subscription was tried before: {first.message}",
            code=error.code,
            retry_after=None if reset is None else reset - now,
        )


def _possible(claude: ClaudeRequest, tried: Tried) -> Tried:
    """A request that nothing here may look into can be neither shortened nor stripped of anything."""
    if not claude.opaque:
        return tried
    trimmed = tried.trimmed or claude.fitted is None
    return replace(tried, trimmed=trimmed, stripped=True, server_tools_dropped=True)
