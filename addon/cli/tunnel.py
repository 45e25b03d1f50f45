"""Runs the proxy and a tunnel to it in one terminal: `python -m addon.cli.tunnel`. Ctrl+C ends both."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from addon.claude.catalogue import Catalogue
from addon.claude.models_file import CatalogueError
from addon.cli.bootstrap import PROGRAM
from addon.cli.cursor import names_that_work, to_paste
from addon.cli.launch import OURS, port_taken, read_settings, with_port_as_setting
from addon.cli.tunnel_check import check_from_outside
from addon.core.background_writer import in_background
from addon.core.environment import for_cloudflared, inherited, models_files, users_file
from addon.core.files import read_file
from addon.core.frozen import frozen
from addon.core.own_http import async_client
from addon.core.secret import keep_secret, secret_file
from addon.core.settings import Settings, SettingsError
from addon.core.terminal import Terminal, Tone
from addon.core.version import STARTED_AS

CONFIG = users_file("cloudflared-config.yml")
QUICK_URL = re.compile(r"https://(?!api\.)[a-z0-9-]+\.trycloudflare\.com")
HEALTHY_SECONDS = 60.0
URL_SECONDS = 60.0
STOP_SECONDS = 105.0
"""When stopped, the proxy waits up to 25 s for running responses, and up to 75 s for a refresh of the login."""

MISSING = """\
cloudflared is not installed, so there is no tunnel. Cursor's servers need one
to reach this machine. Either install it:
  macOS      brew install cloudflared
  Windows    winget install Cloudflare.cloudflared
  elsewhere  https://developers.cloudflare.com/tunnel/downloads/
or use another tunnel, such as `ngrok http {port}`, and set TUNNEL_URL to the
address that it prints. Clients on this machine need no tunnel: {program}"""


class TunnelError(Exception):
    """The tunnel can't be started; the message says what to do."""


@frozen(kw_only=True)
class Plan:
    url: str | None
    """The tunnel's address; None: cloudflared will print it."""
    command: list[str] | None = None
    """The command to run; None: the user runs the tunnel."""
    warning: str | None = None

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables that describe the tunnel to the proxy."""
        url = {"TUNNEL_URL": self.url} if self.url else {}
        return url | ({"TUNNEL_PROVIDER": "cloudflare"} if self.command else {})


def make_plan(settings: Settings, config: Path, cloudflared: str | None, spare: Path) -> Plan:
    """`config`: of a named tunnel, if the file exists; `spare`: a path for an empty one. Raises TunnelError."""
    if settings.tunnel_url:
        return Plan(url=_checked(settings.tunnel_url.removesuffix("/v1")))
    if cloudflared is None:
        raise TunnelError(MISSING.format(port=settings.port, program=STARTED_AS))
    base = [cloudflared, "tunnel", "--no-autoupdate", "--config"]
    if config.is_file():
        host, warning = _read_config(config, settings.port)
        return Plan(url=f"https://{host}", command=[*base, str(config), "run"], warning=warning)
    # Without --config cloudflared reads ~/.cloudflared/config.yml, whose last rule returns 404 for the address of a
    # quick tunnel (cloudflared#785).
    try:
        spare.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        spare.write_text("")
    except OSError as error:
        raise TunnelError(f"{spare} can't be written: {error.strerror}.") from None
    local = f"http://127.0.0.1:{settings.port}"
    return Plan(url=None, command=[*base, str(spare), "--url", local])


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise TunnelError(f"TUNNEL_URL: {url} would send the secret unencrypted. Use https://.")
    return url


def _read_config(config: Path, port: int) -> tuple[str, str | None]:
    text = config.read_text(encoding="utf-8")
    host = re.search(r"^[\s-]*hostname:\s*[\"']?([^\s\"'#]+)", text, re.MULTILINE)
    if host is None:
        raise TunnelError(f"{config.name} has no hostname; see cloudflared-config.example.yml.")
    ports = re.findall(r"^[\s-]*service:\s*[\"']?https?://[^\s\"'#]*:(\d+)", text, re.MULTILINE)
    if ports and str(port) not in ports:
        return host[1], f"{config.name} points to port {ports[0]}, but the proxy is on {port}."
    return host[1], None


class Child:
    """A running program whose output lines are shown with its name as prefix."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, terminal: Terminal) -> None:
        self.name = name
        self.process = process
        self.terminal = terminal
        self.url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """The quick tunnel's address, once a line has contained it."""
        self.reading = asyncio.create_task(self.read())

    @classmethod
    async def start(
        cls, name: str, command: list[str], terminal: Terminal, env: Mapping[str, str]
    ) -> Child:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1024 * 1024,
            # Only this program gets Ctrl+C: with the signal that follows, the proxy would see two, and exit at once.
            start_new_session=True,
        )
        return cls(name, process, terminal)

    async def read(self) -> None:
        while self.process.stdout and (line := await _next_line(self.process.stdout)):
            text = line.decode("utf-8", "replace").rstrip()
            self.terminal.line(f"[{self.name}] {text}", self.tone())
            found = QUICK_URL.search(text)
            if found and not self.url.done():
                self.url.set_result(found[0])

    def tone(self) -> Tone:
        return "plain" if self.name == "proxy" else "faint"

    async def stop(self) -> None:
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        await self.reading


async def _next_line(stream: asyncio.StreamReader) -> bytes:
    """Empty at the end. One that is over the limit is left out."""
    while True:
        with contextlib.suppress(ValueError):  # readline has dropped what it had of it
            return await stream.readline()


