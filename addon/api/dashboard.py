"""The endpoints of the dashboard: its files, its data, its live events and its login."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from urllib.parse import urlsplit

from mitmproxy import connection, http

from addon.api.dashboard_data import DashboardState, dashboard_data
from addon.api.dashboard_files import HEADERS, static_file
from addon.api.endpoints import LocalEndpoints, json_response, query
from addon.api.health import Health
from addon.api.request_history import RequestHistory
from addon.core.errors import NotFound, Unauthorized
from addon.core.json_codec import read_body
from addon.core.settings import Settings
from addon.exchange.access import cookie_name, cookie_value, same_secret
from addon.exchange.refusals import Guesses
from addon.exchange.routes import SIGN_IN
from addon.exchange.state import Exchange, LocalStream
from addon.usage.budget import Budget
from addon.usage.ledger import UsageLedger
from addon.usage.live import LiveHub
from addon.usage.subscription import SubscriptionState


@dataclass(eq=False, repr=False)
class DashboardApi(LocalEndpoints):
    settings: Settings
    ledger: UsageLedger
    budget: Budget
    _: KW_ONLY
    health: Health
    hub: LiveHub
    subscription: SubscriptionState
    guesses: Guesses
    history: RequestHistory

    def __post_init__(self) -> None:
        self.endpoints = {
            "dashboard_file": self.file,
            "dashboard_login": self.login,
            "dashboard_data": self.data,
            "dashboard_events": self.events,
        }

    def file(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        found = static_file(urlsplit(flow.request.path).path)
        if found is None:
            raise NotFound("No such page.", code="unknown_endpoint")
        kind, content = found
        return http.Response.make(200, content, {**HEADERS, "content-type": kind})

    def login(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        """Exchanges the secret for a cookie that scripts can't read and other sites can't use."""
        encoding = flow.request.headers.get("content-encoding", "")
        shown = read_body(exchange.sign_in, encoding, SIGN_IN.most_body).get("secret")
        secret = self.settings.secret
        if not secret or not isinstance(shown, str) or not same_secret(shown, secret):
            wrong = Unauthorized("That is not this ccproxy's secret.")
            raise self.guesses.wrong(exchange.caller, wrong)
        name = cookie_name(self.settings)
        cookie = f"{name}={cookie_value(secret)}; Path=/; HttpOnly; SameSite=Strict"
        secure = "; Secure" if exchange.tunnel else ""  # tunnels use https; the local port does not
        return http.Response.make(204, b"", {"set-cookie": cookie + secure})

    def data(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        notices = self.health.notices()
        conversations = self.subscription.conversations.newest()
        ids = {each.id for each in conversations}
        state = DashboardState(
            windows=self.subscription.shown_windows(),
            conversations=conversations,
            notices=[notice.text for notice in notices],
            ready=not any(notice.bad for notice in notices),
            titles={} if exchange.tunnel else self.history.titles(ids, self.history.hide),
        )
        return json_response(dashboard_data(self.ledger, self.budget, query(flow, "period"), state))

    def events(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        subscription = self.hub.subscribe()
        if flow.request.method == "HEAD":
            subscription.close()
        exchange.local_stream = LocalStream(subscription.frames(), subscription.close)
        headers = {"content-type": "text/event-stream", "cache-control": "no-store"}
        return http.Response.make(200, b"", headers)

    async def live_data(self, flow: http.HTTPFlow) -> None:
        """Called by the replay layer for the next bytes of a dashboard's event stream; b"" ends it."""
        exchange = self.exchanges.get(flow)
        if exchange is not None and (local := exchange.local_stream):
            local.outbox = await anext(local.pieces, b"")

    def client_disconnected(self, client: connection.Client) -> None:
        for exchange in self.exchanges.of_client(client.id):
            if exchange.local_stream is not None:
                exchange.local_stream.close()

    def done(self) -> None:
        self.hub.close()
