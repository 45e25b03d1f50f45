"""`mitmdump -s ccproxy_addon.py --mode reverse:…` alone is right and safe."""

from __future__ import annotations

import fcntl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import OWN_PORT, Proxy, chat
from tests.processes import open_files


@pytest.fixture(autouse=True)
def port_8080() -> Iterator[None]:
    """mitmproxy binds its default port for a moment; only one test at a time can have it."""
    with (Path(tempfile.gettempdir()) / "ccproxy-test-8080.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def listening(pid: int) -> set[str]:
    """`address:port` of every socket that the process listens on, as /proc/net writes them."""
    inodes = {str(file).removeprefix("socket:[").removesuffix("]") for file in open_files(pid)}
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return {row[1] for row in rows if row[3] == "0A" and row[9] in inodes}


def test_it_listens_on_this_machine_alone(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(launch=False)
    assert proxy.process is not None
    port = f"{proxy.port:04X}"
    assert fake.wait_until(lambda: len(listening(proxy.process.pid)) == 2)  # type: ignore[union-attr]
    assert listening(proxy.process.pid) == {
        f"0100007F:{port}",
        f"00000000000000000000000001000000:{port}",
    }


def test_it_serves_as_the_launcher_does(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(launch=False)
    assert proxy.post("/v1/chat/completions", chat()).status_code == 200
    assert proxy.get("/health", headers={"host": "evil.example"}).status_code == 421
    assert (
        proxy.post("/v1/messages", content=b" " * 10)
        .headers["content-type"]
        .startswith("application/json")
    )
    assert len(fake.requests) == 1


@pytest.mark.parametrize("launch", [False, True], ids=["plain", "launched"])
def test_garbage_is_collected_once_it_runs(
    fake: FakeAnthropic, start_proxy: StartProxy, tmp_path: Path, launch: bool
) -> None:
    script, told = tmp_path / "tell.py", tmp_path / "told"
    script.write_text(
        "import gc, pathlib\n"
        f"def running(): pathlib.Path({str(told)!r}).write_text(str(gc.isenabled()))\n"
    )
    start_proxy(launch=launch, arguments=["-s", str(script)])
    assert fake.wait_until(lambda: told.exists() and told.read_text() == "True")


def test_an_address_of_the_users_own_is_kept(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy(launch=False, mode=OWN_PORT)
    assert proxy.process is not None
    assert listening(proxy.process.pid) == {f"0100007F:{proxy.port:04X}"}


def refused_to_start(env: dict[str, str], fake: FakeAnthropic) -> tuple[int, str]:
    """Exit code and output of a plain mitmdump that ought to end by itself."""
    proxy = Proxy(fake.url, launch=False, **env)
    ended = subprocess.run(
        proxy.command(),
        env=proxy.env,
        cwd=proxy.home,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_bad_settings_are_named_together(fake: FakeAnthropic) -> None:
    bad = {"FALLBACK": "maybe", "CONTEXT_MAX_TOKENS": "lots", "KEEPALIVE_SECONDS": "-1"}
    code, output = refused_to_start(bad, fake)
    assert code != 0
    for name, value in bad.items():
        assert name in output and value in output
    assert "Traceback" not in output
    assert not fake.connections


@pytest.mark.thorough
def test_each_says_what_is_allowed(fake: FakeAnthropic) -> None:
    code, output = refused_to_start({"OPENAI_BASE_URL": "no url", "PORT": "70000"}, fake)
    assert code != 0
    assert "OPENAI_BASE_URL" in output and "PORT: '70000' is not allowed" in output


def test_a_mitmproxy_without_our_packages_says_what_to_install(
    fake: FakeAnthropic, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['orjson'] = None")
    proxy = Proxy(fake.url, launch=False, fork=False, PYTHONPATH=str(tmp_path))
    with pytest.raises(AssertionError, match="did not come up") as ended, proxy:
        pass
    said = str(ended.value)
    assert "has no orjson" in said and "-m pip install -r" in said and "requirements.txt" in said
    assert "Traceback" not in said
