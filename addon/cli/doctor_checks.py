"""The doctor's checks. Each examines one thing, says what to do, and changes nothing unless its `fix` is called."""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import field, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal

import httpx

from addon.cli.cursor import ADVICE, collides
from addon.cli.launch import OURS, who_listens
from addon.cli.tunnel_check import check_from_outside
from addon.context.tokens.vocabulary import Vocabulary
from addon.core.frozen import frozen
from addon.core.outbound_proxy import OutboundProxies, OutboundProxy
from addon.core.own_http import async_client
from addon.core.retry_after import http_date
from addon.core.secret import keep_secret, secret_file
from addon.core.settings import Settings, SettingsError
from addon.core.version import CHECKOUT, STARTED_AS
from addon.credentials.credential import CredentialError
from addon.credentials.login import Login
from addon.credentials.open import LoginLocations

type Severity = Literal["ok", "warn", "fail"]
"""fail: something does not work; warn: something may not work, or should be changed."""

LONG_ENOUGH = 22
"""Characters: 128 random bits as base64."""
CLOCK_SECONDS = 60.0
SOON_SECONDS = 3 * 86400.0
LOCK_SECONDS = 60.0
"""A lock of Claude Code's that was not renewed for this long was left behind."""
REINSTALL = (
    f"Delete the folder .venv and run {STARTED_AS} again" if CHECKOUT else "Install ccproxy again"
)
SETUP = "`claude setup-token` creates one that needs no file: CLAUDE_CODE_OAUTH_TOKEN."
LOGIN = "Run `claude /login`, or set CLAUDE_CODE_OAUTH_TOKEN (from `claude setup-token`)."


@frozen
class Finding:
    check: str
    state: Severity
    text: str
    todo: str = ""
    fix: Callable[[], str] | None = field(default=None, compare=False)
    """Does it, if that is safe, and returns what was done. May raise OSError or SettingsError."""

    def as_json(self) -> dict[str, str]:
        return {"check": self.check, "state": self.state, "text": self.text, "todo": self.todo}


def fixed(finding: Finding) -> Finding:
    """The finding after its `fix`; the same if it has none."""
    if finding.fix is None:
        return finding
    try:
        done = finding.fix()
    except (OSError, SettingsError) as error:
        return replace(finding, text=f"{finding.text} It could not be fixed: {error}", fix=None)
    return Finding(finding.check, "ok", f"{finding.text} Fixed: {done}.")


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    shown = ".".join(map(str, version))
    if version < (3, 12):
        return Finding("Python", "fail", f"{shown} is too old.", "Install Python 3.12 or newer.")
    return Finding("Python", "ok", shown)


def packages(requirements: str, installed: Callable[[str], str] = metadata.version) -> Finding:
    """Compares with the minimum versions in requirements.txt."""
    wrong = []
    for name, floor in re.findall(r"^([a-z-]+)>=([\d.]+)", requirements, re.MULTILINE):
        try:
            version = installed(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        if _numbers(version) < _numbers(floor):
            wrong.append(f"{name} {version} is older than {floor}")
    if wrong:
        todo = f"{REINSTALL}."
        return Finding("packages", "fail", "; ".join(wrong) + ".", todo)
    return Finding("packages", "ok", f"mitmproxy {installed('mitmproxy')} and the others")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:4])


def token_counts(vocabulary: Vocabulary) -> Finding:
    vocabulary.load()
    if vocabulary.problem is not None:
        todo = f"{REINSTALL}."
        return Finding("token counts", "warn", vocabulary.problem, todo)
    return Finding("token counts", "ok", "use the vocabulary that comes with ccproxy")


def state_folder(home: Path) -> Finding:
    probe = home / ".doctor"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        text = f"{home} can't be written ({error.strerror}): usage is lost at each restart."
        return Finding("state", "fail", text, "Make it writable, or set CCPROXY_HOME.")
    return Finding("state", "ok", str(home))


