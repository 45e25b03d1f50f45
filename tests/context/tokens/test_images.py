from __future__ import annotations

import base64
import struct
import zlib

import pytest

from addon.context.tokens.images import (
    UNKNOWN,
    dimensions,
    pdf_pages,
    source_dimensions,
    visual_tokens,
)
from tests.cpu import cpu_below


def png(width: int, height: int) -> bytes:
    header = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + b"IHDR"
        + header
        + struct.pack(">I", zlib.crc32(header))
    )


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\xf7\x00\x00"


def jpeg(width: int, height: int, exif: int = 20) -> bytes:
    app = b"\xff\xe1" + struct.pack(">H", exif + 2) + b"E" * exif
    table = b"\xff\xc4" + struct.pack(">H", 4) + b"\x00\x00"
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\x00" * 9
    return b"\xff\xd8" + app + table + b"\xff" + frame + b"\xff\xd9"


def riff(kind: bytes, body: bytes) -> bytes:
    return (
        b"RIFF"
        + struct.pack("<I", len(body) + 12)
        + b"WEBP"
        + kind
        + struct.pack("<I", len(body))
        + body
    )


def webp_lossy(width: int, height: int) -> bytes:
    return riff(b"VP8 ", b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", width, height))


def webp_lossless(width: int, height: int) -> bytes:
    return riff(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14))


def webp_extended(width: int, height: int) -> bytes:
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return riff(b"VP8X", b"\x10\x00\x00\x00" + sizes)


@pytest.mark.parametrize("make", [png, gif, jpeg, webp_lossy, webp_lossless, webp_extended])
def test_dimensions_come_from_the_header(make):
    assert dimensions(make(1920, 1080)) == (1920, 1080)


def test_a_jpeg_size_is_found_behind_its_exif_data():
    data = base64.b64encode(jpeg(640, 480, exif=60_000)).decode()
    assert source_dimensions({"type": "base64", "data": data}) == (640, 480)


@pytest.mark.parametrize(
    "source",
    [
        {"type": "url", "url": "https://x"},
        {"type": "base64", "data": "!!!"},
        {"type": "base64", "data": ""},
        {"type": "base64", "data": base64.b64encode(b"BM not ours").decode()},
        {"type": "base64", "data": base64.b64encode(jpeg(9, 9)[:30]).decode()},
        {"type": "base64", "data": "ünïcode"},
    ],
    ids=["url", "no-base64", "empty", "bitmap", "cut-jpeg", "not-ascii"],
)
def test_unreadable_images_have_unknown_dimensions(source):
    assert source_dimensions(source) == UNKNOWN


@pytest.mark.parametrize(
    ("size", "old", "new"),
    [
        ((1000, 1000), 1296, 1296),
        ((1920, 1080), 1560, 2691),
        ((1080, 1920), 1560, 2691),
        ((2560, 1440), 1560, 4784),
        ((28, 28), 1, 1),
        ((1, 1), 1, 1),
        ((100_000, 1), 56, 92),
        ((20_000, 20_000), 1521, 4761),
        (UNKNOWN, 1568, 4784),
    ],
)
def test_visual_tokens(size, old, new):
    assert (visual_tokens(size, "old"), visual_tokens(size, "new")) == (old, new)


def test_pdf_pages_are_counted_or_guessed_from_the_size():
    pages = b"%PDF /Type /Pages /Type /Page /Type/Page /Type\n/Page "
    assert pdf_pages(base64.b64encode(pages).decode()) == 3
    assert pdf_pages(base64.b64encode(b"\x00" * 120_000).decode()) == 3
    assert pdf_pages("") == 1


def compressed(objects: bytes) -> bytes:
    packed = zlib.compress(objects)
    head = b"<< /Type /ObjStm /N 3 /First 20 /Length %d /Filter /FlateDecode >>\nstream\n" % len(
        packed
    )
    return b"7 0 obj\n" + head + packed + b"\nendstream\nendobj\n"


@pytest.mark.parametrize(
    ("pdf", "pages"),
    [
        (compressed(b"<< /Type /Page >> " * 10), 10),
        (compressed(b"<< /Type/Page >> ") + compressed(b"<< /Type/Page >>"), 2),
        (b"<< /Type /Pages /Kids [1 0 R] /Count 12 >>", 12),
        (b"<< /Count 12 /Type /Pages >> << /Type /Pages /Count 3 >>", 12),
        (b"<< /Type /Outlines /Count 99 >>", 1),
        (compressed(b"<< /Type /Pages /Count 5 >>"), 5),
        (b"<< /Type /ObjStm >>\nstream\nnot compressed", 1),
        (b"<< /Type /Pages /Count 999999 >>", 600),
        (b"\x00" * 60_000_000, 600),
    ],
    ids=[
        "unpacked",
        "two",
        "count",
        "largest",
        "outline",
        "packed-count",
        "spoilt",
        "most",
        "size",
    ],
)
def test_pages_of_a_pdf_whose_objects_are_compressed(pdf: bytes, pages: int):
    scan = b"%PDF-1.7\n" + pdf
    assert pdf_pages(base64.b64encode(scan).decode()) == pages


def test_a_bomb_in_a_pdf_does_not_go_off():
    bomb = base64.b64encode(compressed(bytes(200_000_000)) * 20).decode()
    with cpu_below(5):
        assert pdf_pages(bomb) >= 1
