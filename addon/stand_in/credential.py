"""Who is calling: the credential of a request, and what it is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from addon.stand_in.record import Received

type Kind = Literal["oauth", "api_key", "none"]

OAUTH_TOKEN = "sk-ant-oat01-test"
API_KEY = "sk-ant-api03-test"
REFRESH_TOKEN = "sk-ant-ort01-test"


@dataclass(frozen=True, slots=True)
class Credential:
    kind: Kind
    secret: str
    by_header: bool
    """Sent as `x-api-key` rather than as a bearer."""


def credential_of(request: Received) -> Credential:
    key = request.header("x-api-key")
    scheme, _, bearer = (request.header("authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and bearer:
        return Credential("oauth" if is_oauth(bearer) else "api_key", bearer, by_header=False)
    if key:
        return Credential("api_key", key, by_header=True)
    return Credential("none", "", by_header=False)


def is_oauth(secret: str) -> bool:
    return secret.startswith("sk-ant-oat")


def kind_of(request: Received) -> Kind:
    return credential_of(request).kind
