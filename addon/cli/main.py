"""The commands of `ccproxy`, `./start.sh` and `start.bat`: which there are, their help, and which module runs each.

Imports nothing but the standard library before a command is known, so that it can help, and install the packages, where
none is installed.
"""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from addon.cli import bootstrap
from addon.core.suggestions import closest, did_you_mean
from addon.core.version import CHECKOUT, STARTED_AS, VERSION

ROOT = Path(__file__).resolve().parents[2]
BY_START_SCRIPT = "bootstrap"
"""The first argument when a start script calls: see to the packages first."""
HELP = ("help", "--help", "-h")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    usage: str = ""
    summary: str
    details: str = ""
    module: str
    first: tuple[str, ...] = ()
    """Arguments that the module gets in front of the user's."""
    options: tuple[str, ...] | None = None
    """All that it takes; None: mitmproxy or pytest knows."""


MITMPROXYS = (
    "Further arguments go to {0}: -w FILE saves flows, -q is quiet, -p PORT is the same as PORT=… . `{0} --help` lists"
    " them. Settings can be given as --set ccproxy_context_strategy=trim; docs/CONFIGURATION.md has all of them."
)
COMMANDS = {
    "run": Command(
        usage="[mitmdump's options]",
        summary="the proxy (also without a command)",
        details=MITMPROXYS.format("mitmdump"),
        module="launch",
        first=("mitmdump",),
    ),
    "web": Command(
        usage="[mitmweb's options]",
        summary="the proxy in mitmweb, to look at each request",
        details=MITMPROXYS.format("mitmweb"),
        module="launch",
        first=("mitmweb",),
    ),
    "tunnel": Command(
        usage="[mitmdump's options]",
        summary="the proxy and a tunnel to it, for Cursor; shows what to paste there",
        details="Needs cloudflared, or a tunnel of your own whose address is in TUNNEL_URL.",
        module="tunnel",
    ),
    "doctor": Command(
        usage="[--json] [--fix] [--live [--report]]",
        summary="checks everything between your client and Claude",
        details="--json prints one JSON object. --fix corrects what is safe to correct. --live also asks Anthropic, and"
        " says first what that costs; --report asks more, and writes a file without secrets to attach to an issue."
        " The exit code is 1 when something does not work.",
        module="doctor",
        options=("--json", "--fix", "--live", "--report"),
    ),
    "setup": Command(
        usage="[NAME] [--model MODEL] [--undo]",
        summary="points a client at ccproxy: codex, claude, cursor and others",
        details="Without a NAME it lists them. Writes the client's configuration file and keeps its other contents,"
        " or shows what to enter where. --undo removes what was written.",
        module="setup",
        options=("--model", "--undo"),
    ),
    "demo": Command(
        usage="[--check]",
        summary="the proxy with a stand-in for Anthropic: no account, no internet, no cost",
        details="Shows a minute of example traffic and stays open until Ctrl+C, with dashboard and mitmweb to look at."
        " --check sends four requests instead and ends; its exit code is 1 when something is not as it should be.",
        module="demo",
        options=("--check",),
    ),
    "service": Command(
        usage="install|status|uninstall [--tunnel] [--yes]",
        summary="runs the proxy always: started at login, and again when it ends",
        details="A systemd user unit, a launchd agent or a scheduled task. Shows the file and the commands, and asks"
        " before it writes. --tunnel runs the tunnel as well; --yes does not ask. See docs/ALWAYS_ON.md.",
        module="service",
        options=("--tunnel", "--yes"),
    ),
}
TEST = Command(
    usage="[--all] [pytest's options]",
    summary="the tests, in two minutes on two cores",
    details="What is left out is named at the end; --all adds what takes longer. See CONTRIBUTING.md.",
    module="run_tests",
)
if CHECKOUT:
    COMMANDS["test"] = TEST

MITMPROXY_OPTIONS = (
    "--options", "--commands", "--set", "--quiet", "--verbose", "--mode", "--showhost", "--no-showhost",
    "--show-ignored-hosts", "--no-show-ignored-hosts", "--rfile", "--scripts", "--save-stream-file", "--listen-host",
    "--listen-port", "--no-server", "--server", "--ignore-hosts", "--allow-hosts", "--tcp-hosts", "--upstream-auth",
    "--proxyauth", "--rawtcp", "--no-rawtcp", "--http2", "--no-http2", "--certs", "--cert-passphrase",
    "--ssl-insecure", "--no-ssl-insecure", "--client-replay", "--server-replay", "--map-remote", "--map-local",
    "--modify-body", "--modify-headers", "--flow-detail", "--anticache", "--anticomp", "--web-port", "--web-host",
    "--web-open-browser", "--no-web-open-browser", "--help", "--version",
)  # fmt: skip
"""For suggestions only: what is not like one of these goes to mitmproxy as it is."""


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        return _main(arguments)
    except KeyboardInterrupt:
        return 130


