"""The dashboard in a real browser: what it shows, what it says, and what it must never do."""

from __future__ import annotations

import re
import time

import pytest
from playwright.async_api import Browser, expect

from addon.api.analytics import analytics
from addon.api.dashboard_data import conversations_json
from addon.claude.pricing import Tokens
from addon.usage.budget import BudgetSettings
from addon.usage.conversations import RecentConversation
from addon.usage.ledger import PERIODS, UsageLedger
from addon.usage.record import picodollars
from addon.usage.subscription import SubscriptionWindow
from tests.dashboard.scenes import busy_day
from tests.dashboard.stand_in import StandIn
from tests.dashboard.visit import live, sign_in, visiting
from tests.usage.records import record

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_figures_are_those_of_the_api(chromium: Browser) -> None:
    server = busy_day()
    now = time.time()
    for each in PERIODS.values():  # before and after each one's start, in one bucket
        for late in (-300, 300, 30, 3_000):
            spent = now - (each.seconds or 0) + late
            server.ledger.add(record(dollars=1.11, time=min(spent, now)))
            server.ledger.add(record("claude_code", dollars=7.07, time=min(spent, now)))
    async with visiting(chromium, server) as visit:
        page = await visit.open()
        await live(page)
        for period in ("day", "hour", "week", "month", "all"):
            await page.get_by_role("radio", name=period.capitalize()).check(force=True)
            await expect(page.locator("#main")).to_have_attribute("aria-busy", "false")
            told = analytics(server.ledger, period)
            titles = ("estimatedSavingsFormatted", "estimatedApiKeyCostFormatted")
            await expect(page.locator("#savings")).to_have_attribute("title", told[titles[0]])
            await expect(page.locator("#spend")).to_have_attribute("title", told[titles[1]])
            await expect(page.locator("#requests-count")).to_have_text(f"{told['totalRequests']:,}")
            await expect(page.locator("#cache")).to_have_text(f"{told['cacheHitRate'] * 100:.0f}%")
            legend = page.locator("#money-chart .legend")
            for tile in ("#savings", "#spend"):
                await expect(legend).to_contain_text(await page.locator(tile).inner_text())
            assert page.url.endswith(f"#{period}") or period == "day"
        savings = analytics(server.ledger, "all")["estimatedSavings"]
        await expect(page.locator("#savings")).to_have_text(f"${savings:.2f}")
        await expect(page.locator("#note")).to_contain_text("Costs are estimates.")


async def test_every_part_shows_what_it_is_about(chromium: Browser) -> None:
    server = busy_day()
    async with visiting(chromium, server) as visit:
        page = await visit.open()
        await live(page)
        rows = page.locator("#requests tr")
        await expect(rows).to_have_count(50)
        newest = server.ledger.recent(1)[0]
        await expect(rows.first).to_have_attribute("data-id", str(newest.id))
        await expect(rows.first).to_contain_text(newest.model)
        await expect(page.get_by_role("meter", name="5 hours")).to_have_attribute(
            "aria-valuenow", "62"
        )
        await expect(page.locator("#windows")).to_contain_text("resets in 2 h 13 min")
        await expect(page.locator("#conversations li")).to_have_count(3)
        await expect(page.locator("#conversations li").first).to_contain_text("89%")
        await expect(page.locator("#conversations li").first).to_contain_text("summarized")
        await expect(page.locator("#errors")).to_contain_text("overloaded_error")
        await expect(page.locator("#speed")).to_contain_text("95th percentile")
        await expect(page.locator("#breakdown")).to_contain_text("claude-haiku-4-5")
        await page.get_by_label("Show").select_option("refused")
        for row in await rows.all():
            await expect(row).to_contain_text("address is not on the allow-list")


async def test_a_request_appears_when_it_happens(chromium: Browser) -> None:
    server = StandIn(UsageLedger(time.time))
    async with visiting(chromium, server) as visit:
        page = await visit.open()
        await live(page)
        await expect(page.locator("#requests-empty")).to_contain_text("base URL")
        hostile = "<img src=x onerror=alert(1)>"
        server.served(record("claude_code", time=time.time(), dollars=1.5, reason=hostile))
        row = page.locator("#requests tr")
        await expect(row).to_have_count(1)
        await expect(row).to_contain_text(hostile)
        await expect(page.locator("#savings")).to_have_text("$1.50")
        await expect(page.locator("#requests-count")).to_have_text("1")