class Tunnel:
    """The proxy and the tunnel, from start to end."""

    def __init__(self, settings: Settings, secret: str, plan: Plan, terminal: Terminal) -> None:
        self.settings = settings
        self.secret = secret
        self.plan = plan
        self.terminal = terminal
        self.children: list[Child] = []

    async def run(self, arguments: list[str]) -> int:
        """Serve until one of the programs ends. Raises TunnelError; both have ended when this returns or raises."""
        try:
            await self.open(arguments)
            await asyncio.wait(
                [asyncio.create_task(child.process.wait()) for child in self.children],
                return_when=asyncio.FIRST_COMPLETED,
            )
            ended = [c for c in self.children if c.process.returncode is not None]
            self.say(f"The {ended[0].name} has ended, so both are stopped.", "bad")
            return 1
        finally:
            quick_tunnel_file(self.settings.home).unlink(missing_ok=True)
            await asyncio.gather(*(child.stop() for child in self.children))

    async def open(self, arguments: list[str]) -> None:
        command = [sys.executable, str(PROGRAM), "run", *arguments]
        variables = inherited(PYTHONUNBUFFERED="1", **self.plan.variables)
        proxy = await self.start("proxy", command, variables)
        await self.until_healthy(proxy)
        if self.plan.warning:
            self.say(self.plan.warning, "odd")
        url = self.plan.url
        if self.plan.command:
            tunnel = await self.start("tunnel", self.plan.command, for_cloudflared())
            url = url or await self.quick_url(tunnel)
        await self.show(url or "")

    async def start(self, name: str, command: list[str], env: Mapping[str, str]) -> Child:
        try:
            child = await Child.start(name, command, self.terminal, env)
        except OSError as error:
            raise TunnelError(f"{command[0]} can't be run: {error.strerror}.") from None
        self.children.append(child)
        return child

    async def until_healthy(self, proxy: Child) -> None:
        async with async_client(trust_env=False, timeout=2) as client:
            for _ in range(int(HEALTHY_SECONDS / 0.1)):
                if proxy.process.returncode is not None:
                    raise TunnelError("The proxy did not start; its output above says why.")
                with contextlib.suppress(httpx.HTTPError):
                    url = f"http://127.0.0.1:{self.settings.port}/health"
                    # mitmproxy listens before it has loaded ccproxy, and forwards to Anthropic until then
                    if OURS in (await client.get(url)).headers:
                        return
                await asyncio.sleep(0.1)
        raise TunnelError(f"The proxy did not respond within {HEALTHY_SECONDS:.0f} s.")

    async def quick_url(self, tunnel: Child) -> str:
        ended = asyncio.create_task(tunnel.process.wait())
        either: list[asyncio.Future[Any]] = [tunnel.url, ended]
        await asyncio.wait(either, timeout=URL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if tunnel.url.done():
            return tunnel.url.result()
        raise TunnelError(
            "cloudflared printed no address; its output above says why. Is this machine online?"
        )

    async def show(self, url: str) -> None:
        self.say(f"Checking {url} from outside ...")
        found = await check_from_outside(url, self.secret, listed=self.settings.allowed_ips_given)
        self.say(found.text, "plain" if found.ok else "odd")
        key = self.secret if self.terminal.private else _where_the_key_is(self.settings)
        names = names_that_work(self.settings, Catalogue.load(*models_files(self.settings.home)))
        self.say()
        for line in to_paste(url, key, names):
            self.say(line)
        self.say()
        if self.plan.url is None:
            quick_tunnel_file(self.settings.home).write_text(url, encoding="utf-8")
            self.say(
                "This address changes at each start; cloudflared-config.example.yml gives one that stays."
            )
        self.say(
            "Anyone who has the address and the key can use your subscription"
            + (
                " and spend your API key; POST /budget sets a limit."
                if self.settings.can_pay
                else "."
            )
        )
        self.say("Ctrl+C ends both.")

    def say(self, text: str = "", tone: Tone = "plain") -> None:
        self.terminal.line(text, tone)


def quick_tunnel_file(home: Path) -> Path:
    return home / "tunnel-url"


def quick_tunnel_url(home: Path) -> str | None:
    """The address of the quick tunnel that runs, as it was kept; None if there is none."""
    try:
        return read_file(quick_tunnel_file(home)).decode().strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _where_the_key_is(settings: Settings) -> str:
    """Where to find the key, for output that may be stored."""
    return "PROXY_SECRET_KEY" if settings.secret else f"in {secret_file(settings.home)}"


async def serve(tunnel: Tunnel, arguments: list[str]) -> int:
    """Runs `tunnel`; SIGTERM and a closed terminal end it as Ctrl+C does."""
    task = asyncio.current_task()
    for name in ("SIGTERM", "SIGHUP"):
        with contextlib.suppress(AttributeError, NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(
                getattr(signal, name), task.cancel if task else lambda: None
            )
    return await tunnel.run(arguments)


def main(arguments: list[str]) -> int:
    arguments = with_port_as_setting(arguments)
    settings = read_settings(arguments)
    # a terminal that stands still, or a full pipe, must not stop what reads both programs
    output, _ = in_background(sys.stdout, "stdout")
    terminal = Terminal(output, no_color=settings.no_color)
    try:
        secret = settings.secret or keep_secret(settings.home)
        spare = settings.home / "cloudflared-empty.yml"
        plan = make_plan(settings, CONFIG, shutil.which("cloudflared"), spare)
        taken = port_taken(settings.port)
        if taken:
            raise TunnelError(taken)
        return asyncio.run(serve(Tunnel(settings, secret, plan, terminal), arguments))
    except (TunnelError, SettingsError, CatalogueError) as error:
        for line in str(error).splitlines():
            terminal.line(line, "bad")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        terminal.line("Both have ended.")
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
