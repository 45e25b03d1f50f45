"""`service install|status|uninstall`: ccproxy started by the system, and started again when it ends.

A systemd user unit on Linux, a launchd agent on macOS, a task on Windows. Each runs as the user who installs it, from
this folder, with the settings of `.env`. The two files for macOS and Windows have been parsed, and were never run.
"""

from __future__ import annotations

import argparse
import os
import plistlib
import shlex
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from pathlib import Path
from xml.etree import ElementTree

from addon.cli.bootstrap import PROGRAM
from addon.cli.launch import Listener, port_taken, read_settings, who_listens
from addon.cli.main import ROOT
from addon.core.environment import env_file, from_env_file, inherited
from addon.core.files import write_atomically
from addon.core.frozen import frozen
from addon.core.settings import Settings, described
from addon.core.version import CHECKOUT, STARTED_AS

NAME = "ccproxy"
LABEL = "com.github.ccproxy"
"""launchd wants a name in reverse-DNS form."""
CARRIED = ("CCPROXY_HOME", "CCPROXY_ENV_FILE", "PATH")
"""Variables that the service gets from the shell: where its files are, and where cloudflared is."""
START_SECONDS = 30.0
STOP_SECONDS = 10.0
TASK_NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"


@frozen(kw_only=True)
class Job:
    """What is to be run."""

    command: tuple[str, ...]
    folder: Path
    """Where it runs, and where a package looks for `.env`."""
    log: Path
    """Where its lines go on systems without a journal."""
    variables: dict[str, str] = field(default_factory=dict)


@frozen(kw_only=True)
class Service:
    """One system's way to run a Job."""

    file: Path
    content: bytes
    start: tuple[tuple[str, ...], ...]
    stop: tuple[tuple[str, ...], ...]
    """Each may fail: it may be stopped already."""
    status: tuple[str, ...]
    hints: tuple[str, ...]


def systemd(job: Job, home: Path) -> Service:
    """A user unit (systemd.service(5))."""
    variables = "".join(
        f"Environment={_unit_word(f'{name}={value}')}\n" for name, value in job.variables.items()
    )
    unit = f"""\
[Unit]
Description=ccproxy, a local proxy for Claude
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=exec
ExecStart={" ".join(_unit_word(word, command=True) for word in job.command)}
WorkingDirectory={_percent(str(job.folder))}
{variables}Restart=on-failure
RestartSec=5
TimeoutStopSec=30
UMask=0077
NoNewPrivileges=true

[Install]
WantedBy=default.target
"""
    name = f"{NAME}.service"
    control = ("systemctl", "--user")
    return Service(
        file=home / ".config" / "systemd" / "user" / name,
        content=unit.encode(),
        start=(
            (*control, "daemon-reload"),
            (*control, "enable", name),
            (*control, "restart", name),
        ),
        stop=((*control, "disable", "--now", name),),
        status=(*control, "status", "--no-pager", name),
        hints=(
            f"Its lines: journalctl --user -u {NAME} -f",
            "To run it while you are not logged in: loginctl enable-linger",
        ),
    )


def _unit_word(word: str, *, command: bool = False) -> str:
    """Quoted for a unit file (systemd.syntax(7)); only a command has $ for variables."""
    quoted = _percent(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted.replace("$", "$$") if command else quoted}"'


def _percent(text: str) -> str:
    return text.replace("%", "%%")


def launchd(job: Job, home: Path) -> Service:
    """An agent (launchd.plist(5))."""
    agent = {
        "Label": LABEL,
        "ProgramArguments": list(job.command),
        "WorkingDirectory": str(job.folder),
        "EnvironmentVariables": job.variables,
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 10,
        "ExitTimeOut": 30,
        "Umask": 0o077,
        "StandardOutPath": str(job.log),
        "StandardErrorPath": str(job.log),
    }
    domain = f"gui/{os.getuid() if hasattr(os, 'getuid') else 0}"
    file = home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
    return Service(
        file=file,
        content=plistlib.dumps(agent),
        start=(("launchctl", "bootstrap", domain, str(file)),),
        stop=(("launchctl", "bootout", f"{domain}/{LABEL}"),),
        status=("launchctl", "print", f"{domain}/{LABEL}"),
        hints=(f"Its lines: tail -f {shlex.quote(str(job.log))}",),
    )


def scheduled_task(job: Job) -> Service:
    """A task at logon (the Task Scheduler schema). PowerShell hides the window and writes the log."""
    assigned = "".join(f"$env:{n} = {_ps_word(v)}; " for n, v in job.variables.items())
    called = " ".join(_ps_word(word) for word in job.command)
    script = f"{assigned}& {called} *>> {_ps_word(str(job.log))}; exit $LASTEXITCODE"
    arguments = ["-NoProfile", "-WindowStyle", "Hidden", "-Command", script]
    task: Tree = {
        "RegistrationInfo": {"Description": "ccproxy, a local proxy for Claude"},
        "Triggers": {"LogonTrigger": {"Enabled": "true"}},
        "Settings": {
            "MultipleInstancesPolicy": "IgnoreNew",
            "DisallowStartIfOnBatteries": "false",
            "StopIfGoingOnBatteries": "false",
            "ExecutionTimeLimit": "PT0S",
            "RestartOnFailure": {"Interval": "PT1M", "Count": "5"},
        },
        "Actions": {
            "Exec": {
                "Command": "powershell.exe",
                "Arguments": subprocess.list2cmdline(arguments),
                "WorkingDirectory": str(job.folder),
            }
        },
    }
    root = ElementTree.Element("Task", version="1.2", xmlns=TASK_NAMESPACE)
    _fill(root, task)
    file = job.log.with_name("ccproxy-task.xml")
    return Service(
        file=file,
        # schtasks reads UTF-16, as it exports
        content=ElementTree.tostring(root, encoding="utf-16"),
        start=(
            ("schtasks", "/Create", "/TN", NAME, "/XML", str(file), "/F"),
            ("schtasks", "/Run", "/TN", NAME),
        ),
        stop=(("schtasks", "/End", "/TN", NAME), ("schtasks", "/Delete", "/TN", NAME, "/F")),
        status=("schtasks", "/Query", "/TN", NAME, "/V", "/FO", "LIST"),
        hints=(f"Its lines: Get-Content -Wait {_ps_word(str(job.log))}",),
    )


