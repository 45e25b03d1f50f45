"""Which proxy a request leaves through."""

from __future__ import annotations

import base64
import os

import pytest

from addon.core.environment import outbound_proxies
from addon.core.outbound_proxy import OutboundProxies, OutboundProxy

ANTHROPIC = "https://api.anthropic.com"


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port"),
    [
        ("http://proxy.example:3128", "http", "proxy.example", 3128),
        (" proxy.example:3128 ", "http", "proxy.example", 3128),
        ("http://proxy.example", "http", "proxy.example", 80),
        ("https://proxy.example/", "https", "proxy.example", 443),
        ("http://[::1]:3128", "http", "::1", 3128),
    ],
)
def test_addresses(text: str, scheme: str, host: str, port: int) -> None:
    proxy = OutboundProxy.parse(text)
    assert (proxy.scheme, proxy.host, proxy.port) == (scheme, host, port)
    assert proxy.authorization == ""


def test_credentials_are_decoded_and_never_shown() -> None:
    proxy = OutboundProxy.parse("http://me:p%40ss%3Aword@proxy.example:1", "HTTPS_PROXY")
    kind, _, pair = proxy.authorization.partition(" ")
    assert (kind, base64.b64decode(pair)) == ("Basic", b"me:p@ss:word")
    assert proxy.shown == "proxy.example:1 (HTTPS_PROXY)"
    assert "p%40" not in repr(proxy) and "Basic" not in repr(proxy)


@pytest.mark.parametrize("text", ["socks5://h:1", "http://", "http://me:secret@[", "http://h:x"])
def test_what_is_no_proxy_is_told_without_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="use http") as told:
        OutboundProxy.parse(text)
    assert "secret" not in str(told.value)
    proxies = OutboundProxies(environment={"all": text})
    with pytest.raises(ValueError, match="ALL_PROXY") as told:
        proxies.for_url(ANTHROPIC)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("environment", "url", "port"),
    [
        ({}, ANTHROPIC, None),
        ({"https": "h:1", "http": "h:2", "all": "h:3"}, ANTHROPIC, 1),
        ({"http": "h:2", "all": "h:3"}, ANTHROPIC, 3),
        ({"http": "h:2"}, "http://example.com", 2),
        ({"http": "h:2"}, ANTHROPIC, None),
        ({"https": "h:1", "http": "h:2"}, "http://localhost:99", None),
        ({"https": "h:1", "http": "h:2"}, "http://127.0.0.1:99", None),
        ({"https": "h:1", "http": "h:2"}, "http://[::1]:99", None),
    ],
)
def test_the_environments(environment: dict[str, str], url: str, port: int | None) -> None:
    found = OutboundProxies(environment=environment).for_url(url)
    assert (found and found.port) == port


def test_the_given_one_holds_for_all() -> None:
    given = OutboundProxy.parse("http://h:9")
    proxies = OutboundProxies(given, {"https": "h:1"}, lambda host: True)
    for url in (ANTHROPIC, "http://localhost:1"):
        assert proxies.for_url(url) is given


@pytest.mark.parametrize(
    ("no_proxy", "bypassed"),
    [("", False), ("anthropic.com", True), (".anthropic.com", True), ("*", True), ("x.com", False)],
)
def test_no_proxy_is_read_from_the_process(
    no_proxy: str, bypassed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in os.environ if n.lower().endswith("_proxy")]:  # noqa: TID251
        monkeypatch.delenv(name)
    monkeypatch.setenv("HTTPS_PROXY", "http://h:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (outbound_proxies(None).for_url(ANTHROPIC) is None) == bypassed
