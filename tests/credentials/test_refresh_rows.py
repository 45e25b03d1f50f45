"""What can go wrong with a refresh, row by row: O2 to O15."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from tests.credentials.samples import HOUR, NOW, document, write
from tests.credentials.world import Answer, World, breaks, error_of, says


async def test_o2_we_wait_for_claude_code_and_take_its_token(world: World) -> None:
    world.log_in()
    world.lock.mkdir()

    def claude_code_finishes() -> None:
        world.log_in(HOUR, name="cli")
        world.lock.rmdir()

    world.time.at(20, claude_code_finishes)
    assert await world.login.access_token() == "access-cli"
    assert world.server.posts == []
    assert 20 <= world.time.passed < 23


async def test_o2_a_lock_that_is_never_given_back_ends_in_a_clear_error(world: World) -> None:
    world.log_in()
    world.lock.mkdir()

    def claude_code_lives() -> None:
        os.utime(world.lock, (world.time.clock.wall(),) * 2)
        world.time.at(world.time.passed + 5, claude_code_lives)

    claude_code_lives()
    error = await error_of(world)
    assert error.kind == "lock_timeout"
    assert world.server.posts == []
    assert world.lock.exists()


@pytest.mark.parametrize("name", ["claude.lock", "claude/.credentials.json.lock"])
async def test_o2_the_other_locks_are_waited_for_as_well(world: World, name: str) -> None:
    world.log_in()
    lock = world.folder.parent / name
    if lock.name == "claude.lock":
        lock.mkdir()
        os.utime(lock, (NOW, NOW))
    else:
        lock.write_text(str(int(NOW * 1000)))
    world.time.at(10, lambda: lock.rmdir() if lock.is_dir() else lock.unlink())
    assert await world.login.access_token() == "access-2"
    assert 10 <= world.time.passed < 13


async def test_o5_fifty_requests_with_an_expired_token_make_one_post(world: World) -> None:
    world.log_in()
    tokens = await asyncio.gather(*(world.login.access_token() for _ in range(50)))
    assert tokens == ["access-2"] * 50
    assert len(world.server.posts) == 1


async def test_o5_two_instances_make_one_post(world: World) -> None:
    world.log_in()
    world.time.still = True
    other = world.new_login()
    tokens = await asyncio.gather(world.login.access_token(), other.access_token())
    assert tokens == ["access-2"] * 2
    assert len(world.server.posts) == 1


async def test_o6_a_token_that_another_process_got_is_taken(world: World) -> None:
    world.log_in(10)
    await world.login.read()
    world.time.advance(20)
    world.log_in(HOUR, name="other")
    assert await world.login.access_token() == "access-other"
    assert world.server.posts == []


async def test_o7_invalid_grant_is_asked_once_and_leaves_the_file_alone(world: World) -> None:
    world.log_in()
    before = world.file.read_bytes()
    world.server.answers = [says(400, {"error": "invalid_grant"})] * 2
    for _ in range(3):
        error = await error_of(world)
        assert error.kind == "invalid_grant"
        assert "claude /login" in error.message
    assert len(world.server.posts) == 1
    assert world.file.read_bytes() == before
    assert world.login.status().last_error == "invalid_grant"
    world.time.advance(7 * 86400)
    await error_of(world)
    assert len(world.server.posts) == 1


async def test_o7_after_a_new_login_all_is_forgotten(world: World) -> None:
    world.log_in()
    world.server.answers = [says(400, {"error": "invalid_grant"})]
    await error_of(world)
    world.log_in(HOUR, name="new")
    assert await world.login.access_token() == "access-new"
    assert world.login.status().last_error is None
    assert not world.login.status().degraded


@pytest.mark.parametrize(("seconds", "posts"), [(HOUR, 1), (-1, 2)], ids=["valid", "expired"])
async def test_o7_a_login_that_appears_while_the_old_one_is_refused_is_used(
    world: World, seconds: float, posts: int
) -> None:
    world.log_in()

    def refuse(_: httpx.Request) -> httpx.Response:
        world.log_in(seconds, name="new")
        return httpx.Response(400, json={"error": "invalid_grant"})

    world.server.answers = [refuse]
    assert await world.login.access_token() == ("access-new" if posts == 1 else "access-3")
    assert len(world.server.posts) == posts


async def test_o7_a_refusal_is_one_whatever_its_body(world: World) -> None:
    world.log_in()
    world.server.answers = [lambda _: httpx.Response(400, text="[" * 60_000)]
    assert [(await error_of(world)).kind for _ in range(2)] == ["invalid_grant"] * 2
    assert len(world.server.posts) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_o7_other_refusals_are_no_reason_to_try_again(world: World, status: int) -> None:
    world.log_in()
    world.server.answers = [says(status, {"error": {"type": "x", "message": "refresh-1"}})]
    errors = [await error_of(world) for _ in range(3)]
    assert {error.kind for error in errors} == {"invalid_grant"}
    assert len(world.server.posts) == 1
    assert "refresh-1" not in errors[0].message


LONE = '{"access_token": "a", "refresh_token": "\\ud800"}'
UNKNOWN = [
    pytest.param(breaks(httpx.ReadError), id="cut"),
    pytest.param(breaks(httpx.ReadTimeout), id="timeout"),
    pytest.param(breaks(httpx.RemoteProtocolError), id="closed without an answer"),
    pytest.param(breaks(httpx.WriteError), id="cut while sending"),
    pytest.param(lambda _: httpx.Response(200, text="<html>"), id="200 that is no JSON"),
    pytest.param(says(200, {"access_token": ""}), id="200 without a token"),
    pytest.param(lambda _: httpx.Response(200, text="[" * 60_000), id="200 with deep JSON"),
    pytest.param(says(200, {"access_token": "a\r\nhost: b"}), id="a token with a line break"),
    pytest.param(says(200, {"access_token": "a b"}), id="a token with a space"),
    pytest.param(says(200, {"access_token": "é"}), id="a token that is not ASCII"),
    pytest.param(lambda _: httpx.Response(200, text=LONE), id="a token that is no text"),
    pytest.param(
        lambda _: httpx.Response(200, text='{"access_token": "a", "expires_in": 1e400}'),
        id="a number without end",
    ),
    pytest.param(
        says(200, {"access_token": "a", "refresh_token": "b\n"}), id="a refresh token with one"
    ),
    pytest.param(lambda _: httpx.Response(200, text="x" * 70_000), id="200 without an end"),
]


@pytest.mark.parametrize("answer", UNKNOWN)
async def test_o8_an_unknown_outcome_is_not_tried_again_for_a_minute(
    world: World, answer: Answer
) -> None:
    world.log_in()
    before = world.file.read_bytes()
    world.server.answers = [answer]
    for _ in range(59):
        assert (await error_of(world)).kind == "unknown_outcome"
        world.time.advance(1)
    assert len(world.server.posts) == 1
    assert world.file.read_bytes() == before
    world.time.advance(1)
    assert await world.login.access_token() == "access-3"


async def test_o8_meanwhile_a_token_that_somebody_else_wrote_is_taken(world: World) -> None:
    world.log_in()
    world.server.answers = [breaks(httpx.ReadError)]
    await error_of(world)
    world.log_in(HOUR, name="other")
    assert await world.login.access_token() == "access-other"
    assert len(world.server.posts) == 1


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write everywhere, so it steps down for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_world() -> Iterator[World]:
    """A world that other users can look into."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield World(Path(name))


