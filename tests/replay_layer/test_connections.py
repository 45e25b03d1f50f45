"""How many connections there may be, by the descriptors that the system gives; how a response's chunks are read."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys

import h11
import pytest
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer

from addon.replay_layer.connections import ACCEPTED_AT_ONCE, take_few_at_once
from addon.replay_layer.upstream_connection import between_chunks, take_chunks

ASK = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from addon.replay_layer.connections import room_for_connections
print(room_for_connections(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize(
    ("soft", "hard", "room", "raised"),
    [
        pytest.param(256, 4096, 1000, 2064, id="a-low-limit-is-raised"),
        pytest.param(256, 512, 224, 512, id="as-far-as-it-may-be"),
        pytest.param(3000, 4096, 1000, 3000, id="a-high-one-is-left-alone"),
        pytest.param(70, 70, 16, 70, id="some-room-there-is-always"),
    ],
)
def test_there_are_two_descriptors_for_each(soft: int, hard: int, room: int, raised: int) -> None:
    command = [sys.executable, "-c", ASK.format(soft=soft, hard=hard)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.split() == [str(room), str(raised)]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows takes one at a time anyway")
async def test_few_clients_are_taken_before_those_that_are_there_go_on() -> None:
    taken: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: taken.append(writer), "127.0.0.1", 0)
    take_few_at_once(server)
    clients = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(30)]
    before, at_once = 0, []
    while len(taken) < len(clients):
        await asyncio.sleep(0)
        at_once.append(len(taken) - before)
        before = len(taken)
    for each in (*taken, *clients):
        each.close()
    server.close()
    assert max(at_once) <= ACCEPTED_AT_ONCE


def read_chunks(packets: list[bytes]) -> tuple[list[bytes], bytes]:
    """The pieces of a chunked body, and what is left, as `UpstreamConnection.read_body` and h11 behind it read it."""
    reader, received, pieces = ChunkedReader(), ReceiveBuffer(), []
    for packet in packets:
        received += packet
        if between_chunks(reader):
            pieces.append(take_chunks(received))
        while isinstance(event := reader(received) if received else None, h11.Data):
            pieces.append(bytes(event.data))
        if isinstance(event, h11.EndOfMessage):
            pieces.append(b"<end>")
            break
    return [piece for piece in pieces if piece], bytes(received)


CHUNKS = b'5\r\nab\r\nc\r\n1a;note="x"\r\nabcdefghijklmnopqrstuvwxyz\r\n2\r\n12\r\n0\r\n\r\n'


@pytest.mark.parametrize("first", range(len(CHUNKS)))
@pytest.mark.parametrize("second", [1, 2, 7, 100])
def test_chunks_are_read_the_same_however_they_come(first: int, second: int) -> None:
    packets = [CHUNKS[:first], CHUNKS[first : first + second], CHUNKS[first + second :]]
    pieces, left = read_chunks([packet for packet in packets if packet])
    assert b"".join(pieces) == b"ab\r\ncabcdefghijklmnopqrstuvwxyz12<end>"
    assert not left


def test_chunks_of_one_packet_are_one_piece() -> None:
    pieces, left = read_chunks([b"2\r\nab\r\n3\r\ncde\r\n4\r\nf"])
    assert pieces == [b"abcde", b"f"]
    assert not left


@pytest.mark.parametrize("wrong", [b"2\r\nabc\r\n", b"-2\r\nab\r\n", b"0x2\r\nab\r\n"])
def test_a_malformed_chunk_is_refused(wrong: bytes) -> None:
    with pytest.raises(h11.ProtocolError):
        read_chunks([b"2\r\nab\r\n" + wrong])
