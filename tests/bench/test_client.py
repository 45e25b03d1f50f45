"""The bench's own judge: it must see what a proxy loses, doubles, alters or cuts off."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

import pytest

from bench.client import Answer, Wrong, check
from bench.scenario import Claim
from bench.upstream import read_order, whole_message, whole_stream
from bench.workload import Editor, Order, short_request

DELTAS = 6


def came(*pieces: bytes) -> Answer:
    answer = Answer(time.monotonic())
    for piece in pieces:
        answer.take(piece)
    return answer


def without(part: bytes) -> Callable[[bytes], bytes]:
    """A stream's HTTP chunk with `part` in it, left out."""
    chunk = re.compile(rb"(?<=\r\n)[0-9a-f]+\r\n[^\r]*%b[^\r]*\r\n" % part)
    return lambda stream: chunk.sub(b"", stream)


def test_a_whole_stream_is_right() -> None:
    check(came(whole_stream(DELTAS)), "messages", DELTAS)


def test_a_whole_message_is_right() -> None:
    check(came(whole_message(DELTAS)), "messages", DELTAS)


def test_pieces_of_any_size_are_put_together() -> None:
    stream = whole_stream(DELTAS)
    cut = stream.index(b"3@0")
    check(came(stream[:cut], stream[cut:]), "messages", DELTAS)


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "a delta is lost": without(b"2@0"),
    "the end is not marked": without(b"message_stop"),
    "a word is altered": lambda stream: stream.replace(b"The plan", b"The clan"),
    "the status is not 200": lambda stream: stream.replace(b"200 OK", b"502 No", 1),
}


@pytest.mark.parametrize("spoil", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_seen(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Wrong):
        check(came(spoil(whole_stream(DELTAS))), "messages", DELTAS)


def test_a_closed_connection_is_seen() -> None:
    with pytest.raises(Wrong, match="closed"):
        came(whole_stream(DELTAS)[:200], b"")


def test_delays_are_from_the_stamp_to_the_piece_that_completes_it() -> None:
    answer = Answer(0.0)
    answer.pieces = [(2.0, b"0@1000000;a 1@15"), (3.0, b"00000;b")]
    assert list(answer.delays()) == [1.0, 1.5]


@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_the_upstream_reads_the_newest_order(dialect: str) -> None:
    order = Order(deltas=7, gap_ms=20, first_ms=5, stamped=True)
    editor = Editor(1)
    editor.turns.append({"role": "user", "content": f"Before. {Order(deltas=1)}"})
    dialect_ = "chat" if dialect == "chat" else "messages"
    assert read_order(editor.request(dialect_, order)) == order
    assert read_order(short_request(dialect_, order, stream=True)) == order


def test_a_conversation_grows_by_whole_turns_and_keeps_its_beginning() -> None:
    editor = Editor(1)
    editor.grow(10)
    before = json.loads(editor.request("chat", Order()))["messages"]
    editor.grow(11)
    after = json.loads(editor.request("chat", Order()))["messages"]
    assert after[: len(before) - 1] == before[:-1]
    assert len(after) == len(before) + 5


@pytest.mark.parametrize(
    ("claim", "value", "holds"),
    [
        (Claim("f", "ratio", at_most=1.2), 1.2, True),
        (Claim("f", "ratio", at_most=1.2), 1.3, False),
        (Claim("f", "ratio", at_least=0.8), 0.9, True),
        (Claim("f", "ratio", at_least=0.8), 0.7, False),
    ],
)
def test_a_claim_holds_on_its_side_of_the_bound(claim: Claim, value: float, holds: bool) -> None:
    assert claim.holds(value) is holds
