"""The dashboard for everybody: by keyboard, by ear, on every screen, in light and dark."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser, expect

from tests.dashboard.scenes import busy_day
from tests.dashboard.visit import SIZES, live, take_picture, visiting

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_everything_can_be_reached_and_read_by_keyboard(chromium: Browser) -> None:
    server = busy_day()
    async with visiting(chromium, server) as visit:
        page = await visit.open()
        await live(page)
        reached: list[str] = []
        for _ in range(40):
            await page.keyboard.press("Tab")
            focused = await page.evaluate(
                "[document.activeElement.id, document.activeElement.getAttribute('aria-label'),"
                " document.activeElement.getAttribute('aria-labelledby'), document.activeElement.textContent,"
                " document.activeElement.value].filter((text) => typeof text == 'string' && text)[0] ?? ''"
            )
            reached.append(focused[:40])
        for wanted in (
            "Skip to the figures",
            "day",
            "Spend and savings over time",
            "Tokens over time",
            "budget-enabled",
            "hourlyLimit",
            "monthlyLimit",
            "Save",
            "source-filter",
            "requests-title",
            "metrics",
        ):
            assert wanted in reached
        chart = page.get_by_role("slider", name="Spend and savings over time")
        await chart.focus()
        await page.keyboard.press("Home")
        await expect(chart).to_have_attribute("aria-valuenow", "1")
        await page.keyboard.press("ArrowRight")
        await expect(chart).to_have_attribute("aria-valuenow", "2")
        await expect(chart).to_have_attribute(
            "aria-valuetext", re.compile(r"^\d\d:\d\d: Saved .*, Spent ")
        )
        await page.locator("input[value=day]").focus()
        await page.keyboard.press("ArrowRight")
        await expect(page.locator("input[value=week]")).to_be_checked()
        await expect(page).to_have_url(re.compile("#week$"))


async def test_every_control_has_a_name_and_every_id_is_used_once(chromium: Browser) -> None:
    server = busy_day()
    async with visiting(chromium, server) as visit:
        page = await visit.open()
        await live(page)
        tree = await page.locator("body").aria_snapshot()
        unnamed = [
            line
            for line in tree.splitlines()
            if re.fullmatch(
                r"\s*- (textbox|button|slider|meter|checkbox|radio|combobox|link|region|img)(:.*)?",
                line,
            )
        ]
        assert unnamed == []
        ids = await page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
        assert sorted(ids) == sorted(set(ids))
        assert (
            await page.evaluate(
                "document.querySelectorAll('[style], style, script:not([src])').length"
            )
            == 0
        )


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_it_fits_every_size_and_theme(
    chromium: Browser, size: str, theme: Literal["light", "dark"], pictures: Path
) -> None:
    server = busy_day()
    width, height = SIZES[size]
    async with visiting(chromium, server) as visit:
        page = await visit.open(viewport={"width": width, "height": height}, color_scheme=theme)
        await live(page)
        await expect(page.locator("#main")).to_have_attribute("aria-busy", "false")
        await take_picture(page, pictures / f"dashboard-{size}-{theme}.png", theme)
