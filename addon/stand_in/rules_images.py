"""Images: type, size, number."""

from __future__ import annotations

import base64
import binascii

from addon.stand_in.models import FakeModel
from addon.stand_in.record import JsonObject
from addon.stand_in.refusal import Refusal, invalid
from addon.stand_in.tokens import parts_of

MAGIC = {
    "image/png": b"\x89PNG",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
MOST_IMAGE_BYTES = 10 * 1024 * 1024


def check_images(body: JsonObject, model: FakeModel) -> None:
    count = sum(_images(message["content"]) for message in body["messages"])
    if count > model.max_images:
        raise invalid(
            f"too many images and documents: {count} + 0 > {model.max_images}", "messages"
        )


def _images(content: object) -> int:
    return sum(
        (block["type"] in ("image", "document"))
        + (_images(block.get("content")) if block["type"] == "tool_result" else 0)
        for block in parts_of(content)
    )


def check_image(block: JsonObject, at: str) -> None:
    source, at = block["source"], f"{at}.image.source"
    match source.get("type"):
        case "base64":
            _check_base64(source, f"{at}.base64")
        case "url":
            if not str(source.get("url")).startswith("https://"):
                raise invalid("Only HTTPS URLs are supported.", f"{at}.url.url")
        case "file":
            return
        case other:
            raise invalid(
                f"Input tag '{other}' found using 'type' does not match any of the expected tags: 'base64', 'url', 'file'",
                at,
            )


def _check_base64(source: JsonObject, at: str) -> None:
    declared = source.get("media_type")
    if declared not in MAGIC:
        raise invalid(
            "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
            f"{at}.media_type",
        )
    try:
        data = base64.b64decode(source["data"], validate=True)
    except binascii.Error as error:
        raise Refusal(400, f"{at}.data: Invalid base64 data") from error
    if len(source["data"]) > MOST_IMAGE_BYTES:
        raise invalid(
            f"image exceeds 10 MB maximum: {len(source['data'])} bytes > {MOST_IMAGE_BYTES} bytes",
            f"{at}.data",
        )
    seen = next((kind for kind, magic in MAGIC.items() if data.startswith(magic)), None)
    if seen is None:
        raise invalid("Could not process image")
    if seen != declared:
        raise invalid(
            f"The image was specified using the {declared} media type, but the image appears to be a {seen} image",
            f"{at}.data",
        )
