"""Decides from the headers whether a request is allowed. Knows no mitmproxy: addon, API and upgrades share it."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import field
from functools import cached_property, lru_cache
from urllib.parse import urlsplit

from addon.core.errors import (
    BadRequest,
    CCProxyError,
    Forbidden,
    Misdirected,
    NotFound,
    Unauthorized,
    UnsupportedMedia,
)
from addon.core.frozen import frozen
from addon.core.settings import Settings
from addon.core.version import STARTED_AS
from addon.exchange.routes import Route
from addon.exchange.unserved import unserved
from addon.exchange.who import name_in_key

CLIENT_KEY_PREFIX = "sk-ant-api"
"""A client may bring its own Anthropic API key; `sk-ant-oat…` would be a subscription's token."""
COOKIE = "ccproxy_dashboard"
"""How the name of the dashboard's cookie begins; see `cookie_name`."""
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
NOT_ON_LIST = "ip_not_allowed"
"""Code of the one refusal that a line in `.env` lifts."""

ADDRESS_UNKNOWN = (
    "The caller's address can't be verified through this tunnel: its headers may be the caller's own. "
    "Set PROXY_SECRET_KEY and send it as the API key; or set TUNNEL_PROVIDER=cloudflare if the tunnel is Cloudflare's."
)
QUICK_TUNNELS = ".trycloudflare.com"
"""The end of the names of Cloudflare's tunnels without an account; no web page can rebind one to this machine."""
LONGEST_QUOTE = 200
"""Characters of the caller's own words in an error."""

# A header that a tunnel or a reverse proxy adds: its presence alone makes a request one from outside.
FORWARDING_HEADERS = ("forwarded", "x-real-ip", "true-client-ip", "via")
FORWARDING_PREFIXES = ("cf-", "x-forwarded-", "ngrok-", "cdn-loop")


@lru_cache(256)
def is_this_machine(peer: str) -> bool:
    """Whether an address, with or without a zone (`fe80::1%eth0`), is a loopback one. Raises ValueError for none."""
    return ipaddress.ip_address(peer.partition("%")[0]).is_loopback


@frozen(kw_only=True, slots=False)
class Visitor:
    """What is known of a request before its body is read. Header names are lower-case. Each step of the judgement asks
    the same of it, so what takes a walk through the headers is kept; hence no slots."""

    peer: str
    at: str = "127.0.0.1"
    """The address of this machine at which it came in."""
    method: str
    path: str
    authority: str
    hosts: int = 1
    """How many Host headers it has."""
    headers: dict[str, str] = field(repr=False)

    @cached_property
    def tunnel(self) -> bool:
        """Whether it comes from outside: a tunnel's header says so, whoever wrote it; or it came to this machine by a
        name that is none of this machine's."""
        return any(
            name in FORWARDING_HEADERS or name.startswith(FORWARDING_PREFIXES)
            for name in self.headers
        ) or (is_this_machine(self.peer) and not self.names_this_machine)

    @cached_property
    def presented(self) -> list[str]:
        """The secrets that the request carries, as Bearer, x-api-key or Azure's api-key."""
        bearer = self.headers.get("authorization", "")
        scheme, _, token = bearer.partition(" ")
        found = [token.strip()] if scheme.lower() == "bearer" else []
        found += [self.headers[name] for name in ("x-api-key", "api-key") if name in self.headers]
        return [form for shown in found for form in _forms(shown.strip())]

    def name(self, secret: str | None) -> str:
        """What the user calls this use of the proxy, at the end of the key; "" without one. Only behind nothing, the
        proxy's `secret`, or a key of Anthropic's: after another @ may be the end of some password."""
        for shown in self.presented:
            key, name = name_in_key(shown)
            ours = secret is not None and same_secret(key, secret)
            if name and (not key or ours or key.startswith(CLIENT_KEY_PREFIX)):
                return name
        return ""

    def cookies(self, name: str) -> list[str]:
        """The values of the cookies of one name. http.cookies gives up all of them for one that it dislikes, and
        those of other programs on localhost come along: cookies know no ports (RFC 6265 8.5)."""
        pairs = [pair.partition("=") for pair in self.headers.get("cookie", "").split(";")]
        return [value.strip() for found, _, value in pairs if found.strip() == name]

    @cached_property
    def host(self) -> str:
        """The name in the Host header; empty when it is none."""
        return _hostname("//" + self.headers.get("host", "").rpartition("@")[2]).removesuffix(".")

    @property
    def names_this_machine(self) -> bool:
        return bool(self.host) and (self.host in LOOPBACK_NAMES or self.host == self.at)

    @property
    def websocket(self) -> bool:
        """Whether it asks for a WebSocket (RFC 6455 4.2.1)."""
        asked = self.headers.get("upgrade", "").lower().split(",")
        return "websocket" in (protocol.strip() for protocol in asked)

    @property
    def from_browser(self) -> bool:
        return "origin" in self.headers or "sec-fetch-site" in self.headers


