"""Starts mitmdump or mitmweb with ccproxy loaded, the same way on every system."""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Literal, NoReturn

from addon.core.environment import ROOT, environment, inherited
from addon.core.secret import keep_secret
from addon.core.setting_names import PREFIX, refuse_unknown_options, variables
from addon.core.settings import Settings, SettingsError
from addon.core.version import STARTED_AS

PORT_OPTION = re.compile(r"(?:-p|--listen-port)(?:(?<=-p)=?|=)(?P<attached>\d+)|-p|--listen-port")
WEB_PORT = 8081
"""mitmweb's own, unless another one is given."""
QUIET = ("--quiet", "-q")
"""mitmproxy's own flags; they also silence ccproxy's lines."""

OURS = "x-ccproxy-source"
"""A header that every response of the proxy has, including errors."""

type Listener = Literal["nobody", "ccproxy", "another program"]


def command(tool: str, settings: Settings, arguments: list[str]) -> list[str]:
    """The command line of `tool`: mitmdump or mitmweb."""
    line = [*mitmproxys(tool), "-s", str(ROOT / "ccproxy_addon.py")]
    if not has_mode(arguments):
        line += ["--mode", f"reverse:{settings.upstream_url}@127.0.0.1:{settings.port}"]
        if not _bind_error("::1", settings.port):
            line += ["--mode", f"reverse:{settings.upstream_url}@::1:{settings.port}"]
    # lazy: the sockets are open before the script is loaded, and nothing may be sent upstream before that
    wanted = {"connection_strategy": "lazy"}
    if tool == "mitmweb":
        line.append("--no-web-open-browser")
        wanted["store_streamed_bodies"] = "true"
    if any(a in QUIET for a in arguments):
        wanted["ccproxy_quiet"] = "true"
    for name, value in wanted.items():
        # mitmproxy rejects an option that is set twice; SafeOptions overrides unsafe values
        if not any(a.removeprefix("--set=").startswith(f"{name}=") for a in arguments):
            line += ["--set", f"{name}={value}"]
    return line + arguments


def mitmproxys(tool: str) -> list[str]:
    """Calls `tool` by its function: the script of that name in .venv/bin has the path of the Python that it was
    installed for, and does not start once the folder was moved."""
    code = (  # no garbage is collected until ccproxy_addon.py is loaded: there is none, and looking takes 40 ms
        f"import gc, sys; gc.disable(); from mitmproxy.tools.main import {tool} as main;"
        f" sys.argv[0] = {STARTED_AS!r}; sys.exit(main())"
    )
    return [sys.executable, "-P", "-c", code]  # -P: modules of the current folder are not imported


def has_mode(arguments: Sequence[str]) -> bool:
    return any(a in ("--mode", "-m") or a.startswith("--mode=") for a in arguments)


def launch(tool: str, settings: Settings, arguments: list[str]) -> NoReturn:
    """Replaces this process with `tool`. Exits with 1 and a message if the port is in use."""
    taken = port_taken(settings.port) or (web_port_taken(arguments) if tool == "mitmweb" else None)
    if taken:
        sys.stderr.write(taken + "\n")
        sys.exit(1)
    if _bind_error("::1", settings.port) == errno.EADDRINUSE and not has_mode(arguments):
        sys.stderr.write(
            f"[::1]:{settings.port} is in use by another program, which clients may reach as localhost."
            f" Give them http://127.0.0.1:{settings.port}.\n"
        )
    line = command(tool, settings, arguments)
    if sys.platform == "win32":  # exec returns to the shell at once there
        sys.exit(subprocess.call(line, env=inherited(PYTHONUTF8="1")))  # noqa: S603 (our own interpreter's neighbour)
    os.execv(line[0], line)  # noqa: S606


def port_taken(port: int) -> str | None:
    """Why the proxy can't listen on `port`; None if it can."""
    match who_listens(port):
        case "nobody":
            return None
        case "ccproxy":
            return f"ccproxy is already running on port {port}. Stop it first, or set PORT to another port."
        case _:
            return (
                f"Port {port} is in use by another program. Stop it, or set PORT to another port."
            )


def web_port_taken(arguments: Sequence[str]) -> str | None:
    """Why mitmweb can't show its page; None if it can."""
    found = re.search(
        r"(?:^|\0)(?:--web-port[=\0]|(?:--set[=\0])?web_port=)(\d+)", "\0".join(arguments)
    )
    port = int(found[1]) if found else WEB_PORT
    if _bind_error("127.0.0.1", port) is None:
        return None
    return f"Port {port}, where mitmweb shows its page, is in use. Stop what uses it, or add --web-port {port + 1}."


def who_listens(port: int) -> Listener:
    if not _bind_error("127.0.0.1", port):
        return "nobody"
    import httpx  # with asyncio 30 ms, which a start without a conflict does without

    from addon.core.own_http import sync_client

    try:
        # trust_env: a proxy set in the environment must not be used for this machine
        with sync_client(trust_env=False, timeout=2) as client:
            response = client.get(f"http://127.0.0.1:{port}/health")
    except httpx.HTTPError:
        return "another program"
    return "ccproxy" if OURS in response.headers else "another program"


def _bind_error(host: str, port: int) -> int | None:
    """The error's number, if this process can't listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return error.errno
    return None


def with_port_as_setting(arguments: Sequence[str]) -> list[str]:
    """Replaces mitmproxy's `-p 9000` by `--set ccproxy_port=9000`: it has no effect together with a --mode with a
    port."""
    found: list[str] = []
    words = iter(arguments)
    for word in words:
        match = PORT_OPTION.fullmatch(word)
        port = match and (match["attached"] or next(words, ""))
        found += ["--set", f"ccproxy_port={port}"] if match else [word]
    return found


def given_settings(arguments: Sequence[str]) -> dict[str, str]:
    """Settings from `--set ccproxy_…=…`, by variable. Raises SettingsError for an unknown ccproxy option."""
    pairs = [word.removeprefix("--set=").partition("=") for word in arguments]
    given = {name: value for name, _, value in pairs if name.startswith(PREFIX)}
    refuse_unknown_options(given)
    known = variables()
    return {known[name]: value for name, value in given.items()}


def read_settings(arguments: Sequence[str] = ()) -> Settings:
    """The settings from the environment and these options. Exits with 1 and a message if they are invalid."""
    try:
        return Settings.from_env(environment() | given_settings(arguments))
    except SettingsError as error:
        sys.stderr.write(f"ccproxy can't start:\n{error}\n")
        sys.exit(1)


def ensure_secret(settings: Settings) -> None:
    """Creates the secret that a tunnel needs. If it can't be stored, the proxy still serves this machine."""
    if settings.secret is not None:
        return
    try:
        keep_secret(settings.home)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")


def main(given: Sequence[str] | None = None) -> NoReturn:
    """`given`: mitmdump or mitmweb, and its arguments; by default this process's own."""
    tool, *rest = sys.argv[1:] if given is None else given
    arguments = rest if has_mode(rest) else with_port_as_setting(rest)
    settings = read_settings(arguments)
    ensure_secret(settings)
    launch(tool, settings, arguments)


if __name__ == "__main__":
    main()
