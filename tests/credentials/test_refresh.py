"""The normal course of a login, and what /health shows of it."""

from __future__ import annotations

import asyncio
import errno
import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from addon.core.types import JsonObject
from addon.credentials.credential import CredentialError, Grant, merged
from addon.credentials.locks import AllLocks
from addon.credentials.login import StaticLogin
from addon.credentials.refresher import Refresher
from addon.credentials.store import FileStore, LoginStores
from addon.credentials.stored_login import SharedLogin
from addon.credentials.token_endpoint import CLIENT_ID, TokenEndpoint
from tests.credentials.samples import HOUR, NOW, document, read, write
from tests.credentials.world import World, error_of, says


async def test_a_valid_token_is_served_without_a_post(world: World) -> None:
    world.log_in(HOUR)
    assert [await world.login.access_token() for _ in range(3)] == ["access-1"] * 3
    assert world.server.posts == []


class CountingStore(FileStore):
    loads = 0

    def load(self) -> JsonObject | None:
        self.loads += 1
        return super().load()


async def test_a_valid_token_is_served_from_memory(world: World) -> None:
    world.log_in(HOUR)
    store, unlocked = CountingStore(world.file), AllLocks([])
    stores = LoginStores([store])
    endpoint = TokenEndpoint("https://token.example", world.server.http)
    refresher = Refresher(stores, endpoint, locks=unlocked, write_lock=unlocked)
    login = SharedLogin(stores, refresher, world.time.clock)
    tokens = await asyncio.gather(*(login.access_token() for _ in range(50)))
    assert tokens == ["access-1"] * 50
    assert store.loads == 1


async def test_a_new_login_counts_at_once(world: World) -> None:
    world.log_in(HOUR)
    await world.login.access_token()
    world.log_in(HOUR, name="new")
    assert await world.login.access_token() == "access-new"