def _forms(shown: str) -> list[str]:
    """A secret with and without the user's name at its end: the @ may be its own."""
    return list(dict.fromkeys((name_in_key(shown)[0], shown)))


def judge(visitor: Visitor, route: Route | None, settings: Settings) -> CCProxyError | None:
    """Why this request may not come in, or None. The order is from the coarsest check to the finest."""
    shown = _knows_secret(visitor, route, settings)
    return (
        _wrong_way_in(visitor, settings)
        or (None if shown else _stranger_refusal(visitor, route, settings))
        or _address_refusal(visitor, route, settings)
        or _browser_refusal(visitor, settings)
        or _not_served(visitor, route)
    )


def is_known(visitor: Visitor, route: Route, settings: Settings) -> bool:
    """Whether a visitor who was let in has shown who he is, by the secret or by where he comes from."""
    if _knows_secret(visitor, route, settings):
        return True
    if visitor.tunnel:
        return settings.allowed_ips is not None and _on_list(visitor, settings)
    return is_this_machine(visitor.peer) and not settings.require_secret_locally


def _wrong_way_in(visitor: Visitor, settings: Settings) -> CCProxyError | None:
    if visitor.hosts > 1:  # a 400 by RFC 9112 3.2; two readers could each take another one
        return BadRequest("Send one Host header.")
    if not is_this_machine(visitor.peer) and settings.secret is None:
        return Forbidden(
            "ccproxy accepts requests from this machine only. Set PROXY_SECRET_KEY to allow others."
        )
    if visitor.authority:
        # `GET https://elsewhere/…` would carry our credential under a foreign name
        return BadRequest("Send a path, not a full URL: ccproxy is no forward proxy.")
    return None


def _stranger_refusal(
    visitor: Visitor, route: Route | None, settings: Settings
) -> CCProxyError | None:
    """For a request that does not show the secret."""
    tunnel = visitor.tunnel
    if tunnel and visitor.method == "OPTIONS":  # a preflight can carry no secret
        return None
    if tunnel and not (visitor.names_this_machine or _names_tunnel(visitor, settings)):
        return _misdirected(visitor.host, settings)
    if route is not None and route.kind == "page":
        return None  # it holds no data, and asks for the secret itself
    if tunnel:
        must_know = settings.secret is not None
    else:
        must_know = settings.require_secret_locally or not is_this_machine(visitor.peer)
    if must_know:
        return Unauthorized(
            f"Send ccproxy's secret as the API key: the one that {STARTED_AS} tunnel shows (~/.ccproxy/secret)."
        )
    return None


def _misdirected(host: str, settings: Settings) -> Misdirected:
    """A web page whose name was rebound to 127.0.0.1 keeps its own Host, and can write a tunnel's headers; but it can't
    know the secret."""
    return Misdirected(
        f"ccproxy does not answer {_quoted(host) or 'requests without a Host'}. "
        f"Use http://localhost:{settings.port}; or set TUNNEL_URL, if that is a tunnel's address; "
        "or set PROXY_SECRET_KEY and send it as the API key."
    )


def _address_refusal(
    visitor: Visitor, route: Route | None, settings: Settings
) -> CCProxyError | None:
    """For a caller through a tunnel whom ALLOWED_IPS does not list."""
    name, kind = (route.name, route.kind) if route is not None else ("", "")
    # Cursor's app asks for the models from the user's own address
    free = visitor.method == "OPTIONS" or name == "models" or settings.allowed_ips is None
    if free or not visitor.tunnel:
        return None
    if settings.secret is None and settings.tunnel_provider != "cloudflare":
        return Forbidden(ADDRESS_UNKNOWN)
    secret_is_enough = settings.secret is not None and not settings.allowed_ips_given
    page_asks_for_it = settings.secret is not None and kind == "page"
    if secret_is_enough or page_asks_for_it or _on_list(visitor, settings):
        return None
    return Forbidden(_not_on_list(visitor), code=NOT_ON_LIST)


