"""The paid request that makes a summary: by API key, within the budget, recorded like every other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

from addon.addons.model_list import utc_day
from addon.claude.catalogue import Catalogue
from addon.claude.pricing import bill
from addon.context.summarizer import Summarizer, SummaryResponse, SummaryTasks
from addon.context.summary_memory import SummaryMemory
from addon.context.tokens.counter import TokenCounter
from addon.context.window import ContextManager, KnownCuts
from addon.core.errors import BadGateway, BadRequest, CCProxyError, NotFound
from addon.core.json_codec import dumps
from addon.core.own_http import HttpError, OwnHttp
from addon.core.settings import Settings
from addon.core.suggestions import did_you_mean
from addon.core.types import JsonObject
from addon.exchange.claude_request import ANTHROPIC_VERSION
from addon.translation.errors import from_upstream
from addon.translation.message_stream import read_message
from addon.usage.budget import PaidCalls
from addon.usage.ledger import UsageLedger
from addon.usage.record import RequestRecord, picodollars


class SummaryCall:
    """Raises CCProxyError: no room in the budget, refused by Anthropic, not reachable."""

    def __init__(
        self,
        url: str,
        api_key: str,
        http: OwnHttp,
        *,
        catalogue: Catalogue,
        paid: PaidCalls,
        ledger: UsageLedger,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = f"{url}/v1/messages"
        self.headers = {"x-api-key": api_key, "anthropic-version": ANTHROPIC_VERSION}
        self.http = http
        self.catalogue = catalogue
        self.paid = paid
        self.ledger = ledger
        self.clock = clock

    async def __call__(self, request: JsonObject) -> SummaryResponse:
        model = self.catalogue.on(utc_day(self.clock())).get(request["model"])
        body = dumps({**request, "model": model.id})
        reservation = self.paid.reserve(request, model, len(body))
        started, spent = time.monotonic(), None
        try:
            message = await self.send(body)
            usage = message.get("usage") or {}
            billed = bill(usage, model, self.catalogue.get)
            spent = picodollars(billed.usd)
            self.add(model.id, started, tokens=billed.tokens, cost=spent)
        except CCProxyError as error:
            spent = 0
            self.add(model.id, started, status=error.status, error=error.code or error.type)
            raise
        except asyncio.CancelledError:  # it took too long; Anthropic may bill it all the same
            spent = reservation.amount
            self.add(model.id, started, status=504, error="timeout", cost=spent)
            raise
        finally:
            self.paid.budget.release(reservation, spent)
        return SummaryResponse(
            text="".join(b.get("text", "") for b in message["content"] if b.get("type") == "text"),
            cost=billed.usd,
            complete=message.get("stop_reason") != "max_tokens",
            usage=usage,
        )

    def add(self, model: str, started: float, **what: Any) -> None:
        latency = round((time.monotonic() - started) * 1000)
        record = RequestRecord(
            time=self.clock(), model=model, source="summary", latency_ms=latency, **what
        )
        self.ledger.add(record)

    async def send(self, body: bytes) -> JsonObject:
        headers = {**self.headers, "content-type": "application/json"}
        try:
            response = await self.http.request("POST", self.url, content=body, headers=headers)
        except HttpError as error:
            raise BadGateway(f"Anthropic can't be reached for a summary ({error}).") from None
        if response.status != 200:
            raise from_upstream(response.status, response.body, response.headers, self.clock())
        return read_message(response.body)


class Services(Protocol):
    """What a context manager is made from, besides the settings."""

    catalogue: Catalogue
    counter: TokenCounter
    memory: SummaryMemory
    http: OwnHttp
    ledger: UsageLedger
    summary_tasks: SummaryTasks
    cuts: KnownCuts


def make_manager(settings: Settings, services: Services, paid: PaidCalls) -> ContextManager:
    """Raises BadRequest if the summaries' model is not known."""
    name, catalogue = settings.context_summarization_model, services.catalogue
    try:
        model = catalogue.get(name)
    except NotFound:
        hint = did_you_mean(name, catalogue.ids)
        raise BadRequest(
            f"CONTEXT_SUMMARIZATION_MODEL: no Claude model {name} is known.{hint}"
        ) from None
    call = make_summary_call(settings, services, paid)
    summarizer = Summarizer(
        call,
        services.memory,
        services.counter,
        model=model,
        clock=time.time,
        tasks=services.summary_tasks,
    )
    limit = settings.context_max_tokens
    limited = limit != "auto" and "CONTEXT_MAX_TOKENS" not in settings.defaulted
    return ContextManager(
        services.counter,
        summarizer,
        strategy=settings.context_strategy,
        limit=limit,
        target=settings.context_target_tokens or "auto",
        cuts=services.cuts,
        strict=lambda: limited or paid.budget.settings.enabled,
    )


def make_summary_call(
    settings: Settings, services: Services, paid: PaidCalls
) -> SummaryCall | None:
    """None when there is no API key that may be used: then conversations are trimmed."""
    if settings.api_key is None or paid.hindrance(settings.api_key):
        return None
    return SummaryCall(
        settings.upstream_url,
        settings.api_key,
        services.http,
        catalogue=services.catalogue,
        paid=paid,
        ledger=services.ledger,
    )
