from __future__ import annotations

import base64
import hashlib
import json
import lzma
from functools import cache
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from addon.context.tokens.vocabulary import (
    PACKED,
    PIECE_CHARS,
    Vocabulary,
    pack,
    pieces,
    unpack,
    weigh,
)
from tests.context.builders import code, dice, prose, rows, vocabulary
from tests.context.validator import unhurried

PUBLISHED_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"


def test_packed_vocabulary_is_the_published_one():
    tokens = unpack(lzma.decompress(PACKED.read_bytes()))
    lines = (b"%s %d\n" % (base64.b64encode(token), rank) for rank, token in enumerate(tokens))
    assert hashlib.sha256(b"".join(lines)).hexdigest() == PUBLISHED_SHA256


def test_the_licence_ships_beside_it():
    assert "MIT License" in (PACKED.parent / "LICENSE-tiktoken").read_text()


@unhurried
@given(st.lists(st.binary(min_size=1, max_size=200)))
def test_unpack_undoes_pack(tokens: list[bytes]):
    assert list(unpack(pack(tokens))) == tokens


# Counts by tiktoken's own cl100k_base.
@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("tiktoken is great!", 6),
        ("hello world", 2),
        ("antidisestablishmentarianism", 6),
        ("お誕生日おめでとう", 9),
        ("2 + 2 = 4", 7),
        ("<|endoftext|>", 7),
    ],
)
def test_known_counts(text: str, tokens: int):
    assert vocabulary().count(text) == tokens


# As tiktoken publishes it.
PUBLISHED_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)


@cache
def published() -> tiktoken.Encoding:
    tokens = unpack(lzma.decompress(PACKED.read_bytes()))
    ranks = {token: rank for rank, token in enumerate(tokens)}
    return tiktoken.Encoding(
        name="published", pat_str=PUBLISHED_PATTERN, mergeable_ranks=ranks, special_tokens={}
    )


@pytest.mark.parametrize(
    "text",
    [
        code(dice(1), 300),
        Path(hashlib.__file__).read_text(),
        json.dumps(json.loads(rows(dice(1), 100)), indent=4),
        "これは。 Größe, ça va? They'll do good.\t\r\n" * 20,
        "one  two \n\n   three\t\tfour\r\n  " * 20,
    ],
    ids=["code", "library", "indented-json", "mixed", "blanks"],
)
def test_the_fast_split_counts_as_the_published_one(text: str):
    assert vocabulary().count(text) == len(published().encode_ordinary(text))


@unhurried
@given(
    st.text(st.sampled_from("aZé今1٣ '\"s\t\n\r\u3000.,_\u0301🚀"), max_size=60)
    | st.text(max_size=60)
)
def test_the_fast_split_counts_as_the_published_one_whatever_the_text(text: str):
    assert vocabulary().count(text) == len(published().encode_ordinary(text))


def test_lone_surrogates_are_counted():
    assert vocabulary().count("a\ud800b") > 0
    assert weigh("a\ud800b") > 0


@unhurried
@given(st.text(alphabet="a \n", max_size=400).map(lambda text: text * 200))
def test_pieces_join_to_the_text_and_are_short(text: str):
    cut = list(pieces(text))
    assert "".join(cut) == text
    assert all(len(piece) <= PIECE_CHARS for piece in cut)


def test_cutting_hardly_changes_the_count():
    rng = dice(1)
    text = "".join(code(rng, 40) + prose(rng, 300) for _ in range(40))
    whole = sum(vocabulary().count(line) for line in text.splitlines(keepends=True))
    assert vocabulary().count(text) == pytest.approx(whole, rel=0.002)


def test_a_million_spaces_do_not_panic():
    assert vocabulary().count(" " * 1_100_000 + "x") > 0


@pytest.mark.parametrize(
    "content", [b"", b"no xz", lzma.compress(b"\x01a\x01b")], ids=["empty", "foreign", "other"]
)
def test_damaged_data_leaves_the_weights_and_is_logged(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "v.xz").write_bytes(content)
    damaged = Vocabulary(tmp_path / "v.xz")
    damaged.load()
    assert damaged.settled
    assert not damaged.exact
    assert damaged.problem and "can't be loaded" in damaged.problem
    assert caplog.messages == [damaged.problem]
    assert damaged.count("some text") == weigh("some text")


def test_loading_in_the_background_settles():
    subject = Vocabulary()
    assert subject.count("hello world") == weigh("hello world")
    subject.start()
    assert subject.wait(30)
    assert subject.exact


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("prose", prose(dice(1), 3_000)),
        ("code", code(dice(1), 500)),
        ("json", rows(dice(1), 500)),
        ("chinese", "今天天气很好我们去公园散步吧。" * 200),
    ],
)
def test_weights_are_near_the_vocabulary(kind: str, text: str):
    assert weigh(text) == pytest.approx(vocabulary().count(text), rel=0.25), kind
