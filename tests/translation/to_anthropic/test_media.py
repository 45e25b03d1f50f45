"""Images and files."""

from __future__ import annotations

import base64
import socket
from typing import Any

import pytest

from addon.core.errors import BadRequest
from addon.translation.types import RequestOptions
from tests.translation.asking import CATALOGUE, OPUS, U, chat, text

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\xfb\xff" * 3).decode()
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0").decode()
GIF = base64.b64encode(b"GIF89a..").decode()
WEBP = base64.b64encode(b"RIFF\x01\x02\x03\nWEBPVP8").decode()
PDF = base64.b64encode(b"%PDF-1.7 x").decode()
CSV = base64.b64encode(b"a,b\n1,2\n").decode()
ZIP = base64.b64encode(b"PK\x03\x04\x14\x00\x00").decode()
BINARY = base64.b64encode(b"\x00\xff\xfe\x01").decode()


def image_url(url: Any, **fields: Any) -> dict:
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def file(**fields: Any) -> dict:
    return {"type": "file", "file": fields}


def image(media_type: str, data: str) -> dict:
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def document(source: dict, title: str | None = None) -> dict:
    return {"type": "document", "source": source} | ({"title": title} if title else {})


def base64_pdf(data: str = PDF) -> dict:
    return {"type": "base64", "media_type": "application/pdf", "data": data}


def plain(data: str) -> dict:
    return {"type": "text", "media_type": "text/plain", "data": data}


WEB = {"type": "url", "url": "https://example.com/a.png"}