def _main(arguments: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    _let_output_be_unicode()
    by_script = given[:1] == [BY_START_SCRIPT]
    if by_script:
        del given[0]
    name, rest = _split(given)
    if name in HELP or any(word in ("--help", "-h") for word in rest):
        return _say(_help_for(rest[0] if name == "help" and rest else name))
    if name in ("version", "--version"):
        return _say(versions())
    problem = _problem(name, rest)
    if problem:
        sys.stderr.write(f"{problem} `{STARTED_AS} help` shows everything.\n")
        return 2
    if by_script:
        ended = bootstrap.prepare(ROOT, given, with_tests=name == "test")
        if ended is not None:
            return ended
    if by_script and not given and sys.platform == "win32":
        from addon.cli.double_click import start

        return start(lambda chosen: _run(COMMANDS[chosen], []))
    return _run(COMMANDS[name], rest)


def _split(given: list[str]) -> tuple[str, list[str]]:
    """The command and its arguments; options alone are those of `run`."""
    if not given:
        return "run", []
    if given[0] in HELP or given[0] == "--version" or not given[0].startswith("-"):
        return given[0], given[1:]
    return "run", given


def _problem(name: str, rest: Sequence[str]) -> str | None:
    command = COMMANDS.get(name)
    if command is None:
        known = (*COMMANDS, "help", "version")
        return f"There is no command {name!r}.{did_you_mean(name, known)}"
    for word in rest:
        option = word.partition("=")[0]
        if not option.startswith("--") or (command.options or ()).count(option):
            continue
        if command.options is not None:
            return f"{name} has no option {option}.{did_you_mean(option, command.options)}"
        meant = closest(option, MITMPROXY_OPTIONS)
        # argparse, and so mitmproxy, takes an option's beginning for it
        if meant and name != "test" and not any(o.startswith(option) for o in MITMPROXY_OPTIONS):
            return f"There is no option {option}. Did you mean {meant}?"
    return None


def _run(command: Command, rest: Sequence[str]) -> int:
    try:
        module = importlib.import_module(f"addon.cli.{command.module}")
    except ModuleNotFoundError as error:
        how = f"{STARTED_AS} installs it" if CHECKOUT else "install ccproxy again"
        sys.stderr.write(f"The package {error.name} is missing: {how}.\n")
        return 1
    return int(module.main([*command.first, *rest]))


def _say(text: str) -> int:
    sys.stdout.write(text + "\n")
    return 0


def _help_for(name: str) -> str:
    command = COMMANDS.get(name)
    if command is None:
        return _overview()
    lines = [f"{STARTED_AS} {name} {command.usage}".rstrip(), "", f"  {command.summary}"]
    return "\n".join(
        [*lines, *(["", *textwrap.wrap(command.details, 79)] if command.details else [])]
    )


def _overview() -> str:
    width = max(map(len, COMMANDS)) + 2
    return "\n".join(
        [
            "ccproxy: a local proxy that lets Cursor and other OpenAI and Anthropic clients",
            "use Claude through your own subscription or API key.",
            "",
            f"  {STARTED_AS} [command] [options]",
            "",
            *(f"  {name:<{width}}{command.summary}" for name, command in COMMANDS.items()),
            "",
            f"`{STARTED_AS} COMMAND --help` says more about a command, `--version` prints the version.",
            "Settings: the environment, or a file .env; see "
            + (".env.example." if CHECKOUT else "docs/CONFIGURATION.md where ccproxy is from."),
        ]
    )


def versions() -> str:
    """Ours, mitmproxy's where it is installed, and Python's."""
    from importlib import metadata  # 20 ms, which no other command needs

    parts = [f"Python {sys.version.split()[0]}"]
    try:
        parts.insert(0, f"mitmproxy {metadata.version('mitmproxy')}")
    except metadata.PackageNotFoundError:
        parts.insert(0, "mitmproxy is not installed yet")
    return f"ccproxy {VERSION} ({', '.join(parts)})"


def _let_output_be_unicode() -> None:
    """A Windows console or pipe in cp1252 has no 📊; there and elsewhere a missing letter must end nothing."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            more = {"encoding": "utf-8"} if sys.platform == "win32" else {}
            reconfigure(errors="replace", **more)
