"""What /health says. It asks nobody and triggers nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from addon.credentials.login import CredentialStatus
from addon.settings import Settings
from addon.standing import Standing
from addon.wire.types import JsonObject

type LoginStatus = Callable[[], CredentialStatus]


class Health:
    def __init__(
        self,
        settings: Settings,
        login: LoginStatus,
        standing: Standing,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.login = login
        self.standing = standing
        self.clock = clock

    def __call__(self, detailed: bool) -> JsonObject:
        """`detailed`: for this machine; a tunnel's client learns only that the proxy runs."""
        if not detailed:
            return {"status": "ok"}
        now, login = self.clock(), self.login()
        known = login.source is not None
        expires = None if login.expires_at is None else round(login.expires_at * 1000)
        return {
            "status": "degraded" if login.degraded else "ok",
            "claudeCode": {
                "enabled": self.settings.claude_code_first,
                "authenticated": known and (login.expires_at is None or login.expires_at > now),
                "source": login.source,
                "expiresAt": expires,
                "nextRefreshAt": None
                if login.next_refresh is None
                else round(login.next_refresh * 1000),
                "lastError": login.last_error,
            },
            "subscription": self.standing.windows.public() if self.standing.windows else None,
            "cooldowns": self.standing.cooldowns.snapshot(now),
            "fallback": self.settings.api_key is not None and self.settings.fallback == "auto",
            "openaiPassthrough": {
                "enabled": self.settings.openai_api_key is not None,
                "baseUrl": self.settings.openai_base_url,
            },
        }
