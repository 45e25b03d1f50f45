"""A machine with a Claude login, a clock that can be turned, and a token endpoint that answers as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from addon.core.clock import Clock
from addon.core.own_http import own_http
from addon.core.types import JsonObject
from addon.credentials.credential import CredentialError
from addon.credentials.login import Login
from addon.credentials.open import LoginLocations, open_login
from tests.credentials.samples import NOW, document, read, write

type Answer = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


class FakeClock:
    """Sleeping takes no time but moves the clock; `at` plans what happens meanwhile."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.skew = 0.0
        self.still = False
        """Sleeping waits a real moment instead: for two that work at the same time."""
        self._plans: list[tuple[float, Callable[[], None]]] = []
        self.clock = Clock(
            wall=lambda: NOW + self.passed + self.skew,
            monotonic=lambda: self.passed,
            sleep=self._sleep,
            pause=self.advance,
            random=lambda: 0.5,
        )

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        self._plans.append((seconds, action))

    def advance(self, seconds: float) -> None:
        self.passed += seconds
        due = [plan for plan in self._plans if plan[0] <= self.passed]
        self._plans = [plan for plan in self._plans if plan not in due]
        for _, action in due:
            action()

    async def _sleep(self, seconds: float) -> None:
        if self.still:
            await asyncio.sleep(0.01)
        else:
            self.advance(seconds)
            await asyncio.sleep(0)


class TokenServer:
    """Answers with `answers` in turn, then with a new pair of tokens each time."""

    def __init__(self) -> None:
        self.posts: list[JsonObject] = []
        self.answers: list[Answer] = []
        self.http = own_http(transport=httpx.MockTransport(self._handle))

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        self.posts.append(json.loads(request.content))
        answer = self.answers.pop(0)(request) if self.answers else self.grant()
        return answer if isinstance(answer, httpx.Response) else await answer

    def grant(self, **changes: object) -> httpx.Response:
        number = len(self.posts) + 1
        tokens: JsonObject = {
            "token_type": "Bearer",
            "access_token": f"access-{number}",
            "refresh_token": f"refresh-{number}",
            "expires_in": 28800,
        }
        tokens.update(changes)
        return httpx.Response(200, json={k: v for k, v in tokens.items() if v is not None})


def says(status: int, content: object = None, headers: dict[str, str] | None = None) -> Answer:
    return lambda _: httpx.Response(status, json=content, headers=headers)


def breaks(error: type[httpx.TransportError]) -> Answer:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error("broken")

    return answer


class World:
    def __init__(
        self, tmp_path: Path, *, platform: str = "linux", security: Path = Path("/no/security")
    ) -> None:
        self.platform = platform
        self.security = security
        self.time = FakeClock()
        self.server = TokenServer()
        self.folder = tmp_path / "claude"
        self.home = tmp_path / "ccproxy"
        self.file = self.folder / ".credentials.json"
        self.unsaved = self.folder / ".credentials.json.ccproxy-unsaved"
        self.lock = self.folder / ".oauth_refresh.lock"
        self.login = self.new_login()

    def new_login(self) -> Login:
        locations = LoginLocations(
            home=self.home,
            user_home=self.home,
            platform=self.platform,
            security=self.security,
            account="me",
            credentials_dir=self.folder,
        )
        return open_login(
            locations,
            token_url="https://token.example/v1/oauth/token",
            http=self.server.http,
            clock=self.time.clock,
        )

    def log_in(self, seconds: float = -1.0, name: str = "1") -> None:
        """`claude /login`, with a token that ends in `seconds`."""
        ends = self.time.clock.wall() + seconds
        write(self.file, document(f"access-{name}", f"refresh-{name}", ends))

    def stored(self) -> JsonObject:
        entry = read(self.file)["claudeAiOauth"]
        assert isinstance(entry, dict)
        return entry

    def locks_left(self) -> list[str]:
        beside = [path.name for path in self.folder.parent.glob("*.lock")]
        return beside + [path.name for path in self.folder.glob("*lock*")]


async def error_of(world: World, force_refresh_of: str | None = None) -> CredentialError:
    with pytest.raises(CredentialError) as caught:
        await world.login.access_token(force_refresh_of)
    return caught.value
