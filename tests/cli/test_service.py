"""`service`: the files for each system as that system's own reader takes them, and a whole install on Linux."""

from __future__ import annotations

import os
import plistlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest

from addon.cli.service import Job, for_this_system, launchd, not_in_file, scheduled_task, systemd
from tests.documents import ROOT
from tests.ports import free_port

ANALYZE = shutil.which("systemd-analyze")
ODD = "we\"ird 100% $HOME \\ it's"
"""Everything that one of the three formats has a meaning for."""


def job(tmp_path: Path) -> Job:
    folder = tmp_path / "my files"
    folder.mkdir()
    return Job(
        command=(sys.executable, str(ROOT / "addon" / "cli"), ODD),
        folder=folder,
        log=folder / "service.log",
        variables={"CCPROXY_HOME": ODD},
    )


def test_each_system_has_its_own(tmp_path: Path) -> None:
    made = {
        p: for_this_system(job_of(tmp_path, p), tmp_path, p) for p in ("linux", "darwin", "win32")
    }
    assert made["linux"].file == tmp_path / ".config/systemd/user/ccproxy.service"
    assert made["darwin"].file == tmp_path / "Library/LaunchAgents/com.github.ccproxy.plist"
    assert made["win32"].start[0][:2] == ("schtasks", "/Create")


def job_of(tmp_path: Path, name: str) -> Job:
    (tmp_path / name).mkdir()
    return job(tmp_path / name)


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze comes with systemd")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    made = systemd(job(tmp_path), tmp_path)
    file = tmp_path / "ccproxy.service"
    file.write_bytes(made.content)
    command = [str(ANALYZE), "verify", "--user", str(file)]
    env = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_launchd_reads_back_what_is_to_run(tmp_path: Path) -> None:
    wanted = job(tmp_path)
    read = plistlib.loads(launchd(wanted, tmp_path).content)
    assert tuple(read["ProgramArguments"]) == wanted.command
    assert read["EnvironmentVariables"] == wanted.variables
    assert read["WorkingDirectory"] == str(wanted.folder)
    assert read["KeepAlive"] == {"SuccessfulExit": False}


def test_windows_reads_back_what_is_to_run(tmp_path: Path) -> None:
    wanted = job(tmp_path)
    made = scheduled_task(wanted)
    assert made.content[:2] in (b"\xff\xfe", b"\xfe\xff")
    names = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
    task = ElementTree.fromstring(made.content)  # noqa: S314 (made here)
    assert task.findtext("t:Actions/t:Exec/t:WorkingDirectory", None, names) == str(wanted.folder)
    arguments = task.findtext("t:Actions/t:Exec/t:Arguments", None, names)
    assert arguments is not None
    doubled = ODD.replace("'", "''").replace('"', '\\"')
    assert f"'{doubled}'" in arguments and arguments.endswith('exit $LASTEXITCODE"')
    assert task.findtext("t:Settings/t:ExecutionTimeLimit", None, names) == "PT0S"


def test_no_key_gets_into_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from addon.cli.service import job as job_here
    from addon.core.settings import Settings

    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-api03-secret")
    monkeypatch.setenv("CCPROXY_HOME", str(tmp_path))
    of = job_here(Settings.from_env({}), "run")
    for platform in ("linux", "darwin", "win32"):
        made = for_this_system(of, tmp_path, platform)
        content = made.content.decode("utf-16" if platform == "win32" else "utf-8")
        assert "sk-ant-api03-secret" not in content and str(tmp_path) in content
    named = not_in_file(
        {"ANTHROPIC_API_KEY": "", "PORT": "1", "CCPROXY_HOME": "", "SHELL": ""}, ["PORT"]
    )
    assert named == ["ANTHROPIC_API_KEY"]


