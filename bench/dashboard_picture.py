"""The pictures in docs/images, of the dashboard, the terminal and mitmweb: `python -m bench.dashboard_picture`.

The day before is invented; on top of it the real proxy serves some requests, and a real Chromium looks at its pages.
"""

from __future__ import annotations

import asyncio
import html
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Browser, async_playwright, expect

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.limits import windows
from addon.stand_in.script import delivered, fail, say
from addon.usage.budget import BudgetSettings
from addon.usage.ledger import UsageLedger
from addon.usage.snapshot import SnapshotFile
from addon.usage.snapshot_format import Snapshot
from bench.target import ROOT
from tests.dashboard.conftest import FLAGS
from tests.dashboard.scenes import busy_day
from tests.e2e.proxy import Proxy, message
from tests.ports import free_port

IMAGES = ROOT / "docs" / "images"
SIZE = (1200, 812)
PASSWORD = "picture"
MODELS: Mapping[str, str] = {
    "claude-opus-4-5": "claude-opus-5-5",
    "claude-sonnet-4-5": "claude-sonnet-5-5",
    "claude-haiku-4-5": "claude-haiku-5-5",
}
"""The invented day's models, as they are called now."""
CLIENT = {"user-agent": "opencode/1.2"}
FILE = "def parse(line):\n    return [part.strip() for part in line.split(',')]\n\n"
SHARES = {
    "claude-haiku-5-5": 0.05,
    "claude-sonnet-5-5": 0.32,
    "claude-opus-5-5": 0.8,
}
"""How full the context of each conversation is."""
TOKENS_PER_FILE = 42


def yesterday(home: Path) -> None:
    """The invented day, as a proxy that ran all day would have saved it."""
    ledger = UsageLedger(time.time)
    for record in reversed(busy_day().ledger.recent()):
        ledger.add(replace(record, model=MODELS[record.model]))
    file = SnapshotFile(home, time.time)
    file.open()
    settings = BudgetSettings(daily=15.0, monthly=100.0, enabled=True)
    file.save(Snapshot(ledger.state(), settings, known=True))
    file.close()


def work(fake: FakeAnthropic, proxy: Proxy) -> None:
    """Some conversations, one of which falls back to the API key."""
    now = time.time()
    used = windows({"5h": now + 8_000, "7d": now + 200_000}, utilization=0.62)
    used["anthropic-ratelimit-unified-7d-utilization"] = "0.37"
    answer = replace(say("The separator is not escaped: use the csv module."), headers=used)
    for model, share in SHARES.items():
        text = FILE * round(share * 200_000 / TOKENS_PER_FILE)
        for hold in (0.7, 0.9, 1.4):
            fake.script([delivered(answer, hold=hold)], when="oauth")
            body = message(model=model, stream=True)
            mark = {"cache_control": {"type": "ephemeral"}}
            body["messages"][0]["content"] = [{"type": "text", "text": text, **mark}]
            proxy.post("/v1/messages", body, headers=CLIENT)
    fake.script(
        [fail(400, "This credential is only authorized for use with Claude Code.")], "oauth"
    )
    proxy.post(
        "/v1/messages",
        message("Why is the sky blue?", "claude-sonnet-5-5", stream=True),
        headers=CLIENT,
    )


async def take(proxy: Proxy, chromium: Browser, theme: Literal["light", "dark"], to: Path) -> None:
    viewport: Any = {"width": SIZE[0], "height": SIZE[1]}
    page = await chromium.new_page(viewport=viewport, color_scheme=theme)
    await page.goto(f"{proxy.url}/dashboard")
    await expect(page.locator("#live")).to_have_text("Live")
    await expect(page.locator("#main")).to_have_attribute("aria-busy", "false")
    await page.screenshot(path=to, animations="disabled")
    await page.close()


TERMINAL = """<style>
  body {{ margin: 0; background: #1b1d21; color: #d8d6d0; font: 15px/1.6 ui-monospace, "DejaVu Sans Mono", monospace; }}
  pre {{ margin: 0; padding: 18px 22px; width: max-content; font: inherit; }}
  .sub {{ color: #74bda4; }} .key {{ color: #dcb66b; }} .no {{ color: #f08b80; }}
</style><pre>{}</pre>"""
DOTS = {"●": "sub", "○": "key", "✗": "no"}


def as_page(lines: str) -> str:
    shown = html.escape(lines)
    for dot, name in DOTS.items():
        shown = shown.replace(dot, f'<span class="{name}">{dot}</span>')
    return TERMINAL.format(shown)


async def pictures(proxy: Proxy, web: str) -> None:
    """`web`: the address of mitmweb's page."""
    async with async_playwright() as playwright:
        path = shutil.which("chromium")
        chromium = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        await take(proxy, chromium, "light", IMAGES / "dashboard.png")
        await take(proxy, chromium, "dark", IMAGES / "dashboard-dark.png")
        page = await chromium.new_page(viewport={"width": 1600, "height": 620})
        await page.goto(web)
        await page.get_by_text("/v1/messages").first.click()
        await page.screenshot(path=IMAGES / "mitmweb.png", animations="disabled")
        lines = [line for line in proxy.output.splitlines() if "📊" in line and "/" in line]
        await page.set_content(as_page("\n".join(lines)))
        await page.locator("pre").screenshot(path=IMAGES / "terminal.png")
        await chromium.close()


def main() -> None:
    port = free_port()
    web = ["--set", f"web_password={PASSWORD}", "--web-port", str(port)]
    with tempfile.TemporaryDirectory(prefix="picture-") as name, FakeAnthropic() as fake:
        yesterday(Path(name))
        with Proxy(
            fake.url, program="mitmweb", arguments=web, fork=False, CCPROXY_HOME=name
        ) as proxy:
            work(fake, proxy)
            asyncio.run(pictures(proxy, f"http://127.0.0.1:{port}/?token={PASSWORD}"))


if __name__ == "__main__":
    main()
