"""What the proxy says never ends it and never stops it, whatever becomes of its output."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator

import httpx
import pytest

from addon.stand_in.anthropic import FakeAnthropic
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import Proxy, chat

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
LINES = 40
"""Of some 350 characters: more than Python's own buffer of 8 KB, and more than the pipes here hold."""


@contextlib.contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """A small one: its reading and its writing end."""
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 4096)
    try:
        yield ends
    finally:
        for end in ends:
            with contextlib.suppress(OSError):  # closed by the test
                os.close(end)


def say_much(proxy: Proxy) -> None:
    """Requests that are refused with a line each in mitmproxy's log."""
    with httpx.Client(base_url=proxy.url) as client:
        for number in range(LINES):
            assert client.get(f"/nowhere/{number}/{'x' * 300}").status_code == 404


def assert_it_serves(proxy: Proxy) -> None:
    assert proxy.post("/v1/chat/completions", chat()).status_code == 200
    assert proxy.process is not None and proxy.process.poll() is None


def test_a_full_disk_under_the_output_ends_nothing_and_is_told(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        proxy = start_proxy(fork=False, stdout=full.fileno())
        say_much(proxy)
        assert_it_serves(proxy)
        # the lines are written behind the responses
        assert fake.wait_until(lambda: proxy.get("/health").json()["dropped"]["stdout"] > LINES)
        health = proxy.get("/health").json()
        assert health["status"] == "degraded"
        assert any("stdout" in p and "No space left" in p for p in health["problems"])
        assert proxy.stop() == 0


@pytest.mark.thorough
def test_a_full_disk_under_the_flow_file_costs_flows_and_no_request(
    start_proxy: StartProxy,
) -> None:
    proxy = start_proxy(fork=False, arguments=["-w", "/dev/full"])
    for _ in range(5):
        assert_it_serves(proxy)
    health = proxy.get("/health").json()
    assert health["dropped"]["flow file"] >= 5
    assert any("flow file" in p and "No space left" in p for p in health["problems"])


@pytest.mark.thorough
def test_a_reader_that_is_gone_ends_nothing_and_is_told(start_proxy: StartProxy) -> None:
    with pipe() as (reader, writer):
        proxy = start_proxy(fork=False, stdout=writer)
        os.close(writer)
        os.close(reader)
        say_much(proxy)
        assert_it_serves(proxy)
        problems = proxy.get("/health").json()["problems"]
        assert any("stdout" in p and "Broken pipe" in p for p in problems)
        assert proxy.stop() == 0


def test_output_that_nobody_reads_stops_nothing(start_proxy: StartProxy) -> None:
    with pipe() as (reader, writer):
        proxy = start_proxy(fork=False, stdout=writer)
        os.close(writer)
        say_much(proxy)
        assert_it_serves(proxy)
        assert proxy.get("/health").json()["problems"] == []  # it waits for a reader
        with open(reader, "rb", closefd=False) as output:
            said = [output.readline() for _ in range(LINES)]
            assert sum(b"/nowhere/" in line for line in said) > LINES / 2
            say_much(proxy)
            assert proxy.stop() == 0  # it has waited for a moment