async def login(settings: Settings, login: Login, now: float) -> Finding:
    key = settings.can_pay
    if not settings.claude_code_first:
        if key:
            return Finding(
                "login", "ok", "not used (CLAUDE_CODE_FIRST=false); the API key is used instead"
            )
        todo = "Set ANTHROPIC_API_KEY, or remove CLAUDE_CODE_FIRST."
        return Finding("login", "fail", "CLAUDE_CODE_FIRST=false, and there is no API key.", todo)
    try:
        found = await login.read()
    except CredentialError as error:
        return Finding("login", "warn" if key else "fail", error.message, SETUP)
    if found.source == "environment":
        return Finding("login", "ok", "CLAUDE_CODE_OAUTH_TOKEN")
    if found.needs_login(now):
        return Finding("login", "warn" if key else "fail", "The login has expired.", LOGIN)
    again, ends = found.refresh_token_expires_at, found.expires_at
    if again is not None and again - now < SOON_SECONDS:
        return Finding("login", "warn", f"A new login is due in {_time(again - now)}.", LOGIN)
    if ends is None:
        return Finding("login", "ok", f"found in the {found.source}")
    state = "expired; it is refreshed with the next request"
    if ends > now:
        state = f"valid for {_time(ends - now)}"
    return Finding("login", "ok", f"found in the {found.source}, {state}")


def _time(seconds: float) -> str:
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 86400 else f"{seconds / 86400:.0f} days"


def api_key(settings: Settings) -> Finding:
    if settings.api_key is None:
        text = "none: there is no fallback; long conversations are trimmed, not summarized"
        return Finding("API key", "ok", text)
    if not settings.api_key.startswith("sk-ant-api"):
        todo = "Copy it again from https://console.anthropic.com/settings/keys."
        return Finding("API key", "warn", "It does not look like an Anthropic API key.", todo)
    unused = "never used (FALLBACK=off); long conversations are trimmed, not summarized"
    return Finding("API key", "ok", "set" if settings.key_allowed else unused)


def locks(locations: LoginLocations, now: float) -> Finding:
    """The locks that Claude Code holds for seconds while it refreshes the login."""
    folder = locations.folder
    paths = (folder / ".oauth_refresh.lock", folder / ".storage-write.lock")
    for path in (*paths, folder / ".credentials.json.lock"):
        try:
            found = path.stat()
        except OSError:
            continue
        if path in paths and not stat.S_ISDIR(found.st_mode):
            return Finding("locks", "fail", f"{path} is not a folder.", "Remove it.")
        if now - found.st_mtime > LOCK_SECONDS:
            text = f"{path.name} was left behind by a program that crashed."
            todo = "ccproxy removes it when it needs to refresh."
            return Finding("locks", "warn", text, todo, partial(_remove_lock, path))
        return Finding("locks", "ok", f"{path.name} is held")
    return Finding("locks", "ok", "none held")


def _remove_lock(path: Path) -> str:
    path.rmdir() if path.is_dir() else path.unlink()
    return f"{path} is removed"


def private_files(files: Sequence[Path], posix: bool = os.name == "posix") -> Finding:
    """`files`: those that hold keys, and the folder of state. Windows has no such modes."""
    readable = [path for path in files if posix and path.exists() and path.stat().st_mode & 0o077]
    if not readable:
        return Finding("files", "ok", "nobody else can read your keys")
    names = " ".join(shlex.quote(str(path)) for path in readable)
    text = "Other users of this machine can read " + ", ".join(map(str, readable)) + "."
    return Finding("files", "warn", text, f"chmod go= {names}", partial(_make_private, readable))


def _make_private(files: Sequence[Path]) -> str:
    for path in files:
        path.chmod(path.stat().st_mode & 0o700)
    return "only you can"


def port(settings: Settings) -> Finding:
    match who_listens(settings.port):
        case "nobody":
            return Finding("port", "ok", f"{settings.port} is free; the proxy is not running")
        case "ccproxy":
            return Finding("port", "ok", f"the proxy is running on {settings.port}")
        case _:
            text = f"{settings.port} is in use by another program."
            return Finding("port", "fail", text, "Stop it, or set PORT to another port.")


