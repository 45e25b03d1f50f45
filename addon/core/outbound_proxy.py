"""The proxy through which requests to Anthropic and OpenAI leave this machine."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Literal, Self
from urllib.parse import SplitResult, unquote, urlsplit

from addon.core.frozen import frozen

DEFAULT_PORTS = {"http": 80, "https": 443}


@frozen(kw_only=True)
class OutboundProxy:
    """A proxy that takes CONNECT. Its credentials are in no repr."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    url: str = field(repr=False)
    """With the credentials."""
    authorization: str = field(repr=False)
    """The value of Proxy-Authorization, or ""."""
    variable: str = "UPSTREAM_PROXY"
    """Where it comes from, for people."""

    @classmethod
    def parse(cls, text: str, variable: str = "UPSTREAM_PROXY") -> Self:
        """Raises ValueError, without the text: it may hold a password."""
        url = text.strip() if "://" in text else f"http://{text.strip()}"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host or parts.scheme not in DEFAULT_PORTS:
            raise ValueError("use http://HOST:PORT or http://USER:PASSWORD@HOST:PORT; no SOCKS")
        return cls(
            scheme="https" if parts.scheme == "https" else "http",
            host=host,
            port=port or DEFAULT_PORTS[parts.scheme],
            url=url,
            authorization=_basic(parts),
            variable=variable,
        )

    @property
    def shown(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port} ({self.variable})"


def _basic(parts: SplitResult) -> str:
    if parts.username is None:
        return ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


@frozen
class OutboundProxies:
    """Which proxy a URL is asked for through: UPSTREAM_PROXY for all of them, or else the environment's, as httpx
    takes it for the login, except that this machine is never asked through it."""

    given: OutboundProxy | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """As `urllib.request.getproxies` has it."""
    bypassed: Callable[[str], bool] = field(default=lambda host: False, repr=False)
    """Whether NO_PROXY names a host."""

    def for_url(self, url: str) -> OutboundProxy | None:
        """Raises ValueError for a proxy that can't be used; its message names the variable."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if self.given is not None:
            return self.given
        name = parts.scheme if self.environment.get(parts.scheme) else "all"
        text = self.environment.get(name)
        if not text or _is_loopback(host) or self.bypassed(host):
            return None
        variable = f"{name.upper()}_PROXY"
        try:
            return OutboundProxy.parse(text, variable)
        except ValueError as error:
            raise ValueError(
                f"{variable}: its value is not allowed: {error}. Or name {host} in NO_PROXY."
            ) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in ("localhost", "localhost.")
