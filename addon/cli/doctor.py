"""Checks everything between Cursor and Claude, and says what to do.

`python -m addon.cli.doctor [--json] [--fix] [--live [--report]]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path

from addon.addons.model_list import utc_day
from addon.claude.catalogue import Catalogue
from addon.claude.models_file import CatalogueError
from addon.claude.pricing import Tokens, cost
from addon.cli import doctor_checks as checks
from addon.cli import live_report
from addon.cli.cursor import names_that_work, to_paste
from addon.cli.doctor_checks import Finding
from addon.cli.launch import who_listens
from addon.cli.own_proxy import DidNotStart, own_proxy, proxy
from addon.cli.round_trip import ASK_STAND_IN, ASK_TO_CALL, try_tool
from addon.cli.setting_checks import doubts
from addon.cli.tunnel import CONFIG, TunnelError, make_plan, quick_tunnel_url
from addon.context.tokens.vocabulary import Vocabulary
from addon.core.environment import (
    ROOT,
    env_file,
    environment,
    from_env_file,
    models_files,
    outbound_proxies,
)
from addon.core.own_http import own_http
from addon.core.secret import secret_file, with_stored_secret
from addon.core.settings import Settings, SettingsError, described
from addon.core.terminal import Terminal, Tone
from addon.core.version import STARTED_AS
from addon.credentials.open import make_locations, make_login

TONES: dict[str, Tone] = {"ok": "plain", "warn": "odd", "fail": "bad"}
LABEL = 13
WIDTH = 78
LIVE_TOKENS = Tokens(input=2_000, output=500)
"""An upper bound for both requests of the live check."""


async def examine(
    settings: Settings, *, live: bool = False, clock: Callable[[], float] = time.time
) -> AsyncIterator[Finding]:
    """Yields the findings one by one. `live`: also send requests to Anthropic, at the user's cost."""
    # in a thread: it sends a request to the port, which inside mitmproxy is served by this event loop
    for finding in await asyncio.to_thread(local_checks, settings, clock()):
        yield finding
    proxy = settings.upstream_proxy_url
    async with aclosing(own_http(timeout=10, proxy=proxy)) as client:
        yield await checks.login(settings, make_login(settings, client), clock())
    proxies = outbound_proxies(settings.upstream_proxy)
    for finding in await checks.upstream(settings.upstream_url, clock, proxies=proxies):
        yield finding
    for finding in await checks.running(settings):
        yield finding
    yield await checks.tunnel(tunnel_url(settings), settings)
    yield await asyncio.to_thread(with_stand_in)
    if live:
        yield await asyncio.to_thread(with_anthropic, settings)


def local_checks(settings: Settings, now: float) -> list[Finding]:
    """The checks that need no network."""
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    return [
        checks.python(),
        checks.packages(requirements),
        checks.token_counts(Vocabulary()),
        checks.state_folder(settings.home),
        checks.private_files(files_with_keys(settings)),
        checks.api_key(settings),
        checks.locks(make_locations(settings), now),
        checks.port(settings),
        checks.access(settings),
        checks.model_names(settings),
        *checks.settings_that_work(
            doubts(settings, catalogue(settings), from_env_file(), utc_day())
        ),
    ]


def files_with_keys(settings: Settings) -> list[Path]:
    secrets = {item.metadata["env"] for item in described() if item.metadata["secret"]}
    own = [env_file()] if secrets.intersection(from_env_file()) else []
    return [*own, secret_file(settings.home)]


def catalogue(settings: Settings) -> Catalogue:
    return Catalogue.load(*models_files(settings.home))


def tunnel_url(settings: Settings, config: Path = CONFIG) -> str | None:
    """The permanent address, of the user's own tunnel or of the named one; else that of the running quick tunnel."""
    if not settings.tunnel_url and not config.is_file():
        running = who_listens(settings.port) == "ccproxy"
        return quick_tunnel_url(settings.home) if running else None
    try:
        return make_plan(settings, config, "cloudflared", config).url
    except TunnelError:
        return None


def with_stand_in() -> Finding:
    """Tries a streamed tool call and its result through a new proxy, with a stand-in for Anthropic."""
    from addon.stand_in.anthropic import FakeAnthropic

    try:
        with ExitStack() as stack:
            home = stack.enter_context(tempfile.TemporaryDirectory(prefix="ccproxy-doctor-"))
            fake = stack.enter_context(FakeAnthropic())
            url = stack.enter_context(proxy(home, fake.url))
            problem = try_tool(url, "any", "claude-opus-5", ASK_STAND_IN)
    except DidNotStart as error:
        problem = f"The proxy did not start: {str(error).strip()}"
    if problem:
        return Finding("round trip", "fail", problem, "Please report it with this output.")
    return Finding("round trip", "ok", "a streamed tool call and its result, with a stand-in")


