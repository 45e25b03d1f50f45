"""Converts images and files in OpenAI content parts to Anthropic `image` and `document` blocks.

Nothing is fetched: an http(s) URL is passed to Anthropic. A proxy that fetches its clients' URLs can be made to access
the network it runs in (server-side request forgery).
"""

from __future__ import annotations

import binascii
import codecs
import re
from base64 import b64decode, b64encode
from urllib.parse import unquote_to_bytes

from addon.core.errors import BadRequest
from addon.core.types import JsonObject
from addon.translation.to_anthropic.fields import Fields, located

IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
"""Source: https://docs.claude.com/en/docs/build-with-claude/vision."""
PDF = "application/pdf"
STORED_ELSEWHERE = "files stored at OpenAI can't be reached; send the file's data instead"

_MAGIC = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"%PDF-"), PDF),
)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BINARY = re.compile(r"[\x00-\x08\x0e-\x1a]")
"""Characters that no text has."""
_ALIASES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg"}
_URL_SAFE = str.maketrans("-_", "+/")


def image_block(part: JsonObject, _tools: object) -> JsonObject:
    """From `image_url`: an object or, as Cursor and the Responses API send it, a bare string."""
    fields = Fields(part)
    if "file_id" in fields and "image_url" not in fields:
        raise fields.error("file_id", STORED_ELSEWHERE)
    if isinstance(fields.get("image_url"), dict):
        fields = fields.nested("image_url")
        name = "url"
    else:
        name = "image_url"
    url = fields.text(name) or ""
    with located(fields.path(name)):
        return {"type": "image", "source": _image_source(url)}


def file_block(part: JsonObject, _tools: object) -> JsonObject:
    """From `file: {file_data, file_id, filename}` (chat), or the same fields at the top level and `file_url`
    (Responses)."""
    fields = Fields(part)
    if "file" in fields:
        fields = fields.nested("file")
    title = fields.text("filename")
    if "file_data" in fields:
        data = fields.text("file_data") or ""
        with located(fields.path("file_data")):
            block = _data_block(data, title)
    elif "file_url" in fields:
        url = fields.text("file_url") or ""
        if not _is_web(url):
            raise fields.error("file_url", "expected an https URL")
        block = _web_block(url)
    else:
        if "file_id" in fields:
            raise fields.error("file_id", STORED_ELSEWHERE)
        raise fields.error("file_data", "expected the file's data")
    if title and title.strip() and block["type"] == "document":
        block["title"] = title
    return block


def true_document(block: JsonObject) -> JsonObject:
    """An Anthropic document block of base64 data by what it holds: Anthropic takes PDF alone in that form."""
    source = block.get("source")
    data = (
        source.get("data") if isinstance(source, dict) and source.get("type") == "base64" else None
    )
    if not isinstance(data, str):
        return block
    with located("source.data"):
        made = _data_block(data, None)
    return {**block, "source": made["source"]} if made["type"] == "document" else made


def with_true_type(block: JsonObject) -> JsonObject:
    """An Anthropic image block with the media type of its content, if that can be told."""
    source = block.get("source")
    data = source.get("data") if isinstance(source, dict) else None
    if not isinstance(source, dict) or not isinstance(data, str):
        return block
    try:
        found = _sniffed(b64decode(data[:64]))
    except ValueError:
        return block
    if found not in IMAGE_TYPES or found == source.get("media_type"):
        return block
    return {**block, "source": {**source, "media_type": found}}


def _image_source(url: str) -> JsonObject:
    if _is_web(url):
        return {"type": "url", "url": url}
    if not url[:5].lower().startswith("data:"):
        raise BadRequest("expected an https URL or a data URL", code="invalid_image_url")
    declared, encoded, content = _data_url(url)
    media_type = _sniffed(content) or declared
    if media_type not in IMAGE_TYPES:
        supported = "JPEG, PNG, GIF and WebP"
        raise BadRequest(
            f"{media_type or 'this image type'} is not supported; Claude accepts {supported}",
            code="unsupported_image_type",
        )
    return {"type": "base64", "media_type": media_type, "data": encoded}


def _data_block(data: str, filename: str | None) -> JsonObject:
    if _is_web(data):  # as OpenRouter's clients send it
        return _web_block(data)
    if data[:5].lower() == "data:":
        declared, encoded, content = _data_url(data)
    else:
        declared = None
        encoded, content = _from_base64(data)
    media_type = _sniffed(content) or declared
    if media_type in IMAGE_TYPES:
        return _base64_block("image", media_type, encoded)
    if media_type == PDF:
        return _base64_block("document", media_type, encoded)
    return {"type": "document", "source": _text_source(content, media_type, filename)}


def _base64_block(kind: str, media_type: str, encoded: str) -> JsonObject:
    return {"type": kind, "source": {"type": "base64", "media_type": media_type, "data": encoded}}


def _text_source(content: bytes, media_type: str | None, filename: str | None) -> JsonObject:
    """By the content: the label of a CSV may be `application/vnd.ms-excel`, that of code `application/octet-stream`."""
    try:
        text = content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\x00"
    if _BINARY.search(text):
        kind = media_type or filename or "unknown"
        raise BadRequest(
            f"files of type {kind} are not supported; use PDF, text or an image",
            code="unsupported_file_type",
        )
    # Anthropic rejects blank text, and the model should know that there was a file.
    return {
        "type": "text",
        "media_type": "text/plain",
        "data": text if text.strip() else "(empty file)",
    }


def _is_web(url: str) -> bool:
    return url[:8].lower().startswith(("https://", "http://"))


def _web_block(url: str) -> JsonObject:
    return {"type": "document", "source": {"type": "url", "url": url}}


def _data_url(url: str) -> tuple[str | None, str, bytes]:
    """Declared type, canonical base64 and content of `data:<type>[;parameter…][;base64],<data>`."""
    head, comma, data = url[5:].partition(",")
    if not comma:
        raise BadRequest("the data URL has no data", code="invalid_data_url")
    declared, *parameters = (piece.strip().lower() for piece in head.split(";"))
    declared = _ALIASES.get(declared, declared)
    if "base64" in parameters:
        return (declared or None, *_from_base64(data))
    content = unquote_to_bytes(data)
    return declared or None, b64encode(content).decode(), content


def _from_base64(data: str) -> tuple[str, bytes]:
    """Normalizes base64: clients wrap lines, use the URL-safe alphabet, escape `+` or omit padding; Anthropic rejects
    that."""
    if "%" in data:
        data = unquote_to_bytes(data).decode("latin-1")
    cleaned = "".join(data.split()).translate(_URL_SAFE).rstrip("=")
    cleaned += "=" * (-len(cleaned) % 4)
    try:
        content = b64decode(cleaned, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("the data is not valid base64", code="invalid_base64") from None
    if not content:
        raise BadRequest("the data is empty", code="invalid_base64")
    return cleaned, content


def _sniffed(content: bytes) -> str | None:
    """The type by the first bytes: editors mislabel screenshots, and Anthropic rejects a wrong media type."""
    return next((name for magic, name in _MAGIC if magic.match(content)), None)
