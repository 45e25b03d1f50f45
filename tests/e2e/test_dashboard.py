"""The real proxy's dashboard in a real browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, expect

from addon.stand_in.script import Answer, fail, say
from tests.dashboard.visit import SIZES, Visit, live, sign_in, take_picture
from tests.e2e.accounts import settled
from tests.e2e.conftest import World
from tests.e2e.proxy import Proxy, chat, message

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SECRET = "tulips-and-roses"
PLAN_POLICY = "This credential is only authorized for use with Claude Code."
TUNNEL = {"cf-connecting-ip": "203.0.113.9", "cf-ray": "fake-FRA"}


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    return {"PROXY_SECRET_KEY": SECRET}


@pytest.fixture
def world(world: World) -> World:
    world.proxy.post("/analytics/reset")
    world.proxy.post("/budget", {"dailyLimit": None, "hourlyLimit": None, "enabled": False})
    return world


@asynccontextmanager
async def visiting(chromium: Browser, proxy: Proxy) -> AsyncIterator[Visit]:
    visit = Visit(chromium, proxy)
    yield visit
    await visit.leave()


def ask(world: World, *answers: Answer) -> None:
    world.fake.script([*answers])
    world.proxy.post("/v1/chat/completions", chat("Why is the sky blue?", stream=True))


def used_a_little(world: World) -> dict[str, Any]:
    """Some requests of several kinds, and what /analytics tells of them."""
    for number in range(3):
        ask(world, say(f"Because of light, number {number}."))
    ask(world, fail(400, PLAN_POLICY), say("Paid for."))
    ask(world, fail(400, "messages.0: wrong"))
    world.proxy.post("/v1/messages", message(model="claude-haiku-4-5"))
    return settled(world.proxy, 6)


async def shows(page: Page, told: Mapping[str, Any]) -> None:
    for name, figure in (("savings", "estimatedSavings"), ("spend", "estimatedApiKeyCost")):
        await expect(page.locator(f"#{name}")).to_have_attribute(
            "title", told[f"{figure}Formatted"]
        )
    await expect(page.locator("#requests-count")).to_have_text(str(told["totalRequests"]))


async def test_figures_are_those_of_analytics(chromium: Browser, world: World) -> None:
    told = used_a_little(world)
    async with visiting(chromium, world.proxy) as visit:
        page = await visit.open()
        await live(page)
        await shows(page, told)
        for period in ("hour", "all"):
            await page.get_by_role("radio", name=period.capitalize()).check(force=True)
            await shows(page, world.proxy.get(f"/analytics?period={period}").json())
        rows = page.locator("#requests tr")
        await expect(rows).to_have_count(6)
        await expect(rows.nth(2)).to_contain_text("plan_policy")
        await expect(page.locator("#errors")).to_contain_text("invalid_request_error")
        await expect(page.locator("#breakdown")).to_contain_text("claude-haiku-4-5")
        await expect(page.get_by_role("meter", name="5 hours")).to_be_visible()
        await expect(page.locator("#conversations li")).not_to_have_count(0)


async def test_a_request_appears_when_it_happens(chromium: Browser, world: World) -> None:
    async with visiting(chromium, world.proxy) as visit:
        page = await visit.open()
        await live(page)
        await expect(page.locator("#requests-empty")).to_be_visible()
        hostile = "<img src=x onerror=alert(1)>"
        world.proxy.post("/v1/messages", message(model=hostile))
        await expect(page.locator("#requests tr")).to_have_count(1)
        ask(world, say("Hello"))
        await expect(page.locator("#requests tr")).to_have_count(2)
        await shows(page, settled(world.proxy, 2))


async def test_the_budget_is_edited_and_bad_input_is_shown(chromium: Browser, world: World) -> None:
    async with visiting(chromium, world.proxy) as visit:
        page = await visit.open()
        await live(page)
        await page.get_by_label("Day limit").fill("2.5")
        await page.get_by_label("Stop paid calls").check()
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("#budget-status")).to_have_text("Saved")
        budget = world.proxy.get("/budget").json()
        assert (budget["dailyLimit"], budget["enabled"]) == (2.5, True)
        hour = page.get_by_label("Hour limit")
        await hour.fill("-5")
        await hour.press("Enter")
        await expect(page.locator("#hourlyLimit-error")).to_contain_text("must be a number")
        assert world.proxy.get("/budget").json() == budget
        visit.expected_errors = 1  # the console tells of the 400


async def test_an_open_page_rests_when_nothing_happens(chromium: Browser, world: World) -> None:
    used_a_little(world)
    async with visiting(chromium, world.proxy) as visit:
        page = await visit.open()
        await live(page)
        await asyncio.sleep(1)
        before = len(visit.requested)
        await asyncio.sleep(4)
        assert len(visit.requested) - before <= 1
        known = world.proxy.get("/analytics?period=all").json()
        assert sum(source["requests"] for source in known["bySource"].values()) == 6


async def test_through_a_tunnel_the_secret_is_asked_for_once(
    chromium: Browser, world: World
) -> None:
    told = used_a_little(world)
    async with visiting(chromium, world.proxy) as visit:
        page = await visit.open(extra_http_headers=TUNNEL)
        await sign_in(page, SECRET)
        await shows(page, told)
        [cookie] = await page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (True, "Strict", True)
        assert SECRET not in cookie["value"]
        assert await page.evaluate("document.cookie") == ""
        await page.reload()
        await live(page)
        await shows(page, told)
        visit.expected_errors = 2  # the console tells of both 401


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_it_fits_every_size_and_theme(
    chromium: Browser, world: World, size: str, theme: Literal["light", "dark"], pictures: Path
) -> None:
    told = used_a_little(world)
    width, height = SIZES[size]
    async with visiting(chromium, world.proxy) as visit:
        page = await visit.open(viewport={"width": width, "height": height}, color_scheme=theme)
        await live(page)
        await shows(page, told)
        await take_picture(page, pictures / f"proxy-{size}-{theme}.png", theme)


HOSTILE = "<img src=x onerror=alert(1)>"


def turns(world: World, key: str) -> None:
    """A conversation whose last turn misses the cache, because its tools changed; every word of it is hostile. `key`:
    of its own in each test, since the proxy remembers the conversations of the last one."""
    system = {"role": "system", "content": "Be brief. " * 4_000}
    said = [system, {"role": "user", "content": f"first words {HOSTILE}"}]
    headers = {"user-agent": f"Cursor/1.0 {HOSTILE}"}
    for number in range(3):
        world.fake.script([say(f"{HOSTILE} {number}")])
        tool = {
            "name": f"tool_{number // 2}",
            "description": HOSTILE,
            "parameters": {"type": "object"},
        }
        body = {
            **chat(prompt_cache_key=key),
            "messages": said,
            "tools": [{"type": "function", "function": tool}],
        }
        assert world.proxy.post("/v1/chat/completions", body, headers=headers).status_code == 200
        said += [
            {"role": "assistant", "content": f"{HOSTILE} {number}"},
            {"role": "user", "content": HOSTILE},
        ]


async def test_the_cause_and_the_price_of_a_cache_miss_are_three_clicks_away(
    chromium: Browser, world: World
) -> None:
    turns(world, "near")
    async with visiting(chromium, world.proxy) as visit:
        page = await visit.open()
        await live(page)
        conversation = page.locator("#conversations li").first
        await expect(conversation).to_contain_text(f"first words {HOSTILE}")
        await expect(conversation).to_contain_text("1 cache miss, $")
        await conversation.locator(".turn:has(.miss)").click()  # one
        dialog = page.locator("#details")
        await expect(dialog).to_contain_text("tools changed; a hit would have saved $")
        await dialog.get_by_role("tab", name="What changed").click()  # two
        await expect(dialog).to_contain_text("tools[tool_0] removed")
        await expect(dialog).to_contain_text("tools[tool_1] added")
        for name, words in (
            ("Anatomy", "as Anthropic counted them. Each part is an estimate."),
            ("Anatomy", "Never called in this conversation: tool_1."),
            ("Sent by the client", "prompt_cache_key"),
            ("Sent upstream", "/v1/messages"),
            ("Returned", HOSTILE),
        ):
            await dialog.get_by_role("tab", name=name).click()
            await expect(dialog).to_contain_text(words)
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await page.get_by_label("by").select_option("client")
        await expect(page.locator("#breakdown")).to_contain_text("cursor")
        await page.get_by_label("Search the newest requests").fill("tools changed")
        await expect(page.locator("#requests tr")).to_have_count(1)


async def test_through_a_tunnel_there_are_numbers_only(chromium: Browser, world: World) -> None:
    turns(world, "tunnel")
    async with visiting(chromium, world.proxy) as visit:
        page = await visit.open(extra_http_headers=TUNNEL)
        await sign_in(page, SECRET)
        visit.expected_errors = len(visit.console)
        await expect(page.locator("#conversations li").first).to_contain_text("cache miss")
        await page.locator(".turn:has(.miss)").first.click()
        dialog = page.locator("#details")
        await expect(dialog).to_contain_text("tools changed; a hit would have saved $")
        await expect(dialog).to_contain_text("only on the machine that ccproxy runs on")
        assert "first words" not in await page.content()
        visit.expected_errors = len(visit.console)  # the browser itself reports the 403