SYSTEMCTL = f"""#!{sys.executable}
# Does with the unit what systemd would: starts its command in its folder, with its variables alone.
import os, pathlib, re, shlex, signal, subprocess, sys

home = pathlib.Path(os.environ["HOME"])
unit = (home / ".config/systemd/user/ccproxy.service").read_text()
pid = home / "pid"
_, user, verb, *rest = sys.argv
with (home / "calls").open("a") as calls:
    print(verb, *rest, file=calls)
assert user == "--user"
if verb == "restart":
    value = lambda name: re.findall(f"^{{name}}=(.*)$", unit, re.M)
    env = dict(shlex.split(line)[0].split("=", 1) for line in value("Environment"))
    log = (home / "log").open("w")
    started = subprocess.Popen(shlex.split(value("ExecStart")[0]), cwd=value("WorkingDirectory")[0],
                               env=env | {{"HOME": str(home)}}, stdout=log, stderr=log)
    pid.write_text(str(started.pid))
elif verb == "disable" and pid.exists():  # like launchctl, it does not wait for the end
    os.kill(int(pid.read_text()), signal.SIGSTOP)
    later = f"sleep 1; kill -CONT {{pid.read_text()}}; kill {{pid.read_text()}}"
    subprocess.Popen(["sh", "-c", later], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pid.unlink()
elif verb == "status":
    print("active (running)" if pid.exists() else "inactive")
"""


class Machine:
    """A user's home, with a checkout and a systemd of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder
        self.port = free_port()
        self.checkout = folder / "my ccproxy"
        shutil.copytree(
            ROOT / "addon", self.checkout / "addon", ignore=shutil.ignore_patterns("__pycache__")
        )
        for name in ("ccproxy_addon.py", "pyproject.toml", "requirements.txt"):
            shutil.copy(ROOT / name, self.checkout)
        (self.checkout / "requirements.lock").write_text("--no-index\n")
        (folder / "bin").mkdir()
        (folder / "bin" / "systemctl").write_text(SYSTEMCTL)
        (folder / "bin" / "systemctl").chmod(0o755)
        (self.checkout / ".env").write_text(f"PORT={self.port}\nANTHROPIC_API_KEY=sk-ant-api03-x\n")

    def service(self, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(self.checkout / "addon" / "cli"), "service", *arguments]
        env = {"HOME": str(self.home), "PATH": f"{self.home / 'bin'}:/usr/bin:/bin"}
        return subprocess.run(
            command, env=env, input=answer, capture_output=True, text=True, check=False, timeout=60
        )

    @property
    def unit(self) -> Path:
        return self.home / ".config/systemd/user/ccproxy.service"

    def calls(self) -> list[str]:
        return (self.home / "calls").read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    pid = tmp_path / "pid"
    if pid.exists():
        os.kill(int(pid.read_text()), signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="systemd")
def test_a_service_is_installed_runs_and_goes(machine: Machine) -> None:
    assert machine.service("status").returncode == 1
    assert machine.service("install").returncode == 1 and not machine.unit.exists()

    ended = machine.service("install", "--yes")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (
        "ExecStart=" in ended.stdout and "systemctl --user enable ccproxy.service" in ended.stdout
    )
    assert machine.calls() == ["daemon-reload", "enable ccproxy.service", "restart ccproxy.service"]
    assert machine.unit.stat().st_mode & 0o777 == 0o600
    health = httpx.get(f"http://127.0.0.1:{machine.port}/health", trust_env=False)
    assert health.status_code == 200
    shown = machine.service("status")
    assert (
        shown.returncode == 0 and "active (running)" in shown.stdout and "responds" in shown.stdout
    )

    again = machine.service("install", "--yes")  # with the port taken by itself
    assert again.returncode == 0, again.stdout + again.stderr

    assert machine.service("uninstall").returncode == 0
    assert not machine.unit.exists() and machine.calls()[-1] == "disable --now ccproxy.service"
    assert (machine.checkout / ".env").exists()
    assert machine.service("uninstall").returncode == 1


@pytest.mark.skipif(sys.platform != "linux", reason="systemd")
def test_a_system_without_systemd_is_told_of_other_ways(machine: Machine) -> None:
    (machine.home / "bin" / "systemctl").write_text("#!/bin/sh\nexit 1\n")
    ended = machine.service("install", "--yes")
    assert ended.returncode == 1
    assert "systemctl --user daemon-reload failed with 1" in ended.stderr
