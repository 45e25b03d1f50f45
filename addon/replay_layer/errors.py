"""The errors that clients get when an attempt, or this proxy itself, fails."""

from __future__ import annotations

import re

from mitmproxy.proxy.layers.http._events import ErrorCode, ResponseProtocolError

from addon.core.errors import BadGateway, CCProxyError, GatewayTimeout
from addon.core.outbound_proxy import OutboundProxy

IDLE = "idle"
"""Message of the protocol error for a deadline of ours."""
CLOSING = "closing"
"""The same, when the proxy is shutting down."""


def unapproved() -> CCProxyError:
    return CCProxyError(
        "ccproxy failed while preparing this request, so nothing was sent to Anthropic. See ccproxy's log."
    )


def hanging() -> CCProxyError:
    return CCProxyError(
        "ccproxy took too long to prepare this request, and stopped. See ccproxy's log."
    )


def killed() -> CCProxyError:
    return CCProxyError("This request was killed in mitmproxy.", code="killed")


def disconnected(event: ResponseProtocolError, proxy: OutboundProxy | None) -> CCProxyError:
    """`proxy`: the one that it was asked through."""
    if event.code is ErrorCode.CONNECT_FAILED:
        if "ertificate" in event.message:  # most often a company's TLS inspection
            return BadGateway(
                f"Anthropic's certificate was not accepted: {event.message} If your network inspects "
                "TLS, give its CA with --set ssl_verify_upstream_trusted_ca=FILE.",
                code="upstream_certificate",
            )
        if proxy is not None:
            return _through(proxy, event.message)
        return BadGateway(
            "Anthropic can't be reached; is this machine online?", code="upstream_unreachable"
        )
    if event.message == IDLE:
        return GatewayTimeout(
            "Anthropic has been silent for too long; the request was given up.", code="timeout"
        )
    return BadGateway(
        "Anthropic closed the connection before the response was complete.",
        code="upstream_disconnect",
    )


def _through(proxy: OutboundProxy, said: str) -> CCProxyError:
    """`said`: mitmproxy's words, of which only the status is known to be harmless."""
    refused = re.search(r"refused HTTP CONNECT request: (\d{3})\b", said)
    if refused is None:
        why = "can't be reached, or does not connect to Anthropic; is it running?"
    elif refused[1] == "407":
        why = "wants a user and a password, or others (407): http://USER:PASSWORD@HOST:PORT"
    else:
        why = f"refused to connect to Anthropic ({refused[1]})."
    return BadGateway(f"The outbound proxy {proxy.shown} {why}", code="outbound_proxy")