PARTS: dict[str, tuple[dict, dict]] = {
    "png": (image_url(f"data:image/png;base64,{PNG}"), image("image/png", PNG)),
    "jpg-is-jpeg": (image_url(f"data:image/jpg;base64,{JPEG}"), image("image/jpeg", JPEG)),
    "jpg-with-unknown-bytes": (
        image_url(f"data:image/jpg;base64,{BINARY}"),
        image("image/jpeg", BINARY),
    ),
    "a-png-that-is-a-jpeg": (
        image_url(f"data:image/png;base64,{JPEG}"),
        image("image/jpeg", JPEG),
    ),
    "gif": (image_url(f"data:image/gif;base64,{GIF}"), image("image/gif", GIF)),
    "webp-without-a-type": (image_url(f"data:;base64,{WEBP}"), image("image/webp", WEBP)),
    "parameters-are-dropped": (
        image_url(f"data:image/png;charset=utf-8;base64,{PNG}"),
        image("image/png", PNG),
    ),
    "upper-case": (image_url(f"DATA:IMAGE/PNG;BASE64,{PNG}"), image("image/png", PNG)),
    "https": (image_url("https://example.com/a.png"), {"type": "image", "source": WEB}),
    "http-is-left-for-anthropic-to-refuse": (
        image_url("http://x/a.png"),
        {"type": "image", "source": {"type": "url", "url": "http://x/a.png"}},
    ),
    "a-bare-string": (
        {"type": "image_url", "image_url": f"data:image/png;base64,{PNG}"},
        image("image/png", PNG),
    ),
    "input-image": (
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
        image("image/png", PNG),
    ),
    "detail-is-ignored": (
        image_url("https://example.com/a.png", detail="low"),
        {"type": "image", "source": WEB},
    ),
    "line-breaks-and-spaces": (
        image_url(f"data:image/png;base64,{PNG[:4]}\n {PNG[4:]}\r\n"),
        image("image/png", PNG),
    ),
    "url-safe-alphabet": (
        image_url("data:image/png;base64," + PNG.replace("+", "-").replace("/", "_")),
        image("image/png", PNG),
    ),
    "no-padding": (
        image_url(f"data:image/jpeg;base64,{JPEG.rstrip('=')}"),
        image("image/jpeg", JPEG),
    ),
    "percent-encoded-base64": (
        image_url("data:image/png;base64," + PNG.replace("+", "%2B")),
        image("image/png", PNG),
    ),
    "percent-encoded-bytes": (
        image_url("data:image/gif,GIF89a%2E."),
        image("image/gif", GIF),
    ),
    "pdf": (
        file(file_data=f"data:application/pdf;base64,{PDF}", filename="a.pdf"),
        document(base64_pdf(), "a.pdf"),
    ),
    "pdf-without-data-url": (
        file(file_data=PDF, filename="a.pdf"),
        document(base64_pdf(), "a.pdf"),
    ),
    "pdf-without-a-name": (file(file_data=PDF), document(base64_pdf())),
    "csv": (
        file(file_data=f"data:text/csv;base64,{CSV}", filename="a.csv"),
        document(plain("a,b\n1,2\n"), "a.csv"),
    ),
    "a-csv-by-the-label-of-excel": (
        file(file_data=f"data:application/vnd.ms-excel;base64,{CSV}"),
        document(plain("a,b\n1,2\n")),
    ),
    "a-text-of-no-known-type": (
        file(file_data=f"data:application/octet-stream;base64,{CSV}"),
        document(plain("a,b\n1,2\n")),
    ),
    "an-image-of-no-known-type": (
        file(file_data=f"data:application/octet-stream;base64,{PNG}"),
        image("image/png", PNG),
    ),
    "a-pdf-by-the-label-of-a-text": (
        file(file_data=f"data:text/plain;base64,{PDF}"),
        document(base64_pdf()),
    ),
    "utf-16": (
        file(file_data=base64.b64encode("a;é\n".encode("utf-16")).decode()),
        document(plain("a;é\n")),
    ),
    "data-that-is-an-address": (
        file(file_data="https://example.com/a.pdf", filename="a.pdf"),
        document({"type": "url", "url": "https://example.com/a.pdf"}, "a.pdf"),
    ),
    "anthropics-image-by-another-label": (image("image/jpeg", PNG), image("image/png", PNG)),
    "anthropics-image-that-nobody-knows": (
        image("image/jpeg", BINARY),
        image("image/jpeg", BINARY),
    ),
    "anthropics-document-of-text": (
        document({"type": "base64", "media_type": "text/csv", "data": CSV}, "t"),
        document(plain("a,b\n1,2\n"), "t"),
    ),
    "anthropics-document-that-is-an-image": (
        document({"type": "base64", "media_type": "application/pdf", "data": PNG}),
        image("image/png", PNG),
    ),
    "text-without-data-url": (file(file_data=CSV), document(plain("a,b\n1,2\n"))),
    "json": (
        file(file_data="data:application/json;base64," + base64.b64encode(b"{}").decode()),
        document(plain("{}")),
    ),
    "blank-text": (
        file(file_data="data:text/plain;base64," + base64.b64encode(b" \n").decode()),
        document(plain("(empty file)")),
    ),
    "a-byte-order-mark": (
        file(file_data="data:text/plain;base64," + base64.b64encode("\ufeffx".encode()).decode()),
        document(plain("x")),
    ),
    "a-file-that-is-an-image": (
        file(file_data=f"data:image/png;base64,{PNG}"),
        image("image/png", PNG),
    ),
    "input-file": (
        {"type": "input_file", "file_data": PDF, "filename": "a.pdf"},
        document(base64_pdf(), "a.pdf"),
    ),
    "input-file-by-url": (
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        document({"type": "url", "url": "https://example.com/a.pdf"}),
    ),
    "anthropics-image": (image("image/png", PNG) | {"detail": "low"}, image("image/png", PNG)),
    "anthropics-document": (
        document(base64_pdf(), "t") | {"citations": {"enabled": True}, "extra": 1},
        document(base64_pdf(), "t") | {"citations": {"enabled": True}},
    ),
    "anthropics-search-result": (
        {"type": "search_result", "source": "s", "title": "t", "content": [text("x")]},
        {"type": "search_result", "source": "s", "title": "t", "content": [text("x")]},
    ),
    "citations-of-a-user-are-dropped": (
        {**text("x"), "citations": [{"type": "char_location"}]},
        text("x"),
    ),
}


