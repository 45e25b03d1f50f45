"""Sends a refresh to Claude's token endpoint and reads the response."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from addon.core.clock import SYSTEM, Clock
from addon.core.json_codec import JsonError, loads
from addon.core.own_http import HttpError, OwnHttp, OwnResponse, timeouts
from addon.core.retry_after import read_retry_after
from addon.core.types import JsonObject
from addon.credentials.credential import LOGIN_AGAIN, Credential, CredentialError, Grant, word

CLIENT_ID = "9d1c250a-e61b-44d9-88ed-5944d1962f5e"
"""Claude Code's OAuth client: its refresh tokens are bound to it."""

TOTAL_SECONDS = 30.0
"""For the request and its retries: the locks must be released before they are 60 seconds old."""
_RETRIES, _BACKOFF = 2, 0.5
_MAX_BODY = 65_536
_DEFAULT_LIFETIME, _MAX_LIFETIME = 3600.0, 366 * 86400.0
_COOLDOWN_MIN, _COOLDOWN_MAX, _COOLDOWN_DEFAULT = 5.0, 300.0, 60.0
_REFUSALS = frozenset({400, 401, 403, 404})


@dataclass(eq=False, repr=False)
class TokenEndpoint:
    url: str
    http: OwnHttp
    clock: Clock = SYSTEM

    async def refresh(self, credential: Credential) -> Grant:
        """Exchange the refresh token for new tokens.

        Raises CredentialError: `invalid_grant` (never use this refresh token again), `rate_limited` (with
        `retry_after`), `network` (the token was not used), `unknown_outcome` (it may have been used).
        """
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                response = await self._post_with_retries(_request(credential))
        except HttpError as error:
            raise _unknown(f"was cut off ({error})") from None
        except TimeoutError:
            raise _unknown("was cut off (TimeoutError)") from None
        return self._understood(response)

    async def _post_with_retries(self, body: JsonObject) -> OwnResponse:
        for attempt in range(_RETRIES):
            try:
                response = await self._post(body)
                if response.status < 500:
                    return response
            except HttpError as error:
                if error.sent:
                    raise
            await self.clock.sleep(_BACKOFF * 2**attempt * (1 - self.clock.random() / 4))
        try:
            return await self._post(body)
        except HttpError as error:
            if error.sent:
                raise
            raise _unreachable(str(error)) from None

    async def _post(self, body: JsonObject) -> OwnResponse:
        return await self.http.request(
            "POST", self.url, json=body, timeout=timeouts(TOTAL_SECONDS), most=_MAX_BODY
        )

    def _understood(self, response: OwnResponse) -> Grant:
        if response.status == 200:
            return _grant(response.body)
        if response.status == 429:
            asked = read_retry_after(response.headers, self.clock.wall())
            wait = _COOLDOWN_DEFAULT if asked is None else asked
            raise CredentialError(
                "rate_limited",
                "Claude's token endpoint asks to refresh less often. Wait a few minutes.",
                retry_after=min(max(wait, _COOLDOWN_MIN), _COOLDOWN_MAX),
            )
        if response.status in _REFUSALS:
            what = f"{response.status} {_error_code(response.body)}".strip()
            raise CredentialError(
                "invalid_grant",
                f"Claude's token endpoint does not accept this login any more ({what}). {LOGIN_AGAIN}",
            )
        raise _unreachable(str(response.status))


def _request(credential: Credential) -> JsonObject:
    body: JsonObject = {
        "grant_type": "refresh_token",
        "refresh_token": credential.refresh_token,
        "client_id": credential.client_id or CLIENT_ID,
    }
    # A request for other scopes than were granted returns invalid_grant (opencode-anthropic-auth#169).
    if credential.scopes:
        body["scope"] = " ".join(credential.scopes)
    return body


def _grant(body: bytes) -> Grant:
    response = _json_object(body)
    access_token, refresh_token = word(response.get("access_token")), response.get("refresh_token")
    given = isinstance(refresh_token, str) and refresh_token
    if access_token is None or (given and word(refresh_token) is None):
        raise _unknown("was not understood")
    return Grant(
        access_token=access_token,
        refresh_token=word(refresh_token),
        expires_in=_lifetime(response.get("expires_in")),
    )


def _lifetime(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _DEFAULT_LIFETIME
    return float(value) if 0 < value < _MAX_LIFETIME else _DEFAULT_LIFETIME


def _error_code(body: bytes) -> str:
    """The error code, such as `invalid_grant`; "" for anything else, which may quote what we sent."""
    code = _json_object(body).get("error")
    return code if isinstance(code, str) and re.fullmatch("[a-z_]{1,40}", code) else ""


def _json_object(body: bytes) -> JsonObject:
    try:
        value = loads(body)
    except JsonError:
        return {}
    return value if isinstance(value, dict) else {}


def _unreachable(why: str) -> CredentialError:
    return CredentialError(
        "network", f"Claude's token endpoint could not be reached ({why}). Try again in a moment."
    )


def _unknown(what: str) -> CredentialError:
    return CredentialError(
        "unknown_outcome",
        f"The response of Claude's token endpoint {what}, so the login may or may not have been renewed. "
        f"ccproxy tries again in a minute. If that fails: {LOGIN_AGAIN}",
    )
