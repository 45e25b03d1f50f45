"""A transport that is made late must be as good as one that was made at once."""

from __future__ import annotations

import asyncio
import gzip
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from addon.core.lazy_http import LazyTransport

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
    async with httpx.AsyncClient(transport=LazyTransport(Maker(zipped))) as client:
        answer = await client.post("http://up/x?y=1", content=b"body", headers={"x-mine": "2"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert answer.text == "POST http://up/x?y=1 2 body"


async def test_one_client_is_made_for_all_and_not_on_the_event_loop() -> None:
    make = Maker(lambda request: httpx.Response(200))
    async with httpx.AsyncClient(transport=LazyTransport(make)) as client:
        assert make.threads == []
        await asyncio.gather(*(client.get("http://up/") for _ in range(5)))
    assert len(make.threads) == 1
    assert make.threads[0] != threading.get_ident()


async def test_what_goes_wrong_is_told_as_ever() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async with httpx.AsyncClient(transport=LazyTransport(Maker(refuse))) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://up/")


async def test_without_a_request_nothing_is_made() -> None:
    make = Maker(lambda request: httpx.Response(200))
    await httpx.AsyncClient(transport=LazyTransport(make)).aclose()
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
    async with httpx.AsyncClient(transport=LazyTransport(make)) as client:
        with monkeypatch.context() as bad:
            bad.delenv(variable.lower(), raising=False)  # it would win
            bad.setenv(variable, value)
            with pytest.raises(httpx.ConnectError, match=variable) as caught:
                await client.get("http://up/")
        assert caught.value.request.url == "http://up/"
        assert caplog.messages == [str(caught.value)]
        assert "hidden" not in caplog.text
        assert (await client.get("http://up/")).status_code == 200
    assert len(make.threads) == 2


async def test_a_missing_file_is_told_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    async with httpx.AsyncClient(transport=LazyTransport(httpx.AsyncClient)) as client:
        with pytest.raises(httpx.ConnectError, match="No such file"):
            await client.get("http://up/")


async def test_a_defect_of_ours_is_not_taken_for_a_bad_environment() -> None:
    def defect() -> httpx.AsyncClient:
        raise KeyError("ours")

    async with httpx.AsyncClient(transport=LazyTransport(defect)) as client:
        with pytest.raises(KeyError):
            await client.get("http://up/")
