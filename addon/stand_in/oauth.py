"""The OAuth token endpoint: single-use refresh tokens, each the head of a family that is revoked when one is reused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from addon.stand_in.access import OAUTH_TOKEN, REFRESH_TOKEN, Access
from addon.stand_in.record import JsonObject, Received
from addon.stand_in.refusal import Refusal

CLIENT_ID = "9d1c250a-e61b-44d9-88ed-5944d1962f5e"


@dataclass(slots=True)
class Family:
    """The tokens of one login."""

    current: str
    access: set[str]
    revoked: bool = False


@dataclass(slots=True)
class OAuth:
    """`omit` names fields to leave out of answers; without a new refresh token the old one stays good."""

    access: Access
    clock: Callable[[], float]
    expires_in: int = 28_800
    omit: set[str] = field(default_factory=set)
    rotations: int = 0
    """How many refreshes succeeded."""
    revocations: int = 0
    _families: dict[str, Family] = field(default_factory=dict)
    _expiry: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.login(OAUTH_TOKEN, REFRESH_TOKEN)

    def login(self, access_token: str, refresh_token: str) -> None:
        """Start a family: both tokens are good from now on."""
        self._families[refresh_token] = Family(refresh_token, {access_token})
        self.access.oauth_tokens.add(access_token)

    def expire(self, access_token: str) -> None:
        """The access token gets a 401 from now on; its family lives."""
        self.access.oauth_tokens.discard(access_token)

    def expire_old(self) -> None:
        """Drop the access tokens whose time is over."""
        now = self.clock()
        for token in [token for token, until in self._expiry.items() if until <= now]:
            self.expire(token)
            del self._expiry[token]

    def refresh(self, request: Received) -> JsonObject:
        """Answer one POST; a refusal is OAuth-shaped, see `OAuthRefusal`."""
        given = fields(request)
        if given.get("grant_type") != "refresh_token":
            raise OAuthRefusal(400, "unsupported_grant_type", "Only refresh_token is supported")
        if given.get("client_id") != CLIENT_ID:
            raise OAuthRefusal(400, "invalid_client", "Client not found")
        old = given.get("refresh_token", "")
        family = self._families.get(old)
        if family is None or family.revoked or family.current != old:
            self._revoke(family)
            raise OAuthRefusal(400, "invalid_grant", "Refresh token not found or invalid")
        return self._rotate(family, given.get("scope"))

    def _revoke(self, family: Family | None) -> None:
        if family is not None and not family.revoked:
            # A second use of a spent token means that it was stolen: the whole login ends.
            family.revoked = True
            self.revocations += 1
            self.access.oauth_tokens -= family.access

    def _rotate(self, family: Family, scope: str | None) -> JsonObject:
        self.rotations += 1
        token = f"sk-ant-oat01-rotated-{self.rotations:06d}"
        family.access.add(token)
        self.access.oauth_tokens.add(token)
        self._expiry[token] = self.clock() + self.expires_in
        if "refresh_token" not in self.omit:
            family.current = f"sk-ant-ort01-rotated-{self.rotations:06d}"
            self._families[family.current] = family
        answer: JsonObject = {
            "token_type": "Bearer",
            "access_token": token,
            "expires_in": self.expires_in,
            "refresh_token": family.current,
            "scope": scope or "user:inference user:profile",
            "account": {
                "uuid": "00000000-0000-4000-8000-000000000001",
                "email_address": "a@example.com",
            },
            "organization": {"uuid": "00000000-0000-4000-8000-000000000002", "name": "Test"},
        }
        return {key: value for key, value in answer.items() if key not in self.omit}


class OAuthRefusal(Refusal):
    """An error in OAuth's shape: `{"error": ..., "error_description": ...}`."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(status, description, type=error)

    def json(self) -> JsonObject:
        return {"error": self.type, "error_description": self.message}


def fields(request: Received) -> dict[str, str]:
    """The fields of a JSON or form body."""
    kind = request.header("content-type") or ""
    if "form" in kind:
        return dict(parse_qsl(request.body.decode()))
    try:
        given = json.loads(request.body)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise OAuthRefusal(400, "invalid_request", "Invalid request format")
    return {key: str(value) for key, value in given.items() if value is not None}
