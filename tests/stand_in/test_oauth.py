"""The token endpoint: rotation, families, revocation."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from addon.stand_in.access import OAUTH_TOKEN, REFRESH_TOKEN
from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.oauth import CLIENT_ID
from addon.stand_in.record import JsonObject
from addon.stand_in.script import delivered, fail
from tests.clock import Clock
from tests.stand_in.client import BY_TOKEN, LINE, asking, post, refusal

PATH = "/v1/oauth/token"


def grant(token: str = REFRESH_TOKEN, **fields: str) -> dict[str, str]:
    made = {"grant_type": "refresh_token", "refresh_token": token, "client_id": CLIENT_ID}
    return made | fields


def refreshed(fake: FakeAnthropic, token: str = REFRESH_TOKEN) -> JsonObject:
    response = post(fake, grant(token), path=PATH)
    assert response.status_code == 200, response.text
    return response.json()  # type: ignore[no-any-return]


def works(fake: FakeAnthropic, token: str) -> bool:
    headers = BY_TOKEN | {"authorization": f"Bearer {token}"}
    return post(fake, asking("hi", system=LINE), headers).status_code == 200


@pytest.mark.parametrize("how", ["json", "data"])
def test_json_and_form_bodies_are_taken(fake: FakeAnthropic, how: str) -> None:
    body: dict[str, Any] = {how: grant(scope="user:inference")}
    answer = httpx.post(fake.url + PATH, **body).json()
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 28_800
    assert answer["scope"] == "user:inference"
    assert works(fake, answer["access_token"])


def test_each_refresh_gives_the_next_token_of_the_chain(fake: FakeAnthropic) -> None:
    first = refreshed(fake)
    second = refreshed(fake, first["refresh_token"])
    assert len({REFRESH_TOKEN, first["refresh_token"], second["refresh_token"]}) == 3
    assert fake.oauth.rotations == 2
    assert works(fake, OAUTH_TOKEN), "older access tokens live until their own end"


def test_a_reused_refresh_token_revokes_the_family(fake: FakeAnthropic) -> None:
    first = refreshed(fake)
    again = post(fake, grant(), path=PATH)
    assert again.status_code == 400
    assert again.json() == {
        "error": "invalid_grant",
        "error_description": "Refresh token not found or invalid",
    }
    assert not works(fake, first["access_token"])
    assert post(fake, grant(first["refresh_token"]), path=PATH).status_code == 400
    assert fake.oauth.revocations == 1


def test_families_are_apart(fake: FakeAnthropic) -> None:
    fake.oauth.login("sk-ant-oat01-other", "sk-ant-ort01-other")
    refreshed(fake)
    post(fake, grant(), path=PATH)
    assert works(fake, "sk-ant-oat01-other")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (grant("sk-ant-ort01-unknown"), "invalid_grant"),
        (grant(client_id="someone"), "invalid_client"),
        (grant(grant_type="password"), "unsupported_grant_type"),
        ([], "invalid_request"),
    ],
)
def test_refusals_have_oauths_shape(fake: FakeAnthropic, body: Any, error: str) -> None:
    response = post(fake, body, path=PATH)
    assert (response.status_code, response.json()["error"]) == (400, error)


def test_fields_can_be_missing(fake: FakeAnthropic) -> None:
    fake.oauth.omit = {"refresh_token", "expires_in"}
    answer = refreshed(fake)
    assert {"refresh_token", "expires_in"}.isdisjoint(answer)
    # Without a new one the old refresh token stays good.
    refreshed(fake)


def test_access_tokens_end_by_the_clock_or_on_demand(fake: FakeAnthropic, clock: Clock) -> None:
    token = refreshed(fake)["access_token"]
    clock.now += 28_801
    assert not works(fake, token)
    fake.oauth.expire(OAUTH_TOKEN)
    headers = BY_TOKEN
    said = refusal(post(fake, asking("hi", system=LINE), headers))
    assert said == "401 authentication_error: Invalid bearer token"


def test_a_scripted_429_spends_nothing(fake: FakeAnthropic) -> None:
    fake.script([fail(429, headers={"retry-after": "7"})], when=PATH)
    limited = post(fake, grant(), path=PATH)
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
    refreshed(fake)


def test_a_connection_that_closes_after_the_body_has_spent_the_token(fake: FakeAnthropic) -> None:
    fake.script([delivered(cut="fin")], when=PATH)
    with pytest.raises(httpx.RemoteProtocolError):
        post(fake, grant(), path=PATH)
    assert fake.oauth.rotations == 1
    assert post(fake, grant(), path=PATH).json()["error"] == "invalid_grant"
    assert len([request for request in fake.requests if request.path == PATH]) == 2