def _browser_refusal(visitor: Visitor, settings: Settings) -> CCProxyError | None:
    if not visitor.from_browser:
        return None
    origin = visitor.headers.get("origin")
    if origin is not None and not origin_allowed(origin, visitor, settings):
        return Forbidden(
            f"Web pages of {_quoted(origin)} may not call ccproxy. ALLOWED_ORIGINS can list it."
        )
    if origin is None and visitor.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return Forbidden("Another web page may not call ccproxy.")
    kind = visitor.headers.get("content-type", "").partition(";")[0].strip().lower()
    has_body = (
        visitor.headers.get("content-length", "0") != "0" or "transfer-encoding" in visitor.headers
    )
    if visitor.method == "POST" and has_body and kind != "application/json":
        # a form or text/plain POST needs no preflight, so any page could send it
        return UnsupportedMedia("Send Content-Type: application/json.")
    return None


def _not_served(visitor: Visitor, route: Route | None) -> CCProxyError | None:
    if route is not None:
        return None
    shown = _quoted(visitor.path.partition("?")[0])
    if "upgrade" in visitor.headers:
        return NotFound(f"Unknown endpoint: {shown} as a WebSocket", code="unknown_endpoint")
    return unserved(visitor.method, visitor.path, shown=shown)


def origin_allowed(origin: str, visitor: Visitor, settings: Settings) -> bool:
    """Pages of this machine and of ccproxy itself, and what ALLOWED_ORIGINS lists (Cursor's desktop app)."""
    local = origin.startswith(("http://", "https://")) and _hostname(origin) in LOOPBACK_NAMES
    own = visitor.tunnel and origin == f"https://{visitor.headers.get('host', '')}"
    return local or own or origin in settings.allowed_origins


def _names_tunnel(visitor: Visitor, settings: Settings) -> bool:
    own = _hostname(settings.tunnel_url or "")
    return visitor.host.endswith(QUICK_TUNNELS) or (own != "" and visitor.host == own)


def _quoted(text: str) -> str:
    return text[:LONGEST_QUOTE]


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # `[` without `]`
        return ""


def _knows_secret(visitor: Visitor, route: Route | None, settings: Settings) -> bool:
    if settings.secret is None:
        return False
    # no early exit: the time tells nothing about which one was right
    matches = [same_secret(shown, settings.secret) for shown in visitor.presented]
    if route is not None and route.kind == "control":
        signed_in, cookies = cookie_value(settings.secret), visitor.cookies(cookie_name(settings))
        matches += [same_secret(shown, signed_in) for shown in cookies]
    return any(matches)


def same_secret(shown: str, secret: str) -> bool:
    """Whether they are equal, in a time that tells nothing of where they differ."""
    digests = [hashlib.sha256(s.encode("utf-8", "replace")).digest() for s in (shown, secret)]
    return hmac.compare_digest(*digests)


def cookie_name(settings: Settings) -> str:
    """Names the port: an instance on another one may have another secret, and would replace this one's cookie."""
    return f"{COOKIE}_{settings.port}"


def cookie_value(secret: str) -> str:
    """What the dashboard's cookie holds instead of the secret itself."""
    return hmac.new(secret.encode(), b"ccproxy dashboard", hashlib.sha256).hexdigest()


def _on_list(visitor: Visitor, settings: Settings) -> bool:
    if settings.allowed_ips is None:
        return True
    try:
        address = ipaddress.ip_address(visitor.headers.get("cf-connecting-ip", ""))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in settings.allowed_ips)


def _not_on_list(visitor: Visitor) -> str:
    # Cloudflare sets CF-Connecting-IP itself (https://developers.cloudflare.com/fundamentals/reference/http-headers/);
    # the first entry of X-Forwarded-For is whatever the caller wrote.
    address = visitor.headers.get("cf-connecting-ip")
    if address is None:
        return "This tunnel does not say who is calling. Set PROXY_SECRET_KEY and use it as the API key."
    return (
        f"Unauthorized: IP {_quoted(address)} not in whitelist. "
        "Set PROXY_SECRET_KEY, or add it to ALLOWED_IPS."
    )
