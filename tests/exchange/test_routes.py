"""The table of routes: what is served, in which dialect an error is told, and how careless clients are met."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.exchange.routes import (
    CHAT,
    MESSAGES,
    PREFLIGHT,
    RESPONSES,
    ROUTES,
    deployment,
    dialect_of,
    find,
    single_slashes,
)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/chat/completions", CHAT),
        ("/chat/completions", CHAT),
        ("/v1/v1/chat/completions", CHAT),
        ("/v1/chat/completions/", CHAT),
        ("/v1/chat/completions?api-version=1", CHAT),
        ("//v1///v1//chat/completions//?a=//", CHAT),
        ("/v1/messages?beta=true", MESSAGES),
        ("/messages", MESSAGES),
        ("/v1/responses", RESPONSES),
        ("/openai/deployments/claude-opus-4-8/chat/completions?api-version=2", CHAT),
    ],
)
def test_careless_forms_are_served(path: str, route: object) -> None:
    assert find("POST", path) is route


def test_the_method_belongs_to_the_route() -> None:
    assert find("GET", "/v1/chat/completions") is None
    assert find("post", "/v1/chat/completions") is None
    assert find("OPTIONS", "/anything") is PREFLIGHT
    assert find("OPTIONS", "*") is None


@given(st.text(alphabet="/v1.%2emesag\\;:@?#*", max_size=30))
def test_no_other_path_is_served(path: str) -> None:
    bare = single_slashes(path).partition("?")[0]
    assert find("POST", path) is None or ("POST", bare) in ROUTES


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/openai/deployments/gpt-4o/chat/completions", "gpt-4o"),
        ("/openai/deployments/claude-opus-4-8/chat/completions/?x=1", "claude-opus-4-8"),
        ("/openai/deployments/../chat/completions", None),
        ("/openai/deployments/a%2fb/chat/completions", None),
        ("/v1/chat/completions", None),
    ],
)
def test_azures_path_names_the_model(path: str, name: str | None) -> None:
    assert deployment(path) == name


@pytest.mark.parametrize(
    ("path", "version", "dialect"),
    [
        ("/v1/chat/completions/x", None, "chat"),
        ("/v1/responses/abc", None, "responses"),
        ("/v1/messages/batches", None, "messages"),
        ("/v1/models", None, "chat"),
        ("/v1/models", "2023-06-01", "messages"),
        ("/v1/embeddings", None, "chat"),
        ("/admin", None, "messages"),
        ("", None, "messages"),
    ],
)
def test_errors_are_told_in_the_dialect_of_the_path(
    path: str, version: str | None, dialect: str
) -> None:
    assert dialect_of(path, version) == dialect
