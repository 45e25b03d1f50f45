"""Requests of our own: a client that is made late is as good as one that was made at once, and all say whose they are."""

from __future__ import annotations

import ast
import asyncio
import gzip
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest

from addon.core.own_http import HttpError, OwnHttp
from tests.documents import ROOT

SENDING = {"AsyncClient", "Client", "delete", "get", "head", "post", "put", "request", "stream"}
SOURCES = [ROOT / "ccproxy_addon.py", *sorted((ROOT / "addon").rglob("*.py"))]
STAND_IN = ROOT / "addon" / "stand_in"  # its clients stand in for other programs

type Handler = Callable[[httpx.Request], httpx.Response]


class Maker:
    """Counts how often it is called, and in which threads."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.threads: list[int] = []

    def __call__(self) -> httpx.AsyncClient:
        self.threads.append(threading.get_ident())
        return httpx.AsyncClient(transport=httpx.MockTransport(self.handler))


def zipped(request: httpx.Request) -> httpx.Response:
    said = f"{request.method} {request.url} {request.headers['x-mine']} ".encode() + request.read()
    return httpx.Response(
        429,
        headers={"content-encoding": "gzip", "retry-after": "7"},
        content=gzip.compress(said),
    )


async def test_requests_and_answers_are_unchanged() -> None:
    async with aclosing(OwnHttp(Maker(zipped))) as client:
        answer = await client.request(
            "POST", "http://up/x?y=1", content=b"body", headers={"x-mine": "2"}
        )
    assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    assert answer.body == b"POST http://up/x?y=1 2 body"


async def test_no_more_is_read_than_wanted() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000

    make = Maker(lambda request: httpx.Response(200, content=endless()))
    async with aclosing(OwnHttp(make)) as client:
        answer = await client.request("GET", "http://up/", most=2_500)
    assert len(answer.body) == 3_000


async def test_one_client_is_made_for_all_and_not_on_the_event_loop() -> None:
    make = Maker(lambda request: httpx.Response(200))
    async with aclosing(OwnHttp(make)) as client:
        assert make.threads == []
        await asyncio.gather(*(client.request("GET", "http://up/") for _ in range(5)))
    assert len(make.threads) == 1
    assert make.threads[0] != threading.get_ident()


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        *((error, False) for error in (httpx.ConnectError, httpx.ConnectTimeout)),
        *((error, False) for error in (httpx.PoolTimeout, httpx.UnsupportedProtocol)),
        *((error, True) for error in (httpx.ReadError, httpx.WriteError, httpx.ReadTimeout)),
    ],
)
async def test_a_failure_has_its_name_and_says_whether_the_request_may_have_arrived(
    error: type[httpx.TransportError], sent: bool
) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error("about http://up/secret", request=request)

    async with aclosing(OwnHttp(Maker(fail))) as client:
        with pytest.raises(HttpError) as caught:
            await client.request("GET", "http://up/secret")
    assert (str(caught.value), caught.value.sent) == (error.__name__, sent)


async def test_without_a_request_nothing_is_made() -> None:
    make = Maker(lambda request: httpx.Response(200))
    await OwnHttp(make).aclose()
    assert make.threads == []


class FromEnvironment(Maker):
    """Makes a client that heeds the environment as ccproxy's own does, but sends nothing away."""

    def __call__(self) -> httpx.AsyncClient:
        self.threads.append(threading.get_ident())
        return httpx.AsyncClient(mounts={"http://up": httpx.MockTransport(self.handler)})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param("ALL_PROXY", "socks5://me:hidden@proxy:1080", id="socks, not installed"),
        pytest.param("ALL_PROXY", "gopher://me:hidden@proxy:70", id="unknown scheme"),
        pytest.param("HTTPS_PROXY", "http://me:hidden/x@proxy:3128", id="unescaped password"),
        pytest.param("NO_PROXY", "::1/128", id="no_proxy in CIDR"),
        pytest.param("SSL_CERT_FILE", "/none/here.pem", id="missing certificates"),
        pytest.param("SSL_CERT_FILE", __file__, id="no certificates"),
    ],
)
async def test_a_bad_environment_is_a_failed_connection_until_it_is_good(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str, value: str
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)  # as if not installed
    make = FromEnvironment(lambda request: httpx.Response(200))
    async with aclosing(OwnHttp(make)) as client:
        with monkeypatch.context() as bad:
            bad.delenv(variable.lower(), raising=False)  # it would win
            bad.setenv(variable, value)
            with pytest.raises(HttpError) as caught:
                await client.request("GET", "http://up/")
        assert (str(caught.value), caught.value.sent) == ("ConnectError", False)
        (told,) = caplog.messages
        assert variable in told and "hidden" not in told
        assert (await client.request("GET", "http://up/")).status == 200
    assert len(make.threads) == 2


async def test_a_missing_file_is_told_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    async with aclosing(OwnHttp(httpx.AsyncClient)) as client:
        with pytest.raises(HttpError):
            await client.request("GET", "http://up/")
    assert "No such file" in caplog.text


async def test_a_defect_of_ours_is_not_taken_for_a_bad_environment() -> None:
    def defect() -> httpx.AsyncClient:
        raise KeyError("ours")

    async with aclosing(OwnHttp(defect)) as client:
        with pytest.raises(KeyError):
            await client.request("GET", "http://up/")


def test_one_module_makes_all_clients() -> None:
    """A client made elsewhere would call itself python-httpx."""
    made = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if STAND_IN not in path.parents
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        for used in (call.func, *call.args)  # called, or handed over to be called
        if ast.unparse(used) in {f"httpx.{name}" for name in SENDING}
    }
    assert made == {"addon/core/own_http.py"}