async def upstream(
    url: str,
    clock: Callable[[], float],
    transport: httpx.AsyncBaseTransport | None = None,
    proxies: OutboundProxies | None = None,
) -> list[Finding]:
    """Whether Anthropic can be reached, through a proxy where one is set, and whether its Date header agrees with this
    machine's clock."""
    try:
        through = (proxies or OutboundProxies()).for_url(url)
    except ValueError as error:
        return [Finding("outbound", "fail", str(error), "See docs/CONFIGURATION.md.")]
    used = through and through.url
    try:
        async with async_client(timeout=10, transport=transport, proxy=used) as client:
            response = await client.head(url)
    except httpx.HTTPError as error:
        if through:
            return [_outbound_failure(through, error)]
        text = f"{url} can't be reached ({str(error) or type(error).__name__})."
        return [Finding("Anthropic", "fail", text, "Is this machine online? A firewall?")]
    passed = [Finding("outbound", "ok", f"proxy {through.shown}")] if through else []
    return [*passed, Finding("Anthropic", "ok", f"{url} responds"), _clock(response, clock())]


def _outbound_failure(proxy: OutboundProxy, error: httpx.HTTPError) -> Finding:
    refused = isinstance(error, httpx.ProxyError) and re.search(r"\b[45]\d\d\b", str(error))
    status = refused[0] if refused else ""
    if status == "407":
        todo = f"Set {proxy.variable}=http://USER:PASSWORD@{proxy.host}:{proxy.port}"
        return Finding("outbound", "fail", f"The proxy {proxy.shown} wants a password.", todo)
    why = f"refused to connect to Anthropic ({status})" if status else "can't be used"
    text = f"The proxy {proxy.shown} {why}: {type(error).__name__}."
    todo = f"Correct {proxy.variable}, or name Anthropic's host in NO_PROXY."
    return Finding("outbound", "fail", text, todo)


def _clock(response: httpx.Response, now: float) -> Finding:
    server_time = http_date(response.headers.get("date"))
    if server_time is None:
        return Finding("clock", "ok", "not compared: the response had no Date")
    off = now - server_time
    if abs(off) <= CLOCK_SECONDS:
        return Finding("clock", "ok", "correct")
    way = "ahead" if off > 0 else "behind"
    text = f"This machine's clock is {_time(abs(off))} {way}, so expiry times are misjudged."
    return Finding("clock", "warn", text, "Let the system set its clock from the network.")


async def running(
    settings: Settings, transport: httpx.AsyncBaseTransport | None = None
) -> list[Finding]:
    """What a running proxy reports about itself; nothing if none is running."""
    url = f"http://127.0.0.1:{settings.port}"
    auth = {"authorization": f"Bearer {settings.secret}"} if settings.secret else {}
    try:
        async with async_client(trust_env=False, timeout=5, transport=transport) as client:
            response = await client.get(f"{url}/health", headers=auth)
            blocked = await client.get(f"{url}/security/blocked", headers=auth)
    except httpx.HTTPError:
        return []
    if OURS not in response.headers:
        return []
    if response.status_code != 200:
        todo = "It runs with another PROXY_SECRET_KEY or CCPROXY_HOME: restart it."
        return [Finding("proxy", "warn", f"/health returns {response.status_code}.", todo)]
    health = response.json()
    notices, ready = health.get("notices") or [], health.get("ready", True)
    told = [
        Finding("proxy", "warn" if ready or at else "fail", text, f"{url}/health shows everything.")
        for at, text in enumerate(notices)
    ]
    if not told and health.get("status") != "ok":
        problem = (health.get("claudeCode") or {}).get("lastError") or health.get("status")
        return [Finding("proxy", "warn", f"/health says: {problem}.", LOGIN)]
    return [*(told or [Finding("proxy", "ok", "running")]), *_blocked(blocked)]


