"""What kind of tunnel is run, and what is found when it is looked at from outside."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import httpx
import pytest

from addon.cli.tunnel import QUICK_URL, Child, Plan, TunnelError, make_plan
from addon.cli.tunnel_check import Seen, check_from_outside
from addon.core.settings import Settings
from addon.core.terminal import Terminal

CLOUDFLARED = "/usr/bin/cloudflared"
CONFIG = """
tunnel: 6ff42ae2
ingress:
  - hostname: ccproxy.example.com
    service: http://localhost:8082
  - service: http_status:404
"""


def plan(
    tmp_path: Path, config: str | None = None, cloudflared: str | None = CLOUDFLARED, **env: str
) -> Plan:
    file = tmp_path / "cloudflared-config.yml"
    if config is not None:
        file.write_text(config)
    return make_plan(Settings.from_env(env), file, cloudflared, tmp_path / "empty.yml")


async def test_a_line_without_end_does_not_end_the_reading() -> None:
    screen = io.StringIO()
    program = "print('before'); print('x' * 3_000_000); print('after')"
    child = await Child.start("proxy", [sys.executable, "-c", program], Terminal(screen), {})
    await child.process.wait()
    await child.stop()
    said = screen.getvalue().splitlines()
    assert (said[0], said[-1]) == ("[proxy] before", "[proxy] after")


async def test_a_state_folder_that_can_not_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TunnelError, match=r"empty.yml can't be written"):
        make_plan(
            Settings.from_env({}), tmp_path / "none", CLOUDFLARED, tmp_path / "file" / "empty.yml"
        )


def test_without_a_config_it_is_a_quick_tunnel_that_no_other_config_can_spoil(
    tmp_path: Path,
) -> None:
    found = plan(tmp_path, PORT="9000")
    empty = tmp_path / "empty.yml"
    assert found.url is None
    assert found.command == [
        CLOUDFLARED, "tunnel", "--no-autoupdate", "--config", str(empty), "--url", "http://127.0.0.1:9000",
    ]  # fmt: skip
    assert empty.read_text() == ""


def test_a_config_makes_it_a_named_tunnel_with_its_own_address(tmp_path: Path) -> None:
    found = plan(tmp_path, CONFIG)
    assert found.url == "https://ccproxy.example.com"
    assert found.command is not None
    assert found.command[-2:] == [str(tmp_path / "cloudflared-config.yml"), "run"]
    assert found.warning is None


def test_the_proxy_is_told_what_it_has_to_know(tmp_path: Path) -> None:
    cloudflare = {"TUNNEL_PROVIDER": "cloudflare"}
    assert plan(tmp_path).variables == cloudflare
    named = {"TUNNEL_URL": "https://ccproxy.example.com"}
    assert plan(tmp_path, CONFIG).variables == cloudflare | named
    assert plan(tmp_path, TUNNEL_URL="https://a.ngrok.app").variables == {
        "TUNNEL_URL": "https://a.ngrok.app"
    }


def test_a_config_for_another_port_is_said(tmp_path: Path) -> None:
    assert "port 8082, but the proxy is on 9000" in (
        plan(tmp_path, CONFIG, PORT="9000").warning or ""
    )


def test_a_config_without_a_hostname_is_said(tmp_path: Path) -> None:
    with pytest.raises(TunnelError, match="has no hostname"):
        plan(tmp_path, "tunnel: x\n")


def test_the_example_config_is_read_once_it_is_filled_in(tmp_path: Path) -> None:
    example = (Path(__file__).parents[2] / "cloudflared-config.example.yml").read_text()
    filled = example.replace("ccproxy.yourdomain.com", "my.example.org")
    assert plan(tmp_path, filled) == Plan(
        url="https://my.example.org",
        command=[
            CLOUDFLARED,
            "tunnel",
            "--no-autoupdate",
            "--config",
            str(tmp_path / "cloudflared-config.yml"),
            "run",
        ],
    )


@pytest.mark.parametrize(
    "given", ["https://a.ngrok.app", "https://a.ngrok.app/", "https://a.ngrok.app/v1"]
)
def test_a_tunnel_of_the_users_own_is_taken_as_it_is(tmp_path: Path, given: str) -> None:
    assert plan(tmp_path, CONFIG, None, TUNNEL_URL=given) == Plan(url="https://a.ngrok.app")


def test_a_tunnel_of_the_users_own_must_not_carry_the_secret_in_the_clear(tmp_path: Path) -> None:
    with pytest.raises(TunnelError, match="unencrypted"):
        plan(tmp_path, TUNNEL_URL="http://a.example.com")


def test_without_cloudflared_the_words_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TunnelError) as caught:
        plan(tmp_path, cloudflared=None)
    text = str(caught.value)
    assert "not installed" in text
    assert all(way in text for way in ("brew install cloudflared", "TUNNEL_URL", "ngrok http 8082"))
    assert max(len(line) for line in text.splitlines()) <= 80


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            "INF |  https://seven-green-words.trycloudflare.com   |",
            "https://seven-green-words.trycloudflare.com",
        ),
        (
            'ERR failed to request quick Tunnel: Post "https://api.trycloudflare.com/tunnel": no such host',
            None,
        ),
    ],
    ids=["the-address", "the-api-that-could-not-be-reached"],
)
def test_the_address_is_read_from_cloudflareds_lines(line: str, found: str | None) -> None:
    match = QUICK_URL.search(line)
    assert (match[0] if match else None) == found


async def seen(
    known: int | Exception, stranger: int = 401, body: str = '{"status":"ok"}', listed: bool = False
) -> Seen:
    def answer(request: httpx.Request) -> httpx.Response:
        if isinstance(known, Exception):
            raise known
        status = known if "authorization" in request.headers else stranger
        return httpx.Response(status, text=body)

    return await check_from_outside(
        "https://t.example",
        "s",
        listed=listed,
        tries=2,
        pause=0,
        transport=httpx.MockTransport(answer),
    )


@pytest.mark.parametrize(
    ("known", "stranger", "listed", "ok", "said"),
    [
        (200, 401, False, True, "leads here, and rejects requests without the key"),
        (403, 403, True, True, "ALLOWED_IPS admits only"),
        (200, 200, False, False, "DANGER"),
        (401, 401, False, False, "another secret"),
        (404, 404, False, False, "Another program responds there"),
        (530, 530, False, False, "returning 530"),
        (httpx.ConnectError("no such host"), 0, False, False, "no such host"),
    ],
    ids=[
        "well",
        "refused-by-the-users-list",
        "open-to-all",
        "an-old-tunnel",
        "not-ours",
        "nothing-behind",
        "no-name",
    ],
)
async def test_a_look_from_outside(
    known: int | Exception, stranger: int, listed: bool, ok: bool, said: str
) -> None:
    found = await seen(known, stranger, listed=listed)
    assert found.ok is ok
    assert said in found.text


async def test_an_address_that_needs_a_moment_is_asked_again() -> None:
    answers = iter(
        [httpx.Response(530), httpx.Response(200, text='{"status":"ok"}'), httpx.Response(401)]
    )
    transport = httpx.MockTransport(lambda request: next(answers))
    found = await check_from_outside(
        "https://t.example", "s", tries=3, pause=0, transport=transport
    )
    assert found.ok
