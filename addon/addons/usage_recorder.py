"""Records every request once, when it has ended: in the ledger, in the flow's comment and in the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from typing import NamedTuple

from mitmproxy import ctx, http

from addon.addons.request_line import CLIENT_CLOSED, comment, line, marker, tone
from addon.claude.pricing import Bill, FindModel, Tokens, bill, count
from addon.core.json_codec import dumps
from addon.core.redaction import excerpt
from addon.core.terminal import Terminal, cents, short_count
from addon.core.types import JsonObject
from addon.exchange.answer import AnswerStream
from addon.exchange.state import Exchange, Exchanges
from addon.usage.budget import Budget, Reservation
from addon.usage.conversations import RecentConversation
from addon.usage.ledger import Key, Totals, TotalsByKey, UsageLedger, add
from addon.usage.live import LiveHub
from addon.usage.metrics import Metrics
from addon.usage.record import (
    COUNTED,
    PAID,
    SAVED,
    RecordSource,
    RequestRecord,
    picodollars,
    record_json,
    usd,
)
from addon.usage.subscription import SUBSCRIPTION, SubscriptionState

UNRECORDED = ("stored", "public", "page", "control")
"""Kinds of routes whose requests are none for a model, and so take no place among those. Nor does whoever is not let
in."""
OF_STRANGERS = ("public", "page")
"""Kinds whose errors get no line in the terminal: anybody can make them."""
READERS = ("view", "save", "savehar", "dumper")
"""Addons of mitmproxy that show or save flows, and so their comments."""
BYTES_PER_TOKEN = 3
"""Of what Claude writes: prose has four, code three."""
MESSAGE_SHOWN = 200
"""Characters of an error's message in the terminal."""


class Moment(NamedTuple):
    wall: float
    monotonic: float


