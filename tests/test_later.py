"""A transport that is made late must be as good as one that was made at once."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Callable

import httpx
import pytest

from addon.later import Later

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
    async with httpx.AsyncClient(transport=Later(Maker(zipped))) as client:
        answer = await client.post("http://up/x?y=1", content=b"body", headers={"x-mine": "2"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert answer.text == "POST http://up/x?y=1 2 body"


async def test_one_client_is_made_for_all_and_not_on_the_event_loop() -> None:
    make = Maker(lambda request: httpx.Response(200))
    async with httpx.AsyncClient(transport=Later(make)) as client:
        assert make.threads == []
        await asyncio.gather(*(client.get("http://up/") for _ in range(5)))
    assert len(make.threads) == 1
    assert make.threads[0] != threading.get_ident()


async def test_what_goes_wrong_is_told_as_ever() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async with httpx.AsyncClient(transport=Later(Maker(refuse))) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://up/")


async def test_without_a_request_nothing_is_made() -> None:
    make = Maker(lambda request: httpx.Response(200))
    await httpx.AsyncClient(transport=Later(make)).aclose()
    assert make.threads == []
