"""Creates the login from the settings."""

from __future__ import annotations

import getpass
import sys
from dataclasses import field
from pathlib import Path

from addon.core.clock import SYSTEM, Clock
from addon.core.frozen import frozen
from addon.core.own_http import OwnHttp
from addon.core.settings import Settings
from addon.credentials.keychain import SECURITY, KeychainStore, service_name
from addon.credentials.locks import refresh_locks, write_lock
from addon.credentials.login import Login, StaticLogin
from addon.credentials.refresher import Refresher
from addon.credentials.store import CredentialStore, FileStore, LoginStores
from addon.credentials.stored_login import SharedLogin
from addon.credentials.token_endpoint import TokenEndpoint

CREDENTIALS_FILE = ".credentials.json"


@frozen(kw_only=True)
class LoginLocations:
    """Where this machine may have a login."""

    home: Path
    """CCPROXY_HOME: for our own lock."""
    user_home: Path
    platform: str
    """sys.platform."""
    account: str
    """The user's name on this machine."""
    token: str | None = field(default=None, repr=False)
    """CLAUDE_CODE_OAUTH_TOKEN; takes precedence over all stores."""
    config_dir: Path | None = None
    """CLAUDE_CONFIG_DIR."""
    credentials_dir: Path | None = None
    """CLAUDE_SECURESTORAGE_CONFIG_DIR."""
    security: Path = SECURITY

    @property
    def folder(self) -> Path:
        """The folder of the credentials file and of Claude Code's locks."""
        return self.credentials_dir or self.config_dir or self.user_home / ".claude"

    def stores(self, clock: Clock = SYSTEM) -> tuple[CredentialStore, ...]:
        file = FileStore(self.folder / CREDENTIALS_FILE, pause=clock.pause, wall=clock.wall)
        if self.platform != "darwin":
            return (file,)
        service = service_name(str(self.config_dir) if self.config_dir else None)
        keychain = KeychainStore(
            service, self.account, security=self.security, monotonic=clock.monotonic
        )
        return (keychain, file)


def open_login(
    locations: LoginLocations, *, token_url: str, http: OwnHttp, clock: Clock = SYSTEM
) -> Login:
    """The login of this machine. Reads nothing yet. `http` is used for refreshes only, and is not closed."""
    if locations.token:
        return StaticLogin(locations.token, clock)
    stores = LoginStores(locations.stores(clock))
    unsaved = f"{CREDENTIALS_FILE}.ccproxy-unsaved"
    refresher = Refresher(
        stores,
        TokenEndpoint(token_url, http, clock),
        locks=refresh_locks(locations.folder, locations.home, clock),
        write_lock=write_lock(locations.folder, clock),
        emergency=(locations.folder / unsaved, locations.home / unsaved),
        clock=clock,
    )
    return SharedLogin(stores, refresher, clock)


def make_login(settings: Settings, http: OwnHttp) -> Login:
    return open_login(make_locations(settings), token_url=settings.oauth_token_url, http=http)


def make_locations(settings: Settings) -> LoginLocations:
    return LoginLocations(
        home=settings.home,
        user_home=Path.home(),
        platform=sys.platform,
        account=_user(),
        token=settings.oauth_token,
        config_dir=settings.claude_config_dir,
        credentials_dir=settings.claude_credentials_dir,
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except OSError:  # a container may have no name for its user
        return ""
