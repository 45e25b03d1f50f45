"""The endpoints for usage, budget, metrics, summaries and blocked requests."""

from __future__ import annotations

import time
from dataclasses import KW_ONLY, dataclass

from mitmproxy import http

from addon.api.analytics import analytics, as_csv, breakdown, recent_requests, reset
from addon.api.endpoints import LocalEndpoints, json_response, posted, query
from addon.context.summary_memory import SummaryMemory
from addon.core.errors import BadRequest, Forbidden, NotFound
from addon.core.types import JsonObject
from addon.exchange.refusals import Blocked
from addon.exchange.routes import id_in
from addon.exchange.state import Exchange
from addon.usage.budget import Budget, get_budget, post_budget
from addon.usage.ledger import UsageLedger
from addon.usage.live import LiveHub
from addon.usage.metrics import Metrics
from addon.usage.subscription import SubscriptionState


@dataclass(eq=False, repr=False)
class ControlApi(LocalEndpoints):
    ledger: UsageLedger
    budget: Budget
    _: KW_ONLY
    metrics: Metrics
    hub: LiveHub
    subscription: SubscriptionState
    memory: SummaryMemory
    blocked: Blocked

    def __post_init__(self) -> None:
        self.endpoints = {
            "analytics": self.analytics,
            "analytics_requests": self.requests,
            "analytics_reset": self.reset,
            "budget": self.get_budget,
            "budget_change": self.post_budget,
            "metrics": self.show_metrics,
            "context": self.context,
            "blocked": self.show_blocked,
        }

    def analytics(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        period, by = query(flow, "period"), query(flow, "by")
        if by is not None:
            return rows_response(flow, breakdown(self.ledger, period, by), "rows")
        windows = self.subscription.shown_windows()
        return json_response(analytics(self.ledger, period, windows))

    def requests(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        found = recent_requests(self.ledger, query(flow, "limit"))
        return rows_response(flow, found, "requests")

    def reset(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        body = reset(self.ledger)
        self.hub.publish("totals", {})
        return json_response(body)

    def get_budget(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        return json_response(get_budget(self.budget))

    def post_budget(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        body = post_budget(self.budget, posted(flow, exchange))
        self.hub.publish("totals", {})
        return json_response(body)

    def show_metrics(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        from addon.usage import prometheus_text

        body = prometheus_text.render(self.metrics, self.subscription, time.time())
        return http.Response.make(200, body, {"content-type": prometheus_text.CONTENT_TYPE})

    def show_blocked(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        return json_response({"blocked": list(self.blocked.entries)})

    async def context(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        """What a summary replaced. It is the user's own conversation, so it is shown on this machine only."""
        if exchange.tunnel:
            raise Forbidden("Conversations are shown only on the machine that ccproxy runs on.")
        shown = await self.memory.show(id_in(flow.request.path))
        if shown is None:
            raise NotFound(
                "This summary does not exist, or no longer exists.", code="unknown_summary"
            )
        return json_response(shown)


def rows_response(flow: http.HTTPFlow, body: JsonObject, rows: str) -> http.Response:
    """`body`, or with `?format=csv` only its `rows` as a table. Raises BadRequest."""
    wanted = query(flow, "format")
    if wanted in (None, "json"):
        return json_response(body)
    if wanted != "csv":
        raise BadRequest("format: must be csv or json", param="format")
    headers = {
        "content-type": "text/csv; charset=utf-8",
        "content-disposition": 'attachment; filename="ccproxy.csv"',
        "cache-control": "no-store",
    }
    return http.Response.make(200, as_csv(body[rows]), headers)
