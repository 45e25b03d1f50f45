"""What a client sends is found upstream, or named: over requests built from the openai SDK's types."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from hashlib import sha256

from hypothesis import given

from addon.core.errors import BadRequest
from addon.translation.decisions import FIELDS
from addon.translation.to_anthropic.request import translate_chat, translate_responses
from addon.translation.types import RequestOptions, Translation
from tests.requests_from_types import At, Built, Leaf, requests
from tests.sdk_names import CHAT, MESSAGES, RESPONSES
from tests.translation.asking import CATALOGUE, OPUS

MODEL = CATALOGUE.get(OPUS)
LINKS = ("id", "call_id", "tool_call_id", "tool_use_id", "toolset_name")
"""They link calls with results, which are paired anew; what they stand at is looked for."""


@given(requests(CHAT))
def test_chat(built: Built) -> None:
    check(built, CHAT)


@given(requests(MESSAGES))
def test_anthropics_names_in_a_chat_body(built: Built) -> None:
    """Cursor mixes the APIs."""
    check(built, CHAT)


@given(requests(RESPONSES))
def test_responses(built: Built) -> None:
    check(built, RESPONSES)


def check(built: Built, api: str) -> None:
    translate = translate_chat if api == CHAT else translate_responses
    try:
        translation = translate(built.body, MODEL, RequestOptions())
    except BadRequest as error:
        first = str(error.param).partition(".")[0].partition("[")[0]
        assert first in built.body, f"a refusal that names no field: {error}"
        return
    sent = everything(translation)
    lost = [
        leaf for leaf in built.leaves if not is_found(leaf, sent) and not is_told(leaf, translation)
    ]
    assert lost == [], json.dumps(built.body)
    refused = [
        name
        for name in translation.ignored
        if decision(name) != "harmless" and not re.search(r"\.\d", name)
    ]
    assert strictly_refused(built, api) == next(iter(refused), None)


def strictly_refused(built: Built, api: str) -> str | None:
    """What STRICT rejects: the first field that counts as ignored and is not harmless."""
    translate = translate_chat if api == CHAT else translate_responses
    try:
        translate(built.body, MODEL, RequestOptions(strict=True))
    except BadRequest as error:
        return error.param
    return None


def everything(translation: Translation) -> str:
    """What goes to Anthropic, and what decides how the request is handled here."""
    handled = (translation.reply, translation.conversation, translation.thinking_request)
    return json.dumps(translation.request, ensure_ascii=False) + repr(handled)


def is_found(leaf: Leaf, sent: str) -> bool:
    if leaf.at.names[-1].endswith("source.data") and text_of(leaf.text) in sent:
        return True  # a document that holds text is sent as text
    return leaf.text in sent or sha256(leaf.text.encode()).hexdigest() in sent


def text_of(encoded: str) -> str:
    """What base64 without its padding stands for, if that is text."""
    try:
        return b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except ValueError:
        return encoded


def test_a_document_of_text_is_found() -> None:
    """`w4w` is the base64 of an Ì."""
    at = At(("messages", "content.document.source.data"), "messages.0.content.0.source.data")
    assert is_found(Leaf("w4w", at), '"data": "Ì"') and not is_found(Leaf("w4w", at), '"data": "I"')


def is_told(leaf: Leaf, translation: Translation) -> bool:
    """Named as ignored, by its kind or its place, or by the table's decision of no meaning to Claude."""
    names, path = leaf.at
    if any(name in names or f"{path}.".startswith(f"{name}.") for name in translation.ignored):
        return True
    if "hosted.tools" in names:
        return True  # those tools are told by their names
    return names[-1].rpartition(".")[2] in LINKS or any(map(is_label, names))


def is_label(name: str) -> bool:
    return decision(name) == "label"


def decision(name: str) -> str | None:
    section, _, field = name.rpartition(".")
    return FIELDS.get(section or "request", {}).get(field)