async def test_o9_in_a_folder_that_cannot_be_written_nothing_is_posted(open_world: World) -> None:
    world = open_world
    world.log_in()
    world.file.chmod(0o644)
    world.home.mkdir()
    world.home.chmod(0o777)
    world.folder.chmod(0o555)
    with unprivileged():
        error = await error_of(world)
    assert error.kind == "unwritable"
    assert str(world.folder) in error.message
    assert world.login.status().degraded
    assert world.server.posts == []
    world.folder.chmod(0o755)


async def test_o9_a_linked_file_in_a_folder_that_cannot_be_written(open_world: World) -> None:
    world = open_world
    real = world.home / "real" / "c.json"
    write(real, document(expires_at=NOW - 1))
    real.chmod(0o644)
    world.folder.mkdir()
    world.file.symlink_to(real)
    world.folder.chmod(0o777)
    world.folder.parent.chmod(0o777)
    world.home.chmod(0o777)
    real.parent.chmod(0o555)
    with unprivileged():
        error = await error_of(world)
    assert error.kind == "unwritable"
    assert world.server.posts == []
    real.parent.chmod(0o755)


async def test_o9_a_token_that_lives_is_served_from_a_folder_that_cannot_be_written(
    open_world: World,
) -> None:
    world = open_world
    world.log_in(100)
    world.file.chmod(0o644)
    world.folder.chmod(0o555)
    with unprivileged():
        assert await world.login.access_token() == "access-1"
        await world.login.drain()
        assert await world.login.access_token() == "access-1"
    assert world.server.posts == []
    world.folder.chmod(0o755)


