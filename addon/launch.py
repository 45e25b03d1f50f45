"""Starts mitmdump or mitmweb with this proxy in it, the same way on every system."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from addon.environment import ROOT, environment
from addon.settings import Settings, SettingsError


def command(program: str, settings: Settings, arguments: list[str]) -> list[str]:
    """The command line of `program`: mitmdump or mitmweb."""
    executable = Path(sys.executable).with_name(program)
    line = [str(executable), "-s", str(ROOT / "ccproxy_addon.py")]
    if not any(a in ("--mode", "-m") or a.startswith("--mode=") for a in arguments):
        line += ["--mode", f"reverse:{settings.upstream_url}@127.0.0.1:{settings.port}"]
        if _port_is_free("::1", settings.port):
            line += ["--mode", f"reverse:{settings.upstream_url}@::1:{settings.port}"]
    if program == "mitmweb":
        line += ["--set", "store_streamed_bodies=true", "--no-web-open-browser"]
    return line + arguments


def launch(program: str, settings: Settings, arguments: list[str]) -> NoReturn:
    """Become that program. Says so and exits with 1 when the port is taken."""
    if not _port_is_free("127.0.0.1", settings.port):
        sys.stderr.write(
            f"Port {settings.port} is in use: another ccproxy may be running. Stop it, or set PORT to another port.\n"
        )
        sys.exit(1)
    line = command(program, settings, arguments)
    if sys.platform == "win32":  # exec there returns to the shell at once
        sys.exit(subprocess.call(line))  # noqa: S603 (our own interpreter's neighbour)
    os.execv(line[0], line)  # noqa: S606


def _port_is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError:
        return False
    return True


def main() -> NoReturn:
    try:
        settings = Settings.from_env(environment())
    except SettingsError as error:
        sys.stderr.write(f"ccproxy can't start:\n{error}\n")
        sys.exit(1)
    launch(sys.argv[1], settings, sys.argv[2:])


if __name__ == "__main__":
    main()
