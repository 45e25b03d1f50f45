"""Bodies in every content encoding that is read, and what is refused of them."""

from __future__ import annotations

import gzip
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Mapping
from functools import partial

import brotli
import pytest

from addon.core.content_encoding import MAX_BODY, inflate
from addon.core.errors import BadRequest, TooLarge, UnsupportedMedia

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACKED: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": partial(gzip.compress, compresslevel=1),
    "x-gzip": partial(gzip.compress, compresslevel=1),
    " GZIP": partial(gzip.compress, compresslevel=1),
    "deflate": partial(zlib.compress, level=1),
    "br": partial(brotli.compress, quality=1),
    "zstd": zstd.compress,
}
ENCODINGS = pytest.mark.parametrize("encoding", PACKED)


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_plain_bodies(encoding: str) -> None:
    assert inflate(b"abc", encoding) == b"abc"


@ENCODINGS
@pytest.mark.parametrize("body", [b"", b"abc", b"abc" * 99_999], ids=len)
def test_packed_bodies(encoding: str, body: bytes) -> None:
    assert inflate(PACKED[encoding](body), encoding) == body


def test_deflate_without_its_header() -> None:
    packer = zlib.compressobj(wbits=-15)
    assert inflate(packer.compress(b"abc") + packer.flush(), "deflate") == b"abc"


def test_frames_of_zstandard_follow_each_other() -> None:
    assert inflate(zstd.compress(b"ab") + zstd.compress(b"c"), "zstd") == b"abc"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_body_of_just_the_limit_is_taken(encoding: str) -> None:
    assert len(inflate(PACKED[encoding](bytes(MAX_BODY)), encoding)) == MAX_BODY


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_more_than_the_limit_is_never_unpacked(encoding: str) -> None:
    bomb = PACKED[encoding](bytes(8 * MAX_BODY))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            inflate(bomb, encoding)
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_BODY
    finally:
        tracemalloc.stop()


SPOILT: Mapping[str, Callable[[bytes], bytes]] = {
    "garbage": lambda packed: b"\x00abc",
    "cut": lambda packed: packed[:-3],
    "empty": lambda packed: b"",
}


@ENCODINGS
@pytest.mark.parametrize("spoilt", SPOILT)
def test_other_bodies_are_refused(encoding: str, spoilt: str) -> None:
    with pytest.raises(BadRequest):
        inflate(SPOILT[spoilt](PACKED[encoding](b"abc" * 999)), encoding)


def test_a_second_frame_that_is_cut_is_refused() -> None:
    with pytest.raises(BadRequest):
        inflate(zstd.compress(b"abc") + zstd.compress(b"abc" * 99)[:-3], "zstd")


@pytest.mark.parametrize("encoding", ["gzip, gzip", "compress", "banana"])
def test_other_encodings_are_not_supported(encoding: str) -> None:
    with pytest.raises(UnsupportedMedia):
        inflate(b"abc", encoding)


def test_a_window_larger_than_any_body_is_refused() -> None:
    window = {zstd.CompressionParameter.window_log: 27}
    packer = zstd.ZstdCompressor(options=window)
    with pytest.raises(BadRequest):
        inflate(packer.compress(bytes(MAX_BODY)) + packer.flush(), "zstd")
