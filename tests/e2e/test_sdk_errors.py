"""Anthropic's errors become the SDKs' own exceptions. By key alone: a refused login would be remembered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anthropic
import openai
import pytest

from addon.stand_in.script import broken, fail, say
from tests.core.test_retry_after import HOSTILE
from tests.e2e.conftest import World
from tests.e2e.proxy import chat, message

STATUSES = [400, 401, 403, 404, 413, 429, 500, 529]
OPENAI: Mapping[int, tuple[type[openai.APIStatusError], int]] = {
    400: (openai.BadRequestError, 400),
    401: (openai.AuthenticationError, 401),
    403: (openai.PermissionDeniedError, 403),
    404: (openai.NotFoundError, 404),
    413: (openai.APIStatusError, 413),
    429: (openai.RateLimitError, 429),
    500: (openai.InternalServerError, 500),
    529: (openai.InternalServerError, 503),
}
ANTHROPIC: Mapping[int, type[anthropic.APIStatusError]] = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    413: anthropic.RequestTooLargeError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    529: anthropic.OverloadedError,
}
FAR = "Fri, 31 Dec 99999999999 23:59:59 GMT"
AT_ONCE = {"x-should-retry": "false", "retry-after": "60"}
"""Spares the proxy's own retries; a 429 with so long a rest is not waited out."""
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    return {"CLAUDE_CODE_FIRST": "false"}


@STREAMED
@pytest.mark.parametrize("status", STATUSES)
def test_openai(status: int, streamed: bool, world: World) -> None:
    world.fake.script(fail(status, "In plain words", headers=AT_ONCE))
    kind, told = OPENAI[status]
    with pytest.raises(kind, match="In plain words") as caught:
        for _ in world.proxy.openai().chat.completions.create(**chat(), stream=streamed):
            pass
    assert caught.value.status_code == told


@STREAMED
@pytest.mark.parametrize("status", STATUSES)
def test_anthropic(status: int, streamed: bool, world: World) -> None:
    world.fake.script(fail(status, "In plain words", headers=AT_ONCE))
    with pytest.raises(ANTHROPIC[status], match="In plain words") as caught:
        world.proxy.anthropic().messages.create(**message(), stream=streamed)
    assert caught.value.status_code == status


@STREAMED
def test_an_error_event_before_content_is_a_status(streamed: bool, world: World) -> None:
    world.fake.script(broken("invalid_request_error", "In plain words"))
    with pytest.raises(anthropic.BadRequestError, match="In plain words"):
        world.proxy.anthropic().messages.create(**message(), stream=streamed)


def test_an_error_event_after_content_of_a_plain_request_is_a_status(world: World) -> None:
    world.fake.script(broken("api_error", "In plain words", after=2))
    with pytest.raises(openai.InternalServerError, match="In plain words"):
        world.proxy.openai().chat.completions.create(**chat())


@pytest.mark.parametrize("name", ["retry-after", "retry-after-ms"])
def test_a_hostile_wait_changes_no_error(name: str, world: World) -> None:
    for value in HOSTILE:
        headers = {name: value}
        world.fake.script([fail(400, "In plain words", headers=headers)])
        response = world.proxy.post("/v1/chat/completions", chat())
        assert (response.status_code, response.headers.get("connection")) == (400, None), value
        assert response.json()["error"]["message"] == "In plain words"
        assert response.headers.get("retry-after") in (None, "1")


@pytest.mark.parametrize("status", [429, 529])
@pytest.mark.parametrize("value", ["nan", "inf", FAR])
def test_a_hostile_wait_is_no_reason_not_to_try_again(
    status: int, value: str, world: World
) -> None:
    world.fake.script([fail(status, headers={"retry-after": value}), say("fine")])
    response = world.proxy.post("/v1/chat/completions", chat())
    assert response.json()["choices"][0]["message"]["content"] == "fine"