def _blocked(response: httpx.Response) -> list[Finding]:
    """Callers with a wrong key, or the newest blocked one that a line in `.env` would allow."""
    blocked = response.json().get("blocked", []) if response.status_code == 200 else []
    wrong = [entry for entry in blocked if entry.get("status") == 401 and entry.get("address")]
    if wrong:
        text = f"{len(wrong)} requests came through the tunnel without the right key."
        todo = f"Is one of them Cursor's? Paste the key that {STARTED_AS} tunnel shows once more."
        return [Finding("wrong key", "warn", text, todo)]
    for entry in blocked:
        if entry.get("allow"):
            text = f"{entry['address']} was blocked. Is it one of Cursor's servers?"
            return [Finding("blocked", "warn", text, f"If so, add to .env: {entry['allow']}")]
    return []


async def tunnel(
    url: str | None, settings: Settings, transport: httpx.AsyncBaseTransport | None = None
) -> Finding:
    """`url`: of the tunnel, if it is known."""
    if url is None:
        return Finding(
            "tunnel", "ok", "none is running, and none with a permanent address is set up"
        )
    listed = settings.allowed_ips_given
    secret = settings.secret or ""
    seen = await check_from_outside(url, secret, listed=listed, tries=1, transport=transport)
    if seen.ok:
        return Finding("tunnel", "ok", f"{url}: {seen.text}")
    state: Severity = "fail" if seen.text.startswith("DANGER") else "warn"
    todo = f"{STARTED_AS} tunnel starts it."
    if settings.tunnel_url:
        todo = "Is the tunnel that you run yourself up? Its address is TUNNEL_URL."
    return Finding("tunnel", state, f"{url}: {seen.text}", todo)


def access(settings: Settings) -> Finding:
    """Who can get in through a tunnel."""
    listed = settings.secret is None or settings.allowed_ips_given
    shown = "any address" if settings.allowed_ips is None else f"{len(settings.allowed_ips)} ranges"
    if settings.secret is None:
        if settings.allowed_ips is None:
            text = "Anyone who knows a tunnel's address gets in."
            todo = f"Set PROXY_SECRET_KEY, or run {STARTED_AS} once."
            return Finding("access", "fail", text, todo, partial(_make_secret, settings.home))
        if settings.tunnel_provider != "cloudflare":
            return Finding(
                "access", "ok", "tunnel: closed, because there is no secret (PROXY_SECRET_KEY)"
            )
        return Finding("access", "ok", f"tunnel: {shown} (ALLOWED_IPS), no secret")
    if len(settings.secret) < LONG_ENOUGH:
        todo = f"Remove PROXY_SECRET_KEY: {STARTED_AS} then creates a good one."
        return Finding("access", "warn", "PROXY_SECRET_KEY is short enough to be guessed.", todo)
    return Finding("access", "ok", "tunnel: the secret" + (f", from {shown}" if listed else ""))


def _make_secret(home: Path) -> str:
    keep_secret(home)
    return f"a secret is in {secret_file(home)}; restart the proxy to use it"


def settings_that_work(doubts: Sequence[str]) -> list[Finding]:
    """`doubts`: a sentence for each setting that can't work."""
    if not doubts:
        return [Finding("settings", "ok", "none that can't work")]
    return [Finding("settings", "warn", doubt, "See .env.example.") for doubt in doubts]


def verdict(findings: Sequence[Finding]) -> str:
    """One line at the end, with what to look at."""
    named = {
        state: [finding.check for finding in findings if finding.state == state]
        for state in ("fail", "warn")
    }
    parts = []
    if failed := named["fail"]:
        parts.append(f"{len(failed)} problem{'s' * (len(failed) > 1)}: {', '.join(failed)}")
    if warned := named["warn"]:
        parts.append(f"{len(warned)} warning{'s' * (len(warned) > 1)}: {', '.join(warned)}")
    can_fix = [finding.check for finding in findings if finding.fix]
    hint = f" `{STARTED_AS} doctor --fix` corrects {', '.join(can_fix)}." if can_fix else ""
    return "; ".join(parts) + "." + hint if parts else "Everything works."


def model_names(settings: Settings) -> Finding:
    taken = [name for name, _ in settings.model_aliases if collides(name)]
    if taken:
        text = f"Cursor may treat {', '.join(taken)} as one of its own models."
        return Finding("model names", "warn", text, ADVICE)
    return Finding("model names", "ok", "none that Cursor treats as its own")
