"""Secrets do not reach what is written for people."""

from __future__ import annotations

import json
import logging
from urllib.parse import quote, quote_plus

import pytest

from addon.core.redaction import MOST_LEVELS, RedactingFilter, excerpt, hider, redact, redacted

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc-DEF_123"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-api03-abcdefgh",
        "sk-ant-oat01-abcdefgh",
        "sk-ant-ort01-abcdefgh",
        "sk-proj-12345678",
        JWT,
    ],
)
def test_keys_and_tokens_are_hidden(secret: str) -> None:
    assert redact(f"before {secret} after") == "before [hidden] after"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"eyJno.{JWT}", "eyJno.[hidden]"),
        (f"eyJ{JWT}", "[hidden]"),
        ("eyJhbGciOi-sk-ant-api03-abcdefgh", "eyJhbGciOi-[hidden]"),
        ("Bearer eyJhbGciOi", "Bearer [hidden]"),
        ("eyJhbGciOi.eyJzdWIi and eyJ", "eyJhbGciOi.eyJzdWIi and eyJ"),
    ],
)
def test_what_begins_like_a_jwt(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_an_excerpt_shows_no_half_of_a_secret() -> None:
    assert excerpt("word " * 100, 10) == "word word "
    for length in range(1, 20):
        assert excerpt(f"key {JWT} {'x' * 90_000}", length) == "key [hidden] xxxxxxx"[:length]


def test_bearer_values_are_hidden() -> None:
    assert redact("Authorization: Bearer abc.def-12345") == "Authorization: Bearer [hidden]"


@pytest.mark.parametrize("text", ["sk-1", "a task-list of things", "Bearer of news", ""])
def test_ordinary_words_are_left_alone(text: str) -> None:
    assert redact(text) == text


def test_values_are_hidden_at_any_depth_and_data_is_shortened() -> None:
    value = {"a": [{"key": "sk-ant-api03-abcdefgh", "n": 1}], "image": "QUJD" * 100, "none": None}
    assert redacted(value) == {
        "a": [{"key": "[hidden]", "n": 1}],
        "image": "[400 characters of data]",
        "none": None,
    }
    assert value["image"] == "QUJD" * 100


@pytest.mark.parametrize("secret", ['say "hi"', "back\\slash", "é ü", "a&b=c", "it's", "sk-short"])
def test_a_secret_of_our_own_is_hidden_in_each_form_that_it_has_in_texts(secret: str) -> None:
    hide = hider(None, secret, "")
    quoted = json.dumps({"key": secret}), json.dumps({"key": secret}, ensure_ascii=False)
    for text in (
        secret,
        *quoted,
        repr({"key": secret}),
        quote(secret, safe=""),
        quote_plus(secret),
    ):
        hidden = hide(f"before {text} after")
        assert "[hidden]" in hidden and secret not in hidden
        assert hidden.startswith("before ") and hidden.endswith(" after")
    assert redacted({secret: [secret]}, hide) == {"[hidden]": ["[hidden]"]}


def test_without_a_secret_of_our_own_keys_are_hidden_all_the_same() -> None:
    assert hider(None)("sk-ant-api03-abcdefgh") == "[hidden]"


def test_what_is_nested_without_end_is_shown_in_part() -> None:
    value: object = "deep"
    for _ in range(100_000):
        value = [value]
    shown, levels = redacted(value), 0
    while isinstance(shown, list):
        (shown,), levels = shown, levels + 1
    assert (shown, levels) == ("[nested too deeply]", MOST_LEVELS)


def test_long_prose_is_kept() -> None:
    prose = "A sentence with words. " * 20
    assert redacted(prose) == prose


def test_log_records_lose_secrets_also_in_tracebacks(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("test.redaction")
    with caplog.filtering(RedactingFilter("the proxy's own")):
        try:
            raise ValueError("sk-ant-api03-abcdefgh and the proxy's own")
        except ValueError:
            logger.exception("with %s", "sk-ant-oat01-abcdefgh")
    assert "abcdefgh" not in caplog.text and "the proxy's own" not in caplog.text
    assert "ValueError: [hidden] and [hidden]" in caplog.text