class FailingDisk:
    """A file that is there but cannot be opened, as with no descriptor left. Counts how often it is tried."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failing = True
        self.reads = 0
        self.meanwhile: Callable[[], object] = lambda: None
        self._really = Path.read_bytes
        monkeypatch.setattr(Path, "read_bytes", lambda path: self._read(path))

    def _read(self, path: Path) -> bytes:
        self.reads += 1
        self.meanwhile()
        if self.failing:
            raise OSError(errno.EMFILE, "Too many open files")
        return self._really(path)


async def test_a_login_that_could_not_be_read_is_read_when_it_can_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.log_in(HOUR)
    await world.login.access_token()
    world.log_in(HOUR, name="new")
    disk = FailingDisk(monkeypatch)
    assert "Too many open files" in (await error_of(world)).message
    disk.failing = False
    world.time.advance(2)
    assert await world.login.access_token() == "access-new"
    world.time.advance(2)
    assert await world.login.access_token() == "access-new"
    assert disk.reads == 4 + 1


async def test_a_file_that_stays_unreadable_does_not_hold_up_each_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.log_in(HOUR)
    disk = FailingDisk(monkeypatch)
    messages = {(await error_of(world)).message for _ in range(5)}
    assert len(messages) == 1
    assert (disk.reads, world.time.passed < 1) == (4, True)
    world.log_in(HOUR, name="newer")
    disk.failing = False
    assert await world.login.access_token() == "access-newer"


async def test_a_client_that_leaves_amid_the_second_reading_does_not_end_the_third(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.log_in(HOUR)
    disk = FailingDisk(monkeypatch)
    await error_of(world)
    world.time.advance(2)
    loop, request = asyncio.get_running_loop(), asyncio.create_task(world.login.access_token())
    disk.meanwhile = lambda: loop.call_soon_threadsafe(request.cancel)
    with pytest.raises(asyncio.CancelledError):
        await request
    disk.failing, disk.meanwhile = False, lambda: None
    assert await world.login.access_token() == "access-1"


async def test_a_wrong_content_is_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.folder.mkdir()
    world.file.write_bytes(b"{half")
    disk = FailingDisk(monkeypatch)
    disk.failing = False
    for _ in range(3):
        await error_of(world)
        world.time.advance(60)
    assert disk.reads == 4


async def test_an_expired_token_is_refreshed_and_kept_with_all_other_fields(world: World) -> None:
    world.log_in()
    before = read(world.file)
    assert await world.login.access_token() == "access-2"
    after = read(world.file)
    expected = document("access-2", "refresh-2", NOW + 28800)
    assert after == expected
    assert list(after) == list(before)
    assert list(after["claudeAiOauth"]) == list(before["claudeAiOauth"])
    assert world.locks_left() == []


async def test_the_request_has_the_stored_scopes_and_claude_codes_client_id(world: World) -> None:
    world.log_in()
    await world.login.access_token()
    assert world.server.posts == [
        {
            "grant_type": "refresh_token",
            "refresh_token": "refresh-1",
            "client_id": "9d1c250a-e61b-44d9-88ed-5944d1962f5e",
            "scope": "user:inference user:profile",
        }
    ]


async def test_a_login_without_scopes_asks_for_none(world: World) -> None:
    content = document(expires_at=NOW - 1)
    del content["claudeAiOauth"]["scopes"]
    write(world.file, content)
    await world.login.access_token()
    assert "scope" not in world.server.posts[0]


async def test_near_its_end_a_token_is_served_while_the_next_is_fetched(world: World) -> None:
    world.log_in(200)
    assert await world.login.access_token() == "access-1"
    await world.login.drain()
    assert await world.login.access_token() == "access-2"
    assert len(world.server.posts) == 1


async def test_a_failed_early_refresh_disturbs_nobody_while_the_token_lives(world: World) -> None:
    world.log_in(200)
    world.server.answers = [says(429)]
    for _ in range(5):
        assert await world.login.access_token() == "access-1"
        await world.login.drain()
    assert len(world.server.posts) == 1


async def test_a_token_that_lives_shorter_than_the_margin_is_not_refreshed_for_ever(
    world: World,
) -> None:
    world.log_in()
    world.server.answers = [lambda _: world.server.grant(expires_in=60)]
    for _ in range(5):
        assert await world.login.access_token() == "access-2"
        await world.login.drain()
    assert len(world.server.posts) == 1


async def test_a_linked_file_stays_a_link_and_keeps_its_mode(world: World, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "claude.json"
    write(real, document(expires_at=NOW - 1))
    real.chmod(0o640)
    world.folder.mkdir()
    world.file.symlink_to(real)
    await world.login.access_token()
    assert world.file.is_symlink()
    assert read(real)["claudeAiOauth"]["accessToken"] == "access-2"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert [path.name for path in real.parent.iterdir()] == ["claude.json"]


async def test_no_refresh_token_means_login_again(world: World) -> None:
    write(world.file, document(refresh=None, expires_at=NOW - 1))
    error = await error_of(world)
    assert (error.kind, len(world.server.posts)) == ("expired", 0)


async def test_an_unknown_expiry_is_believed_until_a_401(world: World) -> None:
    write(world.file, document(expires_at=NOW + 500 * 86400))
    assert await world.login.access_token() == "access-1"
    assert await world.login.access_token(force_refresh_of="access-1") == "access-2"


async def test_the_status_before_anything_was_read_triggers_nothing(world: World) -> None:
    world.log_in()
    status = world.login.status()
    assert status.source is None
    assert world.server.posts == []


async def test_the_status_shows_times_and_no_secrets(world: World) -> None:
    world.log_in(HOUR)
    await world.login.read()
    status = world.login.status()
    assert status.source == "file"
    assert status.expires_at == NOW + HOUR
    assert status.next_refresh == NOW + HOUR - 330
    assert status.refresh_token_expires_at == NOW + 30 * 86400
    assert status.subscription_type == "max"
    assert (status.last_error, status.degraded) == (None, False)
    assert "access-1" not in repr(status)


async def test_a_file_that_appears_later_is_found(world: World) -> None:
    assert (await error_of(world)).kind == "missing"
    assert world.login.status().last_error == "missing"
    world.log_in(HOUR)
    assert await world.login.access_token() == "access-1"


async def test_a_token_from_the_environment_is_never_refreshed() -> None:
    login = StaticLogin("sk-static")
    assert await login.access_token() == "sk-static"
    assert (await login.read()).source == "environment"
    for force in ("sk-static", None):
        with pytest.raises(CredentialError, match="claude setup-token") as caught:
            await login.access_token(force)
        assert caught.value.kind == "expired"
    assert login.status().last_error == "expired"


async def test_neighbours_as_deep_as_they_come_are_kept(world: World) -> None:
    world.log_in()
    deep = json.loads('{"a":' * 900 + "1" + "}" * 900)
    write(world.file, read(world.file) | {"mcpOAuth": deep})
    assert await world.login.access_token() == "access-2"
    assert json.dumps(read(world.file)["mcpOAuth"]) == json.dumps(deep)


async def test_a_stored_refresh_token_that_is_none_is_not_posted(world: World) -> None:
    world.log_in()
    content = read(world.file)
    content["claudeAiOauth"] |= {"refreshToken": "\ud800"}
    write(world.file, content)
    assert (await error_of(world)).kind == "expired"
    assert world.server.posts == []


async def test_scopes_that_no_request_can_carry_are_left_out(world: World) -> None:
    world.log_in()
    content = read(world.file)
    content["claudeAiOauth"] |= {"scopes": ["user:inference", "\ud800"], "clientId": "\ud800"}
    write(world.file, content)
    assert await world.login.access_token() == "access-2"
    assert world.server.posts[0]["scope"] == "user:inference"
    assert world.server.posts[0]["client_id"] == CLIENT_ID


def test_merging_leaves_the_original_document_alone() -> None:
    original = document()
    merged(original, Grant(access_token="a", expires_in=1), NOW)
    assert original == document()
