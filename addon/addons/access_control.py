"""Decides, from the headers alone and before all other addons, whether a request is allowed."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from mitmproxy import http

from addon.core.errors import CCProxyError, Misdirected, RateLimited, Unauthorized
from addon.core.redaction import HIDDEN
from addon.core.settings import Settings
from addon.exchange.access import (
    CLIENT_KEY_PREFIX,
    Visitor,
    is_known,
    is_this_machine,
    judge,
    origin_allowed,
)
from addon.exchange.http_messages import lowered
from addon.exchange.refusals import Blocked, Guesses, LineAMinute, line_that_allows
from addon.exchange.routes import SIGN_IN, find
from addon.exchange.state import Exchange, Exchanges

logger = logging.getLogger(__name__)

LONGEST_LINE = 400
"""Characters of one log line about a rejected request."""


@dataclass(eq=False, repr=False)
class AccessControl:
    settings: Settings
    exchanges: Exchanges
    blocked: Blocked
    guesses: Guesses
    lines: LineAMinute
    """For callers from outside."""

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        if exchange is None:
            return
        visitor = _visitor(flow, exchange)
        exchange.client_key = _anthropic_key(visitor)
        exchange.tunnel = visitor.tunnel
        exchange.caller = _caller(visitor, self.settings)
        if not exchange.who.name and (name := visitor.name(self.settings.secret)):
            exchange.who = replace(exchange.who, name=name)
        route = find(visitor.method, visitor.path, websocket=visitor.websocket)
        if route is not None and visitor.path != "/":
            exchange.client.dialect = route.dialect
        origin = visitor.headers.get("origin")
        if origin and origin_allowed(origin, visitor, self.settings):
            exchange.client.cors = {"access-control-allow-origin": origin, "vary": "Origin"}
        error = judge(visitor, route, self.settings)
        if error is None:
            # Last: without a route no later addon serves the request, even if this one raises.
            exchange.route = route
            if route is not None and is_known(visitor, route, self.settings):
                self.exchanges.known_clients.add(flow.client_conn.id)
            return
        if (
            isinstance(error, Unauthorized | Misdirected)
            and self.settings.secret
            and visitor.presented
        ):
            error = self.guesses.wrong(exchange.caller, error)
        exchange.refuse(flow, error)
        if isinstance(error, RateLimited):
            return  # a caller that guesses secrets must not fill the log or the list of blocked requests
        address = _address(visitor)
        allow = line_that_allows(address, error, self.settings)
        self.blocked.note(visitor.method, visitor.path, address, error, allow)
        from_outside = visitor.tunnel or visitor.from_browser or not is_this_machine(visitor.peer)
        line = _line(visitor, error, allow)
        if from_outside:
            self.lines.say("rejected requests", line)
        else:
            logger.warning("%s", line)

    def request(self, flow: http.HTTPFlow) -> None:
        """A sign-in's body is a credential, as the headers are: off the flow before it is shown or saved."""
        exchange = self.exchanges.get(flow)
        if exchange is not None and find(flow.request.method, flow.request.path) is SIGN_IN:
            exchange.sign_in = flow.request.raw_content or b""
            flow.request.raw_content = HIDDEN.encode()


def _line(visitor: Visitor, error: CCProxyError, allow: str | None) -> str:
    said = f"{visitor.method} {visitor.path.partition('?')[0]} rejected: {error}"
    hint = f" This line in .env would allow it: {allow}" if allow else ""
    # Most of this comes from the caller: an escape sequence in it would control the terminal.
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in said[:LONGEST_LINE])
    return shown + hint


def _address(visitor: Visitor) -> str | None:
    """The caller's address behind a tunnel, from a header that Cloudflare sets, or that a caller may forge."""
    return visitor.headers.get("cf-connecting-ip") if visitor.tunnel else None


def _caller(visitor: Visitor, settings: Settings) -> str:
    """The key by which wrong secrets are counted. It must not be a value that the caller can choose."""
    forwarded = _address(visitor) if settings.tunnel_provider == "cloudflare" else None
    return forwarded or visitor.peer


def _visitor(flow: http.HTTPFlow, exchange: Exchange) -> Visitor:
    request = flow.request
    return Visitor(
        peer=flow.client_conn.peername[0],
        at=flow.client_conn.sockname[0],
        method=request.method,
        path=request.path,
        authority=request.authority,
        hosts=len(request.headers.get_all("host")),
        headers=lowered(request.headers) | dict(exchange.carried),
    )


def _anthropic_key(visitor: Visitor) -> str | None:
    return next((shown for shown in visitor.presented if shown.startswith(CLIENT_KEY_PREFIX)), None)
