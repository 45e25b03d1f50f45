"""mitmdump without what does nothing here: as it is, and with options that give an addon work."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.certs import CertStore
from mitmproxy.hooks import DoneHook, RunningHook
from mitmproxy.options import CONF_BASENAME, Options
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.tls import TlsStartClientHook
from mitmproxy.test.tflow import tclient_conn
from mitmproxy.tls import TlsData
from mitmproxy.tools.dump import DumpMaster

from addon.addons.mitmproxy_tuning import (
    CONNECTIONS,
    IDLE_WITHOUT,
    drop_idle_addons,
    read_authority_late,
    replace_streams,
    silence_connections,
)
from tests.masters import masters_end


@asynccontextmanager
async def mitmdump(**given: Any) -> AsyncIterator[DumpMaster]:
    with masters_end():
        master = DumpMaster(Options(), with_dumper=True)
        master.options.update(**{"flow_detail": 0, "onboarding": False, **given})
        yield master
        await master.addons.trigger_event(DoneHook())


async def remaining(**given: Any) -> set[str]:
    async with mitmdump(**given) as master:
        drop_idle_addons(master.addons, master.options)
        return set(master.addons.lookup)


async def test_every_name_is_one_of_mitmproxys() -> None:
    async with mitmdump() as master:
        assert set(IDLE_WITHOUT) <= set(master.addons.lookup)
        needed = {option for options in IDLE_WITHOUT.values() for option in options}
        assert needed <= set(master.options.keys())


async def test_what_serves_connections_stays() -> None:
    needed = {"block", "clientplayback", "core", "errorcheck", "nextlayer", "proxyserver"}
    assert await remaining() >= {*needed, "scriptloader", "tlsconfig"}
    assert not await remaining() & set(IDLE_WITHOUT)


@pytest.mark.parametrize(
    ("option", "value", "addon"),
    [
        ("modify_headers", ["/~q/x-asked/by-the-user"], "modifyheaders"),
        ("anticache", True, "anticache"),
        ("flow_detail", 1, "dumper"),
        ("block_list", [":~u ads:404"], "blocklist"),
    ],
)
async def test_an_addon_with_work_stays(option: str, value: Any, addon: str) -> None:
    assert addon in await remaining(**{option: value})


@pytest.mark.parametrize("made_before", [False, True])
async def test_the_authority_is_made_at_once_and_read_when_a_client_speaks_tls(
    tmp_path: Path, made_before: bool
) -> None:
    if made_before:
        CertStore.from_store(tmp_path, CONF_BASENAME, 2048)
    options = Options(confdir=str(tmp_path))  # as if it were the default: mitmproxy tells no addon
    with masters_end():
        master = DumpMaster(options)
        read_authority_late(master.addons, options)
        await master.addons.trigger_event(RunningHook())
        tlsconfig = master.addons.get("tlsconfig")
        assert (tlsconfig.certstore is None) is made_before
        context = Context(tclient_conn(), options)
        start = TlsData(context.client, context)
        await master.addons.trigger_event(TlsStartClientHook(start))
        assert start.ssl_conn
        await master.addons.trigger_event(DoneHook())


@pytest.mark.parametrize(("verbosity", "heard"), [("warn", False), ("info", True), ("debug", True)])
async def test_connections_are_logged_when_someone_reads_it(verbosity: str, heard: bool) -> None:
    logger = logging.getLogger(CONNECTIONS)
    before = logger.level
    async with mitmdump(termlog_verbosity=verbosity) as master:
        logger.setLevel(logging.INFO)
        silence_connections(master.options)
        heard_now = logger.isEnabledFor(logging.INFO)
    logger.setLevel(before)
    assert heard_now is heard


READS = """
import asyncio, linecache, resource
from addon.addons.mitmproxy_tuning import settle_memory

async def main():
    async def echo(reader, writer):
        while data := await reader.read(65535):
            writer.write(data)

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for warm in (True, False):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(500):
            writer.write(b"x" * 200)
            await reader.readexactly(200)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    writer.close()

settle_memory()
assert not linecache.cache, "source that nobody reads"
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_a_read_of_a_few_bytes_asks_the_system_for_no_memory() -> None:
    """Page faults of a thousand small reads: there was one or more for each."""
    command = [sys.executable, "-c", READS]
    assert int(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout) < 300


async def test_mitmproxys_own_lines_go_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        monkeypatch.setattr(sys, name, stream)
    with masters_end():
        master = DumpMaster(Options(), with_termlog=True, with_dumper=True)
        writers = list(replace_streams(master.addons))
        assert [writer.name for writer in writers] == ["stdout", "stderr"]
        assert master.addons.get("termlog").logger.file is sys.stdout
        assert master.addons.get("dumper").outfp is sys.stdout
        for writer in writers:
            writer.close()


async def test_a_program_that_draws_on_stdout_keeps_it() -> None:
    with masters_end():
        master = DumpMaster(Options(), with_termlog=False)
        assert list(replace_streams(master.addons)) == []
