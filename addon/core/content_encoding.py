"""Unpacks request bodies, to a bound: 300 KB of gzip can contain 300 MB.

Brotli and Zstandard come with mitmproxy; Codex and other clients compress their requests with the latter.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import brotli  # type: ignore[import-untyped]

from addon.core.errors import BadRequest, CCProxyError, TooLarge, UnsupportedMedia

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_BODY = 33 * 1024 * 1024
"""Bytes. Anthropic itself rejects bodies of more than 32 MB."""
_LARGEST_WINDOW = 26
"""64 MB, as a power of two: what a decoder of Zstandard may be made to reserve."""


class _Unpacked(NamedTuple):
    body: bytes
    complete: bool
    """The whole input was decoded, to its own end."""


def inflate(raw: bytes, encoding: str, most: int = MAX_BODY) -> bytes:
    """The body without its content encoding, which may be `most` bytes. Raises BadRequest, TooLarge or
    UnsupportedMedia."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return raw
    unpack = _UNPACKERS.get(name)
    if unpack is None:
        known = ", ".join(dict.fromkeys(name.removeprefix("x-") for name in _UNPACKERS))
        raise UnsupportedMedia(
            f"Content-Encoding {name} is not supported. Send the body uncompressed, or with one of: {known}."
        )
    try:
        unpacked = unpack(raw, most)
    except (zlib.error, brotli.error, zstd.ZstdError):
        raise BadRequest(f"The request body is not valid {name}.") from None
    if len(unpacked.body) > most:
        raise TooLarge(f"The request body is larger than {most} bytes when decompressed.")
    if not unpacked.complete:
        raise BadRequest(f"The request body is not valid {name}: it is incomplete.")
    return unpacked.body


def inflate_if_possible(raw: bytes, encoding: str) -> bytes:
    """The same for what is shown: a body that was cut or can't be decoded stays as it is."""
    try:
        return inflate(raw, encoding)
    except CCProxyError:
        return raw


def _gunzip(raw: bytes, most: int) -> _Unpacked:
    return _by_zlib(raw, most, zlib.MAX_WBITS | 16)


def _deflate(raw: bytes, most: int) -> _Unpacked:
    """In zlib's format (RFC 9110 8.4.1.2), or without its two bytes of header, as some clients send it."""
    is_zlib = raw[:1] and raw[0] & 0x0F == 8 and int.from_bytes(raw[:2]) % 31 == 0
    return _by_zlib(raw, most, zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)


def _by_zlib(raw: bytes, most: int, bits: int) -> _Unpacked:
    decoder = zlib.decompressobj(wbits=bits)
    return _Unpacked(decoder.decompress(raw, most + 1), decoder.eof)


def _brotli(raw: bytes, most: int) -> _Unpacked:
    decoder = brotli.Decompressor()
    body = decoder.process(raw, output_buffer_limit=most + 1)
    return _Unpacked(body, decoder.is_finished())


def _zstd(raw: bytes, most: int) -> _Unpacked:
    """One frame after another, as the format allows."""
    pieces, size, complete = [], 0, False
    while raw and size <= most:
        limits = {int(zstd.DecompressionParameter.window_log_max): _LARGEST_WINDOW}
        decoder = zstd.ZstdDecompressor(options=limits)
        pieces.append(decoder.decompress(raw, most + 1 - size))
        size += len(pieces[-1])
        raw, complete = decoder.unused_data, decoder.eof
    return _Unpacked(b"".join(pieces), complete)


_UNPACKERS: Mapping[str, Callable[[bytes, int], _Unpacked]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