@dataclass(eq=False, repr=False)
class UsageRecorder:
    exchanges: Exchanges
    ledger: UsageLedger
    budget: Budget
    terminal: Terminal
    _: KW_ONLY
    metrics: Metrics
    hub: LiveHub
    subscription: SubscriptionState
    find: FindModel
    clock: Callable[[], float] = time.time
    since_start: TotalsByKey = field(default_factory=dict, init=False)
    """By source."""

    def __post_init__(self) -> None:
        self.ledger.watch(self.publish)

    def running(self) -> None:
        addons = ctx.master.addons
        self.exchanges.ended.waits = not any(map(addons.get, READERS))

    def done(self) -> None:
        self.exchanges.ended.catch_up()

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        if exchange is None or exchange.answer is None or not exchange.attempts:
            return
        exchange.attempts[-1].answer = exchange.answer
        if exchange.client.streaming and not exchange.counted_open:
            exchange.counted_open = True
            self.metrics.open_streams += 1

    def response(self, flow: http.HTTPFlow) -> None:
        self.finish(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        self.finish(flow)

    def finish(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        if exchange is None or exchange.finished:
            return
        exchange.finished = True
        if exchange.counted_open:
            self.metrics.open_streams -= 1
        tag = self.exchanges.tag(exchange)
        self.exchanges.running.discard(exchange)
        keep = partial(self.keep, flow, exchange, Moment(self.clock(), time.monotonic()), tag)
        # money that was set aside is free for others at once
        now, body = bool(exchange.reservations), flow.request.raw_content or b""
        self.exchanges.ended.add(keep, holds=len(body), now=now)

    def keep(self, flow: http.HTTPFlow, exchange: Exchange, ended: Moment, tag: str) -> None:
        """`tag`: see `Exchanges.tag`."""
        record = paid = None
        try:
            record = self.record(flow, exchange, ended)
            paid = self.paid_before(exchange, record)
            if exchange.route is None:
                self.metrics.observe(record)  # `GET /security/blocked` lists it, too
            elif exchange.route.kind not in UNRECORDED:
                record = self.ledger.add(record)
                if paid is not None:
                    self.ledger.add(paid)
                self.note_conversation(exchange, record)
        finally:
            self.release(exchange, paid or record)
        flow.comment, flow.marked = comment(exchange, record), marker(exchange, record)
        kind = exchange.route.kind if exchange.route else "page"
        told = exchange.error and kind not in OF_STRANGERS
        if exchange.claude or exchange.passthrough or told:
            clock = time.strftime("%H:%M:%S", time.localtime(ended.wall))
            shown = line(exchange, record, clock, tag)
            why = f": {excerpt(exchange.error.message, MESSAGE_SHOWN)}" if exchange.error else ""
            self.terminal.line(shown + why, tone(exchange, record))
        exchange.forget()

    def release(self, exchange: Exchange, record: RequestRecord | None) -> None:
        for reservation in exchange.reservations:
            if isinstance(reservation, Reservation):
                self.budget.release(reservation, record.cost if record else None)

    def publish(self, record: RequestRecord) -> None:
        """Called for every record in the ledger, including summaries: updates metrics and open dashboards."""
        self.metrics.observe(record)
        add(self.since_start, Key(record.source, ""), Totals.of(record))
        if self.hub.watched:
            self.hub.publish("request", record_json(record))
            self.hub.publish("totals", {})

    def billed(self, exchange: Exchange) -> list[Bill]:
        """The last attempt, and earlier ones that broke off and are billed the same way. Prices of other APIs may be
        unknown."""
        model = exchange.claude.model if exchange.claude else None
        last = exchange.attempt
        if last and last.source == "openai":
            model = last.priced
            if (
                last.answer and last.answer.began and not last.answer.usage
            ):  # it broke off before its usage came
                held = [r.amount for r in exchange.reservations if isinstance(r, Reservation)]
                return [Bill(Tokens(), usd(sum(held)))]
        used = _used(exchange, exchange.source)
        if model is None:
            return [Bill(Tokens.from_usage(usage), 0.0) for usage in used]
        return [bill(usage, model, self.find) for usage in used]

    def paid_before(self, exchange: Exchange, record: RequestRecord) -> RequestRecord | None:
        """What the API key was paid for the beginning of a paused turn with which the subscription went on."""
        asked = exchange.asked or exchange.claude
        if asked is None or exchange.source != SUBSCRIPTION:
            return None
        used = _used(exchange, "api_key")
        if not used:
            return None
        bills = [bill(usage, asked.model, self.find) for usage in used]
        cost = sum(picodollars(each.usd) for each in bills)
        tokens = sum((each.tokens for each in bills), Tokens())
        paid = replace(record, source="api_key", model=asked.model.id, tokens=tokens, cost=cost)
        return replace(paid, miss="", miss_cost=0) if cost else None

    def sum_up(self) -> str | None:
        """What has been used since the start, in one line; None: nothing."""
        self.exchanges.ended.catch_up()
        sums = self.since_start
        requests = sum(t.requests for key, t in sums.items() if key.source in COUNTED)
        if not requests:
            return None
        tokens = short_count(sum(t.tokens.prompt + t.tokens.output for t in sums.values()))
        paid, saved = (
            cents(usd(sum(t.cost for key, t in sums.items() if key.source in sources)))
            for sources in (PAID, SAVED)
        )
        many = "request" if requests == 1 else "requests"
        return f"Since the start: {requests} {many}, {tokens} tokens, {paid} paid, {saved} saved."

    def note_conversation(self, exchange: Exchange, record: RequestRecord) -> None:
        claude = exchange.claude
        if claude is None or claude.conversation is None or claude.counts_tokens:
            return
        fitted = claude.fitted
        conversation = RecentConversation(
            id=claude.conversation,
            model=record.model,
            tokens=record.tokens.prompt or claude.prompt_tokens,
            limit=claude.limit or claude.model.context,
            last_seen=record.time,
            summarized=fitted is not None and fitted.summary is not None,
        )
        self.subscription.conversations.note(conversation)

    def record(self, flow: http.HTTPFlow, exchange: Exchange, ended: Moment) -> RequestRecord:
        first = exchange.first_content
        billed = self.billed(exchange)
        return RequestRecord(
            time=ended.wall,
            model=_model(exchange),
            source=_source(exchange),
            dialect=exchange.dialect,
            stream=exchange.client.streaming,
            status=_status(flow, exchange),
            reason=exchange.attempts[-1].reason if exchange.attempts else None,
            tokens=sum((each.tokens for each in billed), Tokens()),
            cost=sum(picodollars(each.usd) for each in billed),
            latency_ms=round((ended.monotonic - exchange.clock) * 1000),
            ttft_ms=None if first is None else round((first - exchange.clock) * 1000),
            miss=exchange.cache_miss[0],
            miss_cost=exchange.cache_miss[1],
            error=_error(flow, exchange),
            conversation=exchange.claude.conversation if exchange.claude else None,
            exchange=exchange.id,
            client=exchange.who.client,
            name=exchange.who.name,
            session=exchange.who.session,
            agent=exchange.who.agent,
            parent_agent=exchange.who.parent_agent,
            request_id=flow.response.headers.get("request-id") if flow.response else None,
        )


def _used(exchange: Exchange, source: str) -> list[JsonObject]:
    """The usage of each attempt of this source."""
    return [
        usage_of(attempt.answer)
        for attempt in exchange.attempts
        if attempt.answer is not None and attempt.source == source
    ]


def usage_of(answer: AnswerStream) -> JsonObject:
    """The `usage` of a response. Only its end says how much was written; if it was broken off, what has come is billed
    all the same, and estimated here."""
    message = {} if answer.complete else answer.message
    if not message.get("content") or message.get("stop_reason") is not None:
        return answer.usage
    written = len(dumps(message["content"])) // BYTES_PER_TOKEN
    return {**answer.usage, "output_tokens": max(count(answer.usage, "output_tokens"), written)}


def _model(exchange: Exchange) -> str:
    if exchange.claude and exchange.source != "openai":
        return exchange.claude.model.id
    if exchange.attempt and exchange.source == "openai":
        return str(exchange.attempt.request.get("model", "-"))
    return str((exchange.passthrough or {}).get("model", "-"))


def _source(exchange: Exchange) -> RecordSource:
    if exchange.attempts:
        last = exchange.attempts[-1]
        return "extra_usage" if last.extra_usage else last.source
    if exchange.route is None:
        return "refused"
    return "error" if exchange.claude or exchange.error else "local"


def _status(flow: http.HTTPFlow, exchange: Exchange) -> int:
    if exchange.error is not None:
        return exchange.error.status
    if flow.error is not None:
        return CLIENT_CLOSED
    return flow.response.status_code if flow.response else 500


def _error(flow: http.HTTPFlow, exchange: Exchange) -> str | None:
    if exchange.error is not None:
        return exchange.error.code or exchange.error.type
    return "client_closed" if flow.error is not None else None