@pytest.mark.parametrize(("part", "block"), PARTS.values(), ids=PARTS)
def test_parts(part: dict, block: dict) -> None:
    assert chat(U([text("see"), part])).request["messages"][0]["content"] == [text("see"), block]


REFUSED: dict[str, tuple[dict, str, str | None]] = {
    "svg": (
        image_url("data:image/svg+xml;base64,PHN2Zz4="),
        ".image_url.url",
        "unsupported_image_type",
    ),
    "file": (image_url("file:///etc/passwd"), ".image_url.url", "invalid_image_url"),
    "blob": (image_url("blob:https://x"), ".image_url.url", "invalid_image_url"),
    "empty": (image_url(""), ".image_url.url", "invalid_image_url"),
    "no-url": ({"type": "image_url"}, ".image_url", "invalid_image_url"),
    "url-no-string": (image_url(5), ".image_url.url", None),
    "invalid-base64": (
        image_url("data:image/png;base64,§§§"),
        ".image_url.url",
        "invalid_base64",
    ),
    "empty-data": (image_url("data:image/png;base64,"), ".image_url.url", "invalid_base64"),
    "no-data": (image_url("data:image/png"), ".image_url.url", "invalid_data_url"),
    "a-file-of-openai": (file(file_id="file-abc"), ".file.file_id", None),
    "an-image-of-openai": ({"type": "input_image", "file_id": "file-abc"}, ".file_id", None),
    "a-file-of-anthropic-without-the-setting": (file(file_id="file_abc"), ".file.file_id", None),
    "a-file-without-data": (file(filename="a"), ".file.file_data", None),
    "a-zip": (
        file(file_data=f"data:application/zip;base64,{ZIP}"),
        ".file.file_data",
        "unsupported_file_type",
    ),
    "unknown-bytes": (
        file(file_data=BINARY, filename="a.bin"),
        ".file.file_data",
        "unsupported_file_type",
    ),
    "text-that-is-none": (
        file(file_data=f"data:text/plain;base64,{BINARY}"),
        ".file.file_data",
        "unsupported_file_type",
    ),
    "file-by-another-url": (
        {"type": "input_file", "file_url": "file:///x"},
        ".file_url",
        None,
    ),
    "audio": (
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
        "",
        "unsupported_content_part",
    ),
}


@pytest.mark.parametrize(("part", "field", "code"), REFUSED.values(), ids=REFUSED)
def test_refused(part: dict, field: str, code: str | None) -> None:
    with pytest.raises(BadRequest) as error:
        chat(U([text("see"), part]))
    assert (error.value.param, error.value.code) == (f"messages[0].content[1]{field}", code)


def test_the_refusal_names_the_type() -> None:
    with pytest.raises(BadRequest, match=r"image/svg\+xml"):
        chat(U([image_url("data:image/svg+xml;base64,PHN2Zz4=")]))


def test_the_refusal_says_audio() -> None:
    with pytest.raises(BadRequest, match="audio"):
        chat(U([{"type": "input_audio"}]))


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    chat(U([image_url("https://example.com/a.png")]))


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-opus-5"])
def test_many_images_are_left_for_anthropic_to_count(model: str) -> None:
    content = chat(U([image_url("https://example.com/a.png")] * 101), model=model).request[
        "messages"
    ][0]
    assert len(content["content"]) == 101


def test_without_files_no_beta_is_asked_for() -> None:
    assert chat(U([image_url("https://example.com/a.png")])).betas == set()


def test_options_are_lenient_and_thrifty_by_default() -> None:
    defaults = RequestOptions()
    assert not defaults.strict
    assert not defaults.fast
    assert CATALOGUE.get(OPUS).id == OPUS