async def test_o11_an_answer_without_refresh_token_and_lifetime(world: World) -> None:
    world.log_in()
    world.server.answers = [lambda _: world.server.grant(refresh_token=None, expires_in=None)]
    assert await world.login.access_token() == "access-2"
    assert world.stored()["refreshToken"] == "refresh-1"
    assert world.stored()["expiresAt"] == int((NOW + 3600) * 1000)


@pytest.mark.parametrize("lifetime", ["8h", -1, True, 1e300])
async def test_o11_a_lifetime_that_makes_no_sense_is_an_hour(
    world: World, lifetime: object
) -> None:
    world.log_in()
    world.server.answers = [
        lambda _: httpx.Response(
            200, text=f'{{"access_token": "a", "expires_in": {json_text(lifetime)}}}'
        )
    ]
    await world.login.access_token()
    assert world.stored()["expiresAt"] == int((NOW + 3600) * 1000)


def json_text(value: object) -> str:
    return (
        f'"{value}"'
        if isinstance(value, str)
        else str(value).replace("True", "true").replace("inf", "1e999")
    )


async def test_o12_clients_that_leave_cancel_no_refresh(world: World) -> None:
    world.log_in()
    posted, answer = asyncio.Event(), asyncio.Event()

    async def slowly() -> httpx.Response:
        posted.set()
        await answer.wait()
        return world.server.grant()

    world.server.answers = [lambda _: slowly()]
    clients = [asyncio.create_task(world.login.access_token()) for _ in range(3)]
    await posted.wait()
    for client in clients:
        client.cancel()
    results = await asyncio.gather(*clients, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    answer.set()
    await world.login.drain()  # what SIGTERM waits for
    assert world.stored()["accessToken"] == "access-2"
    assert world.locks_left() == []
    assert await world.login.access_token() == "access-2"
    assert len(world.server.posts) == 1


async def test_o13_an_early_401_refreshes_once_for_all_who_saw_it(world: World) -> None:
    world.log_in(HOUR)
    token = await world.login.access_token()
    tokens = await asyncio.gather(
        *(world.login.access_token(force_refresh_of=token) for _ in range(20))
    )
    assert tokens == ["access-2"] * 20
    assert await world.login.access_token(force_refresh_of=token) == "access-2"
    assert len(world.server.posts) == 1


async def test_o13_a_401_for_a_brand_new_token_is_no_reason_to_refresh_again(world: World) -> None:
    world.log_in()
    await world.login.access_token()
    for _ in range(5):
        assert (await error_of(world, force_refresh_of="access-2")).kind == "refused"
    assert len(world.server.posts) == 1
    world.time.advance(61)
    assert await world.login.access_token(force_refresh_of="access-2") == "access-3"


@pytest.mark.parametrize(
    ("retry_after", "cooldown"),
    [
        ("1", 5),
        ("120", 120),
        ("4000", 300),
        (None, 60),
        ("nan", 60),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 60),
        ("Fri, 31 Dec 99999999999 23:59:59 GMT", 60),
    ],
)
async def test_o14_one_post_for_each_cooldown(
    world: World, retry_after: str | None, cooldown: float
) -> None:
    world.log_in()
    headers = {"retry-after": retry_after} if retry_after else {}
    world.server.answers = [says(429, headers=headers)]
    assert (await error_of(world)).kind == "rate_limited"
    world.time.advance(cooldown - 0.5)
    error = await error_of(world)
    assert (error.kind, error.retry_after) == ("rate_limited", cooldown)
    assert len(world.server.posts) == 1
    world.time.advance(1)
    assert await world.login.access_token() == "access-3"


@pytest.mark.parametrize("hours", [4, -4, 24, -24])
async def test_o15_a_clock_that_jumps_makes_no_storm_and_no_loop(world: World, hours: int) -> None:
    world.log_in()
    await world.login.access_token()
    world.time.skew = hours * HOUR
    for _ in range(20):
        await world.login.access_token()
        await world.login.drain()
        world.time.advance(60)
    assert len(world.server.posts) <= 2
    world.time.advance(8 * HOUR)
    # By the clock that stands on the wall the token may live on; it was given for eight hours.
    assert await world.login.access_token() == f"access-{len(world.server.posts) + 1}"
    assert len(world.server.posts) <= 3
