"""Visits of a real browser to a stand-in."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from playwright.async_api import Browser, Page, expect

from tests.dashboard.stand_in import StandIn

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


class Server(Protocol):
    """The stand-in, or the real proxy."""

    @property
    def url(self) -> str: ...


class Visit:
    """Pages of one server; on the way out it checks what no page may ever do."""

    def __init__(self, chromium: Browser, server: Server) -> None:
        self._chromium = chromium
        self._server = server
        self.requested: list[str] = []
        """The URLs of everything that the pages asked for."""
        self.console: list[str] = []
        self.expected_errors = 0

    async def open(self, fragment: str = "", **context: Any) -> Page:
        page = await (await self._chromium.new_context(**context)).new_page()
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.on("request", lambda request: self.requested.append(request.url))
        await page.goto(f"{self._server.url}/dashboard{fragment}")
        return page

    def _heard(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.console.append(text)

    async def leave(self) -> None:
        for context in self._chromium.contexts:
            await context.close()
        elsewhere = {url for url in self.requested if not url.startswith(f"{self._server.url}/")}
        assert elsewhere == set()
        assert len(self.console) == self.expected_errors, self.console


@asynccontextmanager
async def visiting(chromium: Browser, server: StandIn) -> AsyncIterator[Visit]:
    async with server.running():
        visit = Visit(chromium, server)
        yield visit
        await visit.leave()


async def live(page: Page) -> None:
    await expect(page.locator("#live")).to_have_text("Live")


async def sign_in(page: Page, secret: str) -> None:
    """At the second try; the first one is told where the secret is."""
    field = page.get_by_label("Secret")
    await expect(field).to_be_focused()
    await field.fill("a guess")
    await field.press("Enter")
    await expect(page.locator("#login-error")).to_contain_text("not the secret")
    await expect(page.locator("#login-error")).to_contain_text("~/.ccproxy/secret")
    await expect(page.locator("#figures")).to_be_hidden()
    await field.fill(secret)
    await field.press("Enter")
    await live(page)


async def take_picture(page: Page, picture: Path, theme: str) -> None:
    """Of the whole page; it must fit the screen's width, and be in its theme."""
    assert page.viewport_size
    assert (
        await page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    )
    taken = await page.screenshot(path=picture, full_page=True, animations="disabled")
    assert len(taken) > 20_000
    paper = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", paper)[:3]))
    assert (brightness > 600) == (theme == "light")
