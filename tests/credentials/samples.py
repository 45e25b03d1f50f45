"""A Claude login as Claude Code stores it, with neighbours and fields we know nothing of."""

from __future__ import annotations

import json
from pathlib import Path

from addon.core.types import JsonObject

NOW = 1_795_305_600.0
HOUR = 3600.0


def document(
    access: str = "access-1", refresh: str | None = "refresh-1", expires_at: float = NOW + HOUR
) -> JsonObject:
    login: JsonObject = {
        "accessToken": access,
        "refreshToken": refresh,
        "expiresAt": int(expires_at * 1000),
        "refreshTokenExpiresAt": int((NOW + 30 * 86400) * 1000),
        "scopes": ["user:inference", "user:profile"],
        "subscriptionType": "max",
        "rateLimitTier": "default_claude_max_20x",
        "somethingNew": {"kept": [1, 2.5, None, "ü"]},
    }
    return {"mcpOAuth": {"server": {"accessToken": "other"}}, "claudeAiOauth": login, "last": True}


def write(path: Path, content: JsonObject) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1))
    path.chmod(0o600)


def read(path: Path) -> JsonObject:
    content = json.loads(path.read_bytes())
    assert isinstance(content, dict)
    return content