async def test_limits_and_conversations_follow_their_events(chromium: Browser) -> None:
    server, now = StandIn(UsageLedger(time.time)), time.time()
    async with visiting(chromium, server) as visit:
        page = await visit.open()
        await live(page)
        over = SubscriptionWindow(
            name="5h", label="5 hours", utilization=1, resets_at=now + 90_000, status="rejected"
        )
        past = SubscriptionWindow(
            name="7d", label="7 days", utilization=1, resets_at=now - 5, status="rejected"
        )
        server.hub.publish("windows", {"windows": [over.to_json(), past.to_json()]})
        await expect(page.locator("#windows")).to_contain_text("used up")
        await expect(page.locator("#windows")).to_contain_text("resets in 1 d")
        await expect(page.get_by_role("meter", name="7 days")).to_have_attribute(
            "aria-valuenow", "0"
        )
        talk = RecentConversation(id="abcdef0123", model="m", tokens=150, limit=200, last_seen=now)
        server.hub.publish(
            "conversations", {"conversations": conversations_json(server.ledger, [talk])}
        )
        await expect(page.get_by_role("meter", name="Context of abcdef01")).to_have_attribute(
            "aria-valuenow", "75"
        )


async def test_an_empty_proxy_says_what_to_do(chromium: Browser) -> None:
    server = StandIn(UsageLedger(time.time))
    async with visiting(chromium, server) as visit:
        page = await visit.open()
        await live(page)
        await expect(page.locator("#savings")).to_have_text("$0")
        for part in (
            "windows",
            "speed",
            "conversations",
            "errors",
            "breakdown-empty",
            "requests-empty",
        ):
            await expect(page.locator(f"#{part}")).to_contain_text(re.compile(r"yet|period|known"))


async def test_the_budget_can_be_edited_and_bad_input_is_shown_at_its_field(
    chromium: Browser,
) -> None:
    server = StandIn(UsageLedger(time.time))
    server.ledger.add(record(time=time.time(), dollars=2))
    async with visiting(chromium, server) as visit:
        page = await visit.open()
        await live(page)
        day, hour = page.get_by_label("Day limit"), page.get_by_label("Hour limit")
        await day.fill("2.5")
        await page.get_by_label("Stop paid calls").check()
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("#budget-status")).to_have_text("Saved")
        assert server.budget.settings == BudgetSettings(daily=2.5, enabled=True)
        await expect(page.locator("#dailyLimit-spent")).to_have_text("$2.00 spent")

        visit.expected_errors = 1  # the console tells of the 400
        await hour.fill("-5")
        await hour.press("Enter")
        await expect(page.locator("#hourlyLimit-error")).to_contain_text(
            "must be a number of US dollars"
        )
        await expect(hour).to_have_attribute("aria-invalid", "true")
        await expect(hour).to_be_focused()
        assert server.budget.settings == BudgetSettings(daily=2.5, enabled=True)

        await hour.fill("")
        await day.fill("")
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("#budget-status")).to_have_text("Saved")
        await expect(hour).to_have_attribute("aria-invalid", "false")
        assert server.budget.settings == BudgetSettings(enabled=True)


async def test_typing_is_not_disturbed_by_what_happens(chromium: Browser) -> None:
    server = StandIn(UsageLedger(time.time))
    async with visiting(chromium, server) as visit:
        page = await visit.open()
        await live(page)
        week = page.get_by_label("Week limit")
        await week.fill("12")
        server.served(record(time=time.time(), dollars=3))
        await expect(page.locator("#weeklyLimit-spent")).to_have_text("$3.00 spent")
        await expect(week).to_have_value("12")


async def test_an_unknown_budget_is_confirmed_by_saving_it(chromium: Browser) -> None:
    server = StandIn(UsageLedger(time.time))
    server.budget.restore(BudgetSettings(), known=False)
    async with visiting(chromium, server) as visit:
        page = await visit.open()
        await expect(page.locator("#budget-unknown")).to_be_visible()
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("#budget-unknown")).to_be_hidden()
        server.budget.reserve(picodollars(1))


