"""Refreshes that fail at no cost, and those whose login could not be saved."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.credentials.samples import HOUR, NOW, document, read, write
from tests.credentials.world import Answer, World, breaks, error_of, says


@pytest.mark.parametrize(
    "failure",
    [says(500), says(503), breaks(httpx.ConnectError), breaks(httpx.ConnectTimeout)],
    ids=["500", "503", "refused", "connect timeout"],
)
async def test_what_did_not_spend_the_token_is_tried_twice_more(
    world: World, failure: Answer
) -> None:
    world.log_in()
    world.server.answers = [failure, failure]
    assert await world.login.access_token() == "access-4"
    assert world.time.passed < 2

    world.log_in(name="later")
    world.server.answers = [failure] * 3
    assert (await error_of(world)).kind == "network"
    assert (await error_of(world)).kind == "network"
    assert len(world.server.posts) == 6


def grants_and_breaks_the_file(world: World) -> Answer:
    """The refresh succeeds, but its login cannot be saved: the file is half written by somebody."""

    def answer(_: httpx.Request) -> httpx.Response:
        world.file.write_bytes(b"{half")
        return world.server.grant()

    return answer


async def test_a_login_that_cannot_be_saved_is_kept_in_memory_and_beside_the_file(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.log_in()
    before = world.file.read_bytes()
    world.server.answers = [grants_and_breaks_the_file(world)]
    assert await world.login.access_token() == "access-2"
    assert world.login.status().degraded
    assert world.file.read_bytes() == b"{half"
    assert stat.S_IMODE(world.unsaved.stat().st_mode) == 0o600
    assert read(world.unsaved)["claudeAiOauth"]["refreshToken"] == "refresh-2"
    assert str(world.unsaved) in caplog.text
    assert "refresh-2" not in caplog.text

    world.file.write_bytes(before)
    world.time.advance(2)
    assert await world.login.access_token() == "access-2"
    await world.login.drain()
    assert world.stored()["refreshToken"] == "refresh-2"
    assert not world.unsaved.exists()
    assert not world.login.status().degraded
    assert len(world.server.posts) == 1


async def test_before_the_end_an_unsaved_login_is_tried_to_be_saved_once_more(world: World) -> None:
    world.log_in()
    before = world.file.read_bytes()
    world.server.answers = [grants_and_breaks_the_file(world)]
    await world.login.access_token()
    world.file.write_bytes(before)
    await world.login.drain()
    assert world.stored()["accessToken"] == "access-2"


async def test_an_unsaved_login_gives_way_to_a_new_one(world: World) -> None:
    world.log_in()
    world.server.answers = [grants_and_breaks_the_file(world)]
    await world.login.access_token()
    world.log_in(HOUR, name="new")
    assert await world.login.access_token() == "access-new"
    assert not world.login.status().degraded


async def test_an_unsaved_login_is_never_renewed_by_the_spent_one_on_disk(world: World) -> None:
    world.log_in()
    before = world.file.read_bytes()
    world.server.answers = [grants_and_breaks_the_file(world)]
    await world.login.access_token()
    world.time.advance(9 * HOUR)
    assert (await error_of(world)).kind == "unwritable"
    assert len(world.server.posts) == 1
    world.file.write_bytes(before)
    world.time.advance(600)
    assert await world.login.access_token() == "access-3"
    assert world.server.posts[1]["refresh_token"] == "refresh-2"


async def test_a_login_from_the_keychain_goes_back_to_the_keychain(
    tmp_path: Path, fake_security: Callable[[Path], Path]
) -> None:
    keychain = tmp_path / "keychain"
    keychain.mkdir()
    items = keychain / "items.json"
    item = "me|Claude Code-credentials"
    items.write_text(json.dumps({item: json.dumps(document(expires_at=NOW - 1))}))
    world = World(tmp_path, platform="darwin", security=fake_security(keychain))
    assert await world.login.access_token() == "access-2"
    saved = json.loads(json.loads(items.read_text())[item])
    assert saved == document("access-2", "refresh-2", NOW + 28800)
    assert not world.file.exists()
    assert world.login.status().source == "keychain"
    arguments = (keychain / "argv.log").read_text()
    assert "access-2" not in arguments
    assert "refresh-2" not in arguments


async def test_who_logs_out_during_a_refresh_stays_logged_out(world: World) -> None:
    world.log_in()

    def log_out(_: httpx.Request) -> httpx.Response:
        write(world.file, {"mcpOAuth": {}})
        return world.server.grant()

    world.server.answers = [log_out]
    assert (await error_of(world)).kind == "missing"
    assert read(world.file) == {"mcpOAuth": {}}


async def test_who_logs_in_during_a_refresh_keeps_that_login(world: World) -> None:
    world.log_in()

    def log_in(_: httpx.Request) -> httpx.Response:
        world.log_in(HOUR, name="new")
        return world.server.grant()

    world.server.answers = [log_in]
    assert await world.login.access_token() == "access-new"
    assert world.stored()["accessToken"] == "access-new"


async def test_the_write_does_not_wait_for_ever_for_claude_codes_write_lock(world: World) -> None:
    world.log_in()
    lock = world.folder / ".storage-write.lock"
    lock.mkdir()
    os.utime(lock, (NOW + HOUR, NOW + HOUR))
    assert await world.login.access_token() == "access-2"
    assert world.stored()["accessToken"] == "access-2"
    assert 10 <= world.time.passed < 12
    assert lock.exists()
