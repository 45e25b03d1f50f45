"""Usage, budget, metrics and the dashboard: what a person asks the proxy about itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from urllib.parse import parse_qs, urlsplit

from mitmproxy import connection, http

from addon.context.summary_memory import SummaryMemory
from addon.errors import CCProxyError, Forbidden, NotFound
from addon.exchange import Exchange, Exchanges
from addon.json_codec import dumps, read_body
from addon.routes import summary_id
from addon.standing import Standing
from addon.usage.analytics import analytics, recent_requests, reset
from addon.usage.budget import Budget, get_budget, post_budget
from addon.usage.dashboard_data import DashboardState, dashboard_data
from addon.usage.dashboard_page import HEADERS, static_file
from addon.usage.ledger import UsageLedger
from addon.usage.live import LiveHub
from addon.usage.metrics import Metrics
from addon.usage.store import UsageStore
from addon.usage.windows import SubscriptionWindow
from addon.wire.types import JsonObject

JSON = "application/json; charset=utf-8"


class ControlApi:
    """Answers are local; the door has already asked who may come in."""

    def __init__(
        self,
        exchanges: Exchanges,
        ledger: UsageLedger,
        budget: Budget,
        *,
        store: UsageStore,
        metrics: Metrics,
        hub: LiveHub,
        standing: Standing,
        memory: SummaryMemory,
    ) -> None:
        self.exchanges = exchanges
        self.ledger = ledger
        self.budget = budget
        self.store = store
        self.metrics = metrics
        self.hub = hub
        self.standing = standing
        self.memory = memory
        self.endpoints: dict[str, Callable[[http.HTTPFlow, Exchange], http.Response]] = {
            "analytics": self.analytics,
            "analytics_requests": self.requests,
            "analytics_reset": self.reset,
            "budget": self.get_budget,
            "budget_change": self.post_budget,
            "metrics": self.show_metrics,
            "dashboard_data": self.data,
            "dashboard_events": self.events,
            "dashboard_file": self.file,
            "context": self.context,
        }

    def request(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.open(flow)
        if exchange is None or exchange.route is None or exchange.route.kind != "control":
            return
        try:
            flow.response = self.endpoints[exchange.route.name](flow, exchange)
        except CCProxyError as error:
            exchange.refuse(flow, error)

    def analytics(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        return _json(analytics(self.ledger, _query(flow, "period"), self.windows()))

    def requests(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        return _json(recent_requests(self.ledger, _query(flow, "limit")))

    def reset(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        body = reset(self.ledger)
        self.hub.publish("totals", {})
        return _json(body)

    def get_budget(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        return _json(get_budget(self.budget))

    def post_budget(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        encoding = flow.request.headers.get("content-encoding", "")
        body = post_budget(self.budget, read_body(flow.request.raw_content or b"", encoding))
        self.hub.publish("totals", {})
        return _json(body)

    def show_metrics(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        now = time.time()
        self.metrics.set_cooldowns(self.standing.cooldown_seconds(now))
        self.metrics.set_windows(self.windows())
        return http.Response.make(
            200, self.metrics.render(), {"content-type": Metrics.content_type}
        )

    def data(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        state = DashboardState(
            windows=self.windows(),
            conversations=self.standing.conversations.newest(),
            notices=[self.store.problem] if self.store.problem else [],
        )
        return _json(dashboard_data(self.ledger, self.budget, _query(flow, "period"), state))

    def events(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        exchange.subscription = self.hub.subscribe()
        exchange.live = exchange.subscription.frames()
        return http.Response.make(
            200, b"", {"content-type": "text/event-stream", "cache-control": "no-store"}
        )

    def file(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        found = static_file(urlsplit(flow.request.path).path)
        if found is None:
            raise NotFound("No such page.", code="unknown_endpoint")
        kind, content = found
        return http.Response.make(200, content, {**HEADERS, "content-type": kind})

    def context(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        """What a summary replaced: the user's own conversation, so on this machine only."""
        if exchange.tunnel:
            raise Forbidden("Conversations are shown on the machine that ccproxy runs on.")
        shown = self.memory.show(summary_id(flow.request.path))
        if shown is None:
            raise NotFound("There is no such summary any more.", code="unknown_summary")
        return _json(shown)

    def windows(self) -> Sequence[SubscriptionWindow]:
        return self.standing.shown_windows()

    async def live_data(self, flow: http.HTTPFlow) -> None:
        """The replay layer asks for the next bytes of a dashboard's stream; none end it."""
        exchange = self.exchanges.get(flow)
        if exchange is not None and exchange.live is not None:
            exchange.outbox = await anext(exchange.live, b"")

    def client_disconnected(self, client: connection.Client) -> None:
        for exchange in self.exchanges.of_client(client.id):
            if exchange.subscription is not None:
                exchange.subscription.close()

    def done(self) -> None:
        self.hub.close()


def _json(body: JsonObject) -> http.Response:
    return http.Response.make(200, dumps(body), {"content-type": JSON, "cache-control": "no-store"})


def _query(flow: http.HTTPFlow, name: str) -> str | None:
    values = parse_qs(urlsplit(flow.request.path).query, keep_blank_values=True).get(name)
    return values[-1] if values else None
