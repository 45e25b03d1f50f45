"""When Anthropic is asked for its models, and what becomes of the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from addon.addons.model_list import ASK_AGAIN_SECONDS, ModelList, UpstreamModels
from addon.core.own_http import own_http
from addon.core.settings import Settings
from addon.credentials.credential import CredentialError
from addon.usage.budget import Budget, PaidCalls
from addon.usage.ledger import UsageLedger
from tests.claude.support import CATALOGUE
from tests.clock import Clock

NEW = "claude-opus-9"
LISTED = {"id": NEW, "max_input_tokens": 300_000, "max_tokens": 32_000}


class Upstream:
    """Counts how often it is asked."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = {"data": [LISTED]} if answer is None else answer
        self.asked = 0

    async def __call__(self) -> Any:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_an_unknown_model_is_looked_up_once() -> None:
    upstream = Upstream()
    models = ModelList(CATALOGUE, upstream, Clock())
    assert models.catalogue.get(NEW).max_output == 128_000, "the guess"
    await asyncio.gather(*(models.look_up(NEW) for _ in range(5)))
    model = models.catalogue.get(NEW)
    assert (model.context, model.max_output) == (300_000, 32_000)
    assert NEW in models.catalogue.ids
    assert upstream.asked == 1


@pytest.mark.parametrize(
    "known", ["claude-opus-4-8", "claude-opus-4-5-20251101", "claude-3-5-sonnet-20241022"]
)
async def test_a_known_a_dated_or_a_retired_model_costs_no_question(known: str) -> None:
    upstream = Upstream()
    await ModelList(CATALOGUE, upstream).look_up(known)
    assert upstream.asked == 0


async def test_a_name_that_is_nowhere_is_asked_for_once_an_hour() -> None:
    upstream, clock = Upstream(), Clock()
    models = ModelList(CATALOGUE, upstream, clock)
    for _ in range(3):
        await models.look_up("claude-nowhere-1")
    assert upstream.asked == 1
    clock.now += ASK_AGAIN_SECONDS
    await models.look_up("claude-nowhere-1")
    assert upstream.asked == 2


@pytest.mark.parametrize(
    "answer",
    [
        LookupError("x"),
        {},
        {"data": "x"},
        {"data": [None, {}, {"id": 5}]},
        {"data": [{"id": NEW, "capabilities": [], "max_tokens": "many", "max_input_tokens": -1}]},
    ],
    ids=["none", "empty", "no-list", "no-models", "nonsense"],
)
async def test_without_a_usable_answer_the_newest_of_the_family_counts(answer: Any) -> None:
    models = ModelList(CATALOGUE, Upstream(answer), Clock())
    await models.look_up(NEW)
    model, newest = models.catalogue.get(NEW), CATALOGUE.get("claude-opus-5-5")
    assert (model.context, model.max_output) == (newest.context, newest.max_output)
    assert model.thinking == "adaptive"


# ---------------------------------------------------------------------------------------------- the question itself


class Login:
    def __init__(self, token: str | None) -> None:
        self.token = token

    async def access_token(self) -> str:
        if self.token is None:
            raise CredentialError("missing", "There is no login.")
        return self.token


def asking(
    answer: Callable[[httpx.Request], httpx.Response], token: str | None, **given: Any
) -> UpstreamModels:
    settings = Settings(**{"api_key": "sk-ant-api03-x", **given})
    http = own_http(transport=httpx.MockTransport(answer))
    paid = PaidCalls(settings, Budget(UsageLedger(time.time)), CATALOGUE.get)
    return UpstreamModels(settings, Login(token), http, paid)


@pytest.mark.parametrize(
    ("token", "given", "header", "value"),
    [
        ("tok", {}, "authorization", "Bearer tok"),
        (None, {}, "x-api-key", "sk-ant-api03-x"),
        ("tok", {"claude_code_first": False}, "x-api-key", "sk-ant-api03-x"),
    ],
    ids=["subscription", "no-login", "api-key-only"],
)
async def test_who_asks(token: str | None, given: dict[str, Any], header: str, value: str) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"data": [LISTED]})

    assert await asking(answer, token, **given)() == {"data": [LISTED]}
    assert seen[0].url.path == "/v1/models"
    assert seen[0].headers[header] == value
    assert {"authorization", "x-api-key"} & set(seen[0].headers) == {header}


async def test_the_key_is_not_used_where_the_settings_forbid_it() -> None:
    asked = asking(lambda _: httpx.Response(200, json={"data": []}), None, fallback="off")
    with pytest.raises(LookupError, match="fallback_off"):
        await asked()


def refused(request: httpx.Request) -> httpx.Response:
    return httpx.Response(403, json={"type": "error"})


def no_json(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text="<html>")


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no route")


@pytest.mark.parametrize("answer", [refused, no_json, unreachable])
async def test_no_answer_is_a_lookup_error(
    answer: Callable[[httpx.Request], httpx.Response],
) -> None:
    with pytest.raises(LookupError):
        await asking(answer, "tok")()


async def test_without_a_credential_nobody_is_asked() -> None:
    with pytest.raises(LookupError, match="no_api_key"):
        await asking(refused, None, api_key=None)()


async def test_the_day_decides_what_is_served() -> None:
    days = iter(["2026-11-29", "2026-11-29", "2026-11-30", "2026-11-30", "2026-11-30"])
    models = ModelList(CATALOGUE, Upstream(), today=lambda: next(days))
    assert models.catalogue.resolve("claude-sonnet-4-5") == "claude-sonnet-4-5"
    assert "claude-sonnet-4-5" in models.catalogue.ids
    assert models.catalogue.resolve("claude-sonnet-4-5") == "claude-sonnet-5-5"
    assert "claude-sonnet-4-5" not in models.catalogue.ids