def with_anthropic(settings: Settings) -> Finding:
    """Tries the same with Anthropic, through the running proxy or a new one."""
    model = live_model(settings)
    try:
        with running_proxy(settings) as url:
            problem = try_tool(url, settings.secret or "any", model, ASK_TO_CALL)
    except DidNotStart as error:
        problem = f"The proxy did not start: {str(error).strip()}"
    if problem:
        return Finding("live", "fail", problem, "See docs/TROUBLESHOOTING.md.")
    return Finding("live", "ok", f"{model} called a tool and used its result")


@contextmanager
def running_proxy(settings: Settings) -> Iterator[str]:
    if who_listens(settings.port) == "ccproxy":
        yield f"http://127.0.0.1:{settings.port}"
        return
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ccproxy-doctor-"))
        yield stack.enter_context(own_proxy(environment(), Path(folder) / "proxy.log"))


def live_model(settings: Settings) -> str:
    """The cheapest known model."""
    known = catalogue(settings)
    models = [known.get(model_id) for model_id in known.ids]
    return min(models, key=lambda m: (m.prices.input, m.thinking_default)).id


def cost_of_live(settings: Settings, *, report: bool = False) -> str:
    model = catalogue(settings).get(live_model(settings))
    usd = cost(model, LIVE_TOKENS)
    return (
        f"--live sends two requests to Anthropic ({model.id}): a little of the subscription's limit, "
        f"or at most ${usd:.3f} with the API key."
        + (" --report sends three more of one token each, by subscription only." if report else "")
    )


def show(finding: Finding, terminal: Terminal) -> None:
    head = f"{finding.state:<5} {finding.check:<{LABEL}} "
    margin = " " * len(head)
    lines = textwrap.wrap(head + finding.text, WIDTH, subsequent_indent=margin)
    if finding.todo and finding.state != "ok":
        todo = f"{margin}→ {finding.todo}"
        lines += textwrap.wrap(todo, WIDTH, subsequent_indent=margin + "  ")
    for number, line in enumerate(lines):
        terminal.line(line, "plain" if number else TONES[finding.state])


def cursor_lines(settings: Settings, private: bool) -> list[str]:
    url = tunnel_url(settings) or "https://<address of your tunnel>"
    key = settings.secret or f"({STARTED_AS} tunnel creates and shows it)"
    if settings.secret and not private:
        key = f"in {secret_file(settings.home)}, or your PROXY_SECRET_KEY"
    return to_paste(url, key, names_that_work(settings, catalogue(settings)))


async def run(settings: Settings, given: argparse.Namespace) -> int:
    """Returns 1 if a check fails."""
    terminal = Terminal(no_color=settings.no_color)
    if given.live:
        note = Terminal(sys.stderr) if given.json else terminal
        note.line(cost_of_live(settings, report=given.report))
    findings: list[Finding] = []
    async for found in examine(settings, live=given.live):
        findings.append(checks.fixed(found) if given.fix else found)
        if not given.json:
            show(findings[-1], terminal)
    if given.report:
        known, model = catalogue(settings), live_model(settings)
        findings.append(await live_report.write(settings, known, model, findings))
        if not given.json:
            show(findings[-1], terminal)
    failed = any(finding.state == "fail" for finding in findings)
    if given.json:
        for line in as_json(findings).splitlines():
            terminal.line(line)
    else:
        for line in ["", *cursor_lines(settings, terminal.private), ""]:
            terminal.line(line)
        terminal.line(checks.verdict(findings), "bad" if failed else "plain")
    return 1 if failed else 0


def as_json(findings: Sequence[Finding]) -> str:
    failed = any(finding.state == "fail" for finding in findings)
    return json.dumps({"ok": not failed, "findings": [f.as_json() for f in findings]}, indent=2)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog=f"{STARTED_AS} doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--fix", action="store_true", help="also correct what is safe to correct")
    parser.add_argument(
        "--live", action="store_true", help="also send requests to Anthropic; shows their cost"
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help=f"with --live: ask further things by subscription, and write {live_report.FILE}",
    )
    given = parser.parse_args(arguments)
    if given.report and not given.live:
        parser.error("--report needs --live: it sends requests to Anthropic")
    try:
        settings = with_stored_secret(Settings.from_env(environment()))
        return asyncio.run(run(settings, given))
    except (SettingsError, CatalogueError) as error:
        finding = Finding("settings", "fail", str(error), "Correct them in .env; see .env.example.")
    if given.json:
        sys.stdout.write(as_json([finding]) + "\n")
    else:
        show(finding, Terminal())
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
