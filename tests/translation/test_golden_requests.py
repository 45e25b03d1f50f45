"""What real clients send → the body that goes to Anthropic, compared with tests/fixtures/requests/golden.

Write the golden files anew with `pytest tests/translation/test_golden_requests.py --update-golden`, and read the diff.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from addon.claude.names import parse
from addon.claude.thinking import Prepared, ThinkingOptions, apply_thinking
from addon.translation.to_anthropic.native import native_translation
from addon.translation.to_anthropic.request import translate_chat, translate_responses
from addon.translation.types import RequestOptions, Translation
from tests.translation.asking import CATALOGUE, judge

REQUESTS = Path(__file__).parents[1] / "fixtures" / "requests"
FIXTURES = sorted(REQUESTS.glob("*.json"))
OPTIONS = ThinkingOptions()


@pytest.mark.parametrize("fixture", FIXTURES, ids=[path.stem for path in FIXTURES])
def test_request(fixture: Path, update_golden: bool) -> None:
    golden = REQUESTS / "golden" / fixture.name
    given = json.loads(fixture.read_text(encoding="utf-8"))
    dialect = fixture.stem.rpartition(".")[2]
    made = sent(given, dialect)
    if dialect != "messages":  # those are for Anthropic to judge
        judge(made["request"], set(made["betas"]))
    if update_golden:
        golden.write_text(
            json.dumps(made, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n"
        )
    assert made == json.loads(golden.read_text(encoding="utf-8"))


def sent(body: dict[str, Any], dialect: str) -> dict[str, Any]:
    choice = parse(body["model"])
    assert choice is not None
    model = CATALOGUE.get(choice.id)
    translation: Translation
    prepared: Prepared
    if dialect == "messages":
        translation = native_translation(body, choice.id)
        prepared = Prepared(translation.request, frozenset(), ())
    else:
        translate = {"chat": translate_chat, "responses": translate_responses}[dialect]
        translation = translate(body, model, RequestOptions())
        prepared = apply_thinking(
            translation.request,
            translation.thinking_request,
            model,
            OPTIONS,
            max_tokens_given=translation.max_tokens_given,
            choice=choice,
        )
    return {
        "request": prepared.request,
        "betas": sorted(prepared.betas | translation.betas),
        "cache_ttl": translation.cache_ttl,
        "conversation": translation.conversation,
        "ignored": translation.ignored,
        "notes": [*translation.notes, *prepared.notes],
    }


def test_every_golden_file_has_its_request() -> None:
    assert [path.name for path in sorted((REQUESTS / "golden").glob("*.json"))] == [
        path.name for path in FIXTURES
    ]
