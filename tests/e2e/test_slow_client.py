"""A client that reads slowly holds upstream back; the proxy does not gather what it does not read."""

from __future__ import annotations

import json
import socket
import time

import pytest

from addon.stand_in.script import sse
from tests.e2e.conftest import World
from tests.e2e.proxy import chat
from tests.e2e.raw import post, read_all
from tests.translation.upstream import message, stream_of, text

MEGABYTE = 2**20
LONG = "x" * (24 * MEGABYTE)


@pytest.mark.thorough
def test_upstream_waits_for_a_client_that_does_not_read(world: World) -> None:
    world.fake.script(sse(stream_of(message(text(LONG)), piece=65_536)))
    with socket.create_connection(("127.0.0.1", world.proxy.port), timeout=30) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        client.sendall(post(chat(stream=True), "Connection: close"))
        client.recv(1)
        request = world.fake.requests[0]
        assert world.fake.wait_until(lambda: _is_still(request.bytes_sent, world), 10)
        assert request.bytes_sent < 16 * MEGABYTE, "most of it is still Anthropic's to send"
        answer = read_all(client)
    chunks = [json.loads(line[6:]) for line in answer.split(b"\n") if line.startswith(b"data: {")]
    said = (choice["delta"].get("content") or "" for c in chunks for choice in c["choices"])
    assert "".join(said) == LONG
    assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def _is_still(before: int, world: World) -> bool:
    time.sleep(0.3)
    return before > 0 and world.fake.requests[0].bytes_sent == before
