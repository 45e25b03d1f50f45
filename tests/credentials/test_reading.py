"""Where the login is found, and what is understood of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from addon.credentials.credential import CredentialError, parse
from addon.credentials.keychain import service_name
from addon.credentials.open import LoginLocations
from addon.credentials.store import FileStore, LoginStores
from tests.credentials.samples import HOUR, NOW, document, write


def test_a_login_is_read_with_all_its_fields() -> None:
    credential = parse(document(), "file", NOW)
    assert credential is not None
    assert credential.access_token == "access-1"
    assert credential.refresh_token == "refresh-1"
    assert credential.expires_at == NOW + HOUR
    assert credential.refresh_token_expires_at == NOW + 30 * 86400
    assert credential.scopes == ("user:inference", "user:profile")
    assert credential.subscription_type == "max"


def test_no_token_shows_when_a_login_is_printed() -> None:
    shown = repr(parse(document("secret-a", "secret-r"), "file", NOW))
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("stored", "expires_at"),
    [
        pytest.param((NOW + HOUR) * 1000, NOW + HOUR, id="milliseconds"),
        pytest.param(int(NOW + HOUR), NOW + HOUR, id="seconds"),
        pytest.param((NOW - HOUR) * 1000, NOW - HOUR, id="the past"),
        pytest.param((NOW + 400 * 86400) * 1000, None, id="over a year ahead"),
        pytest.param(None, None, id="null"),
        pytest.param(True, None, id="a boolean"),
        pytest.param("1795305600", None, id="text"),
        pytest.param(float("nan"), None, id="not a number"),
        pytest.param(-5, None, id="negative"),
    ],
)
def test_expiry(stored: object, expires_at: float | None) -> None:
    content = document()
    content["claudeAiOauth"]["expiresAt"] = stored
    credential = parse(content, "file", NOW)
    assert credential is not None
    assert credential.expires_at == expires_at


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({}, id="empty"),
        pytest.param({"mcpOAuth": {}}, id="only neighbours"),
        pytest.param({"claudeAiOauth": None}, id="null"),
        pytest.param({"claudeAiOauth": {}}, id="no token"),
        pytest.param({"claudeAiOauth": {"accessToken": ""}}, id="blank token"),
    ],
)
def test_nobody_logged_in(content: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path / "c.json", content)
    with pytest.raises(CredentialError, match="claude /login") as caught:
        LoginStores([FileStore(tmp_path / "c.json")]).read(NOW)
    assert caught.value.kind == "missing"


def test_a_missing_file_is_no_login(tmp_path: Path) -> None:
    with pytest.raises(CredentialError) as caught:
        LoginStores([FileStore(tmp_path / "none" / "c.json")]).read(NOW)
    assert caught.value.kind == "missing"


@pytest.mark.parametrize(
    "content",
    [
        '{"claudeAi', "[]", "", '{"claudeAiOauth": 7}', "\xff", "[" * 200_000, '{"a":' * 200_000,
        '{"claudeAiOauth": {"accessToken": "a", "expiresAt": 1e999}}',
        '{"claudeAiOauth": {"accessToken": "a\\r\\nhost: b"}}',
        '{"claudeAiOauth": {"accessToken": "a b"}}',
        '{"claudeAiOauth": {"accessToken": "\\ud800"}}',
    ],
    ids=lambda content: content[-40:] or "empty",
)  # fmt: skip
def test_nonsense_is_malformed_and_left_alone(content: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(CredentialError) as caught:
        LoginStores([FileStore(path, pause=lambda _: None)]).read(NOW)
    assert caught.value.kind == "malformed"
    assert path.read_bytes() == content.encode("latin-1")


@pytest.mark.parametrize(("mode", "warnings"), [(0o600, 0), (0o644, 1), (0o640, 1)])
def test_a_file_that_others_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warnings: int
) -> None:
    path = tmp_path / "c.json"
    write(path, document())
    path.chmod(mode)
    LoginStores([FileStore(path)]).read(NOW)
    assert len(caplog.records) == warnings


def test_a_file_caught_half_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text('{"claudeAiOauth": {"acc')
    pauses: list[float] = []

    def finish_writing(seconds: float) -> None:
        pauses.append(seconds)
        write(path, document("whole"))

    stored = LoginStores([FileStore(path, pause=finish_writing)]).read(NOW)
    assert stored.credential.access_token == "whole"
    assert len(pauses) == 1


def locations(platform: str = "linux", **more: Any) -> LoginLocations:
    return LoginLocations(
        home=Path("/ccproxy"), user_home=Path("/home/me"), platform=platform, account="me", **more
    )


@pytest.mark.parametrize(
    ("credentials_dir", "config_dir", "folder"),
    [
        (Path("/s"), Path("/c"), Path("/s")),
        (None, Path("/c"), Path("/c")),
        (None, None, Path("/home/me/.claude")),
    ],
)
def test_the_folder(credentials_dir: Path | None, config_dir: Path | None, folder: Path) -> None:
    assert locations(credentials_dir=credentials_dir, config_dir=config_dir).folder == folder


def test_the_keychain_service_has_a_suffix_for_a_folder_of_its_own() -> None:
    assert service_name(None) == "Claude Code-credentials"
    # The first 8 hexadecimal digits of `printf %s /Users/me/.claude-work | sha256sum` (the rule: openusage#424).
    assert service_name("/Users/me/.claude-work") == "Claude Code-credentials-1e91dd84"


def test_only_a_mac_has_a_keychain() -> None:
    assert [s.source for s in locations("linux").stores()] == ["file"]
    assert [s.source for s in locations("win32").stores()] == ["file"]
    assert [s.source for s in locations("darwin").stores()] == ["keychain", "file"]


@dataclass
class Mac:
    """A Mac whose Keychain is a folder."""

    keychain: Path
    folder: Path
    security: Path

    def stores(self) -> LoginStores:
        there = locations("darwin", credentials_dir=self.folder, security=self.security)
        return LoginStores(there.stores())

    def put(self, content: Any, account: str = "me") -> None:
        items = self.keychain / "items.json"
        passwords = json.loads(items.read_text()) if items.exists() else {}
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        passwords[f"{account}|Claude Code-credentials"] = text
        items.write_text(json.dumps(passwords))

    def get(self) -> Any:
        passwords = json.loads((self.keychain / "items.json").read_text())
        return json.loads(passwords["me|Claude Code-credentials"])


@pytest.fixture
def mac(tmp_path: Path, fake_security: Callable[[Path], Path]) -> Mac:
    keychain = tmp_path / "keychain"
    keychain.mkdir()
    return Mac(keychain, tmp_path / "claude", fake_security(keychain))


def test_the_keychain_is_read_by_account(mac: Mac) -> None:
    mac.put({"mcpOAuth": {}}, account="unknown")
    mac.put(document("from-keychain"))
    stored = mac.stores().read(NOW)
    assert stored.credential.access_token == "from-keychain"
    assert stored.store.source == "keychain"


@pytest.mark.parametrize(
    ("in_keychain", "in_file", "source"), [(HOUR, 2 * HOUR, "file"), (2 * HOUR, HOUR, "keychain")]
)
def test_of_two_logins_the_one_that_lives_longer_is_taken(
    mac: Mac, in_keychain: float, in_file: float, source: str
) -> None:
    mac.put(document(expires_at=NOW + in_keychain))
    write(mac.folder / ".credentials.json", document(expires_at=NOW + in_file))
    assert mac.stores().read(NOW).credential.source == source


def test_a_locked_keychain_is_named_unless_the_file_will_do(mac: Mac) -> None:
    mac.put(document())
    (mac.keychain / "locked").touch()
    with pytest.raises(CredentialError, match="security unlock-keychain"):
        mac.stores().read(NOW)
    write(mac.folder / ".credentials.json", document("from-file"))
    assert mac.stores().read(NOW).credential.access_token == "from-file"


def test_a_mac_without_security_is_no_crash(mac: Mac) -> None:
    mac.security.unlink()
    with pytest.raises(CredentialError, match="FileNotFoundError"):
        mac.stores().read(NOW)


def test_the_keychain_is_written_on_stdin_and_never_by_arguments(mac: Mac) -> None:
    mac.put(document())
    stored = mac.stores().read(NOW)
    fresh = document('new "quoted" \\ token')
    stored.store.check_writable(fresh)
    stored.store.save(fresh)
    assert mac.get() == fresh
    assert "quoted" not in (mac.keychain / "argv.log").read_text()
    assert not mac.folder.exists()


def test_a_keychain_item_too_large_for_security_is_not_written(mac: Mac) -> None:
    mac.put(document())
    store = mac.stores().read(NOW).store
    large = document("x" * 4000)
    for attempt in (store.check_writable, store.save):
        with pytest.raises(CredentialError, match="too large") as caught:
            attempt(large)
        assert caught.value.kind == "unwritable"
    assert mac.get() == document()


def test_a_keychain_that_did_not_take_the_write_is_noticed(mac: Mac) -> None:
    mac.put(document())
    store = mac.stores().read(NOW).store
    (mac.keychain / "locked").touch()
    with pytest.raises(CredentialError) as caught:
        store.save(document("new"))
    assert caught.value.kind == "unwritable"