async def test_a_proxy_that_stops_is_told_and_one_that_returns_is_live_again(
    chromium: Browser,
) -> None:
    server = StandIn(UsageLedger(time.time))
    async with visiting(chromium, server) as visit:
        page = await visit.open()
        await live(page)
        server.silent = True
        server.hub.close()
        await expect(page.locator("#live")).to_have_text("Reconnecting…")
        server.silent = False
        server.ledger.add(record("claude_code", time=time.time(), dollars=4))
        await expect(page.locator("#live")).to_have_text("Live", timeout=30_000)
        await expect(page.locator("#savings")).to_have_text("$4.00")


async def test_a_proxy_that_is_gone_says_how_to_start_it(chromium: Browser) -> None:
    server = StandIn(UsageLedger(time.time))
    async with visiting(chromium, server) as visit:
        page = await visit.open()
        await live(page)
        await page.context.set_offline(True)
        await page.get_by_role("radio", name="Week").check(force=True)
        await expect(page.locator("#notices")).to_contain_text("Start it again")
        await page.context.set_offline(False)
        await page.get_by_role("radio", name="Month").check(force=True)
        await expect(page.locator("#notices")).to_be_empty()
        visit.expected_errors = len(
            [text for text in visit.console if "ERR_INTERNET_DISCONNECTED" in text]
        )
        assert visit.expected_errors > 0


async def test_notices_are_shown(chromium: Browser) -> None:
    server = StandIn(UsageLedger(time.time))
    server.change(notices=["Usage is kept in memory only: disk full"])
    async with visiting(chromium, server) as visit:
        page = await visit.open()
        await expect(page.locator("#notices")).to_have_text(
            "Usage is kept in memory only: disk full"
        )


async def test_what_rests_is_shown_and_that_nothing_can_serve_in_red(chromium: Browser) -> None:
    server = StandIn(UsageLedger(time.time))
    rest = "sonnet rests until 16:45; the API key pays until then"
    server.change(notices=[rest])
    async with visiting(chromium, server) as visit:
        page = await visit.open()
        await live(page)
        await expect(page.locator("#notices")).to_have_text(rest)
        unserved = (
            "Nothing can serve a request until 16:45: the subscription rests, and FALLBACK=off."
        )
        server.change(notices=[unserved, rest], ready=False)
        server.hub.publish("totals", {})
        await expect(page.locator("#live")).to_have_text("NOT READY")
        red = await page.evaluate(
            "getComputedStyle(document.documentElement).getPropertyValue('--error')"
        )
        assert red and await page.locator("#live").get_attribute("data-state") == "unready"
        assert await page.locator("#notices .bad").all_text_contents() == [unserved]
        server.change(notices=[], ready=True)
        server.hub.publish("totals", {})
        await expect(page.locator("#live")).to_have_text("Live")
        await expect(page.locator("#notices")).to_be_empty()


async def test_the_secret_opens_the_page_once(chromium: Browser) -> None:
    server = StandIn(UsageLedger(time.time), secret="tulips")
    async with visiting(chromium, server) as visit:
        page = await visit.open()
        await sign_in(page, "tulips")
        await expect(page.locator("#figures")).to_be_visible()
        await expect(page.locator("#login")).to_be_hidden()
        assert await page.evaluate("document.cookie") == ""
        await page.reload()
        await expect(page.locator("#figures")).to_be_visible()
        visit.expected_errors = 2  # the console tells of both 401


async def test_a_chart_of_one_point_and_of_large_numbers_is_drawn(chromium: Browser) -> None:
    server = StandIn(UsageLedger(time.time))
    server.ledger.add(
        record("claude_code", time=time.time(), dollars=123_456, tokens=Tokens(10**9, 10**8))
    )
    async with visiting(chromium, server) as visit:
        page = await visit.open("#all")
        await live(page)
        await expect(page.locator("#money-chart rect.savings")).to_have_count(1)
        await expect(page.locator("#savings")).to_have_text("$123K")
        await expect(page.locator("#tokens-chart .legend")).to_contain_text("1B")