def _ps_word(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"


type Tree = dict[str, str | Tree]


def _fill(element: ElementTree.Element, tree: Tree) -> None:
    for name, inner in tree.items():
        child = ElementTree.SubElement(element, name)
        if isinstance(inner, str):
            child.text = inner
        else:
            _fill(child, inner)


def job(settings: Settings, command: str) -> Job:
    """`command`: run or tunnel. Keys stay in `.env`: files of services are read by more programs."""
    here = inherited()
    return Job(
        command=(sys.executable, str(PROGRAM), command),
        folder=ROOT if CHECKOUT else settings.home,
        log=settings.home / "service.log",
        variables={name: here[name] for name in CARRIED if name in here},
    )


def for_this_system(of: Job, home: Path, platform: str = sys.platform) -> Service:
    if platform == "win32":
        return scheduled_task(of)
    return launchd(of, home) if platform == "darwin" else systemd(of, home)


def not_in_file(given: Iterable[str], in_file: Iterable[str]) -> list[str]:
    """The settings of this shell that the service will not see."""
    settings = {item.metadata["env"] for item in described()}
    return sorted(settings.intersection(given) - set(in_file) - set(CARRIED))


def install(settings: Settings, service: Service, *, ask: Callable[[str], str] | None) -> int:
    """Shows everything first. `ask`: puts the question; None: it has been answered."""
    first: tuple[tuple[str, ...], ...] = ()
    if CHECKOUT:  # the versions that were tested, each with its hash
        lock = str(ROOT / "requirements.lock")
        first = ((sys.executable, "-m", "pip", "install", "-q", "--require-hashes", "-r", lock),)
    steps = [*first, *service.start]
    _say(f"{service.file}:\n")
    _say(textwrap.indent(service.content.decode(_encoding(service)), "    "))
    _say("This file will be written, and then these commands will be run:\n")
    _say("".join(f"    {shlex.join(step)}\n" for step in steps))
    for name in not_in_file(inherited(), from_env_file()):
        _say(
            f"{name} is set in this shell only. Put it into {env_file()} for the service to see it."
        )
    if ask is not None and ask("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        _say("Nothing was changed.")
        return 1
    if service.file.exists():
        _run_all(service.stop, quiet=True)
        # launchctl does not wait for the end
        _comes_to_listen(settings.port, "nobody", STOP_SECONDS)
    taken = port_taken(settings.port)
    if taken:
        return _fail(taken)
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    service.file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(service.file, service.content)
    failed = _run_all(steps)
    if failed:
        return _fail(failed)
    return _wait_for(settings, service)


def _comes_to_listen(port: int, who: Listener, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while who_listens(port) != who:
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


def _wait_for(settings: Settings, service: Service) -> int:
    if not _comes_to_listen(settings.port, "ccproxy", START_SECONDS):
        return _fail(f"It does not respond yet. `{STARTED_AS} service status` says more.")
    _say(f"ccproxy runs at http://localhost:{settings.port}, now and after each login.")
    for hint in service.hints:
        _say(hint)
    return 0


def status(settings: Settings, service: Service) -> int:
    """0 if it is installed and responds."""
    if not service.file.exists():
        return _fail(f"Not installed. `{STARTED_AS} service install` does that.")
    _run_all((service.status,))
    responds = who_listens(settings.port) == "ccproxy"
    state = "responds" if responds else "does not respond"
    _say(f"\nccproxy {state} at http://localhost:{settings.port}.")
    return 0 if responds else 1


def uninstall(service: Service) -> int:
    """Settings and state are kept."""
    if not service.file.exists():
        return _fail("Not installed: nothing to do.")
    _run_all(service.stop, quiet=True)
    service.file.unlink()
    _say(f"Stopped, and {service.file} removed. Settings and state are kept.")
    return 0


def _run_all(steps: Iterable[Sequence[str]], *, quiet: bool = False) -> str | None:
    """The first failure, in words."""
    for step in steps:
        try:
            ended = subprocess.run(step, check=False, capture_output=quiet)  # noqa: S603
        except OSError as error:
            return f"{step[0]} can't be run ({error.strerror}). docs/ALWAYS_ON.md has other ways."
        if ended.returncode != 0 and not quiet:
            return f"{shlex.join(step)} failed with {ended.returncode}; the lines above say why."
    return None


def _encoding(service: Service) -> str:
    return "utf-16" if service.content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _fail(text: str) -> int:
    sys.stderr.write(text + "\n")
    return 1


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog=f"{STARTED_AS} service", description=__doc__)
    parser.add_argument("action", choices=("install", "status", "uninstall"))
    parser.add_argument("--tunnel", action="store_true", help="run the tunnel as well")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    given = parser.parse_args(arguments)
    settings = read_settings()
    service = for_this_system(job(settings, "tunnel" if given.tunnel else "run"), Path.home())
    match given.action:
        case "install":
            if not given.yes and not sys.stdin.isatty():
                return _fail("This is not a terminal, so nothing can be asked: add --yes.")
            return install(settings, service, ask=None if given.yes else input)
        case "status":
            return status(settings, service)
        case _:
            return uninstall(service)
