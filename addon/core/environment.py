"""The only module that reads the process's environment variables, once the packages are installed."""

from __future__ import annotations

import os
from pathlib import Path

from addon.core.outbound_proxy import OutboundProxies, OutboundProxy
from addon.core.settings import SettingsError

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """The variables of the process and of `.env`; those of the process take precedence. Raises SettingsError."""
    return from_env_file() | dict(os.environ)


def from_env_file() -> dict[str, str]:
    """The variables in `.env`. Raises SettingsError."""
    file = env_file()
    try:
        if not file.is_file():
            return {}
        from dotenv import dotenv_values  # 2 ms, for those who have such a file

        found = dotenv_values(file)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} cannot be read: {error}. Save it as text in UTF-8.") from None
    return {name: value for name, value in found.items() if value is not None}


def outbound_proxies(given: OutboundProxy | None) -> OutboundProxies:
    """`given`: UPSTREAM_PROXY. The others are those of the process, or of the system on macOS and Windows."""
    import urllib.request  # 20 ms, which the launcher does without

    proxies, bypassed = urllib.request.getproxies(), urllib.request.proxy_bypass
    return OutboundProxies(given, proxies, lambda host: bool(bypassed(host)))


def models_files(home: Path) -> list[str]:
    """The texts of the built-in models file and, if there is one, of the user's `models.toml` in `home`. Raises
    SettingsError if the latter can't be read."""
    texts = [(ROOT / "addon" / "claude" / "models.toml").read_text(encoding="utf-8")]
    own = home / "models.toml"
    try:
        return [*texts, own.read_text(encoding="utf-8")] if own.is_file() else texts
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{own} cannot be read: {error}. Save it as text in UTF-8.") from None


def env_file() -> Path:
    given = os.environ.get("CCPROXY_ENV_FILE")
    return users_file(".env") if given is None else Path(given)


def users_file(name: str, root: Path = ROOT) -> Path:
    """The path of a file that the user may create: in a checkout, beside `ccproxy_addon.py`; if ccproxy is installed,
    in the current folder or otherwise in CCPROXY_HOME, as set in the process's environment."""
    if (root / "pyproject.toml").is_file():
        return root / name
    here = Path.cwd() / name
    home = os.environ.get("CCPROXY_HOME") or "~/.ccproxy"
    return here if here.is_file() else Path(home).expanduser() / name


SYSTEM = frozenset([
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "XDG_CONFIG_HOME"),
    *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP"),
    *("USERPROFILE", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA"),
])  # fmt: skip
"""What most programs need, none of which may be a key."""
DESKTOP = frozenset(["DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"])
"""What it takes to show something on a Linux desktop."""
FOR_CLOUDFLARED = SYSTEM | {
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("GODEBUG", "NO_AUTOUPDATE"),
}
"""What a Go program may need from the system, and cloudflared's settings, of which all but one begin with TUNNEL_:
https://developers.cloudflare.com/cloudflare-one/networks/connectors/cloudflare-tunnel/configure-tunnels/run-parameters/"""


def for_cloudflared() -> dict[str, str]:
    """The environment for cloudflared, without anything that may be a key."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.upper() in FOR_CLOUDFLARED or name.startswith(("LC_", "TUNNEL_"))
    }


def for_notifications() -> dict[str, str]:
    """The environment for NOTIFY_COMMAND, without anything that may be a key."""
    known = SYSTEM | DESKTOP
    return {
        name: value
        for name, value in os.environ.items()
        if name.upper() in known or name.startswith("LC_")
    }


def inherited(**more: str) -> dict[str, str]:
    """The environment for a process of ours: that of this process, without the variables of `.env`, and `more`."""
    return dict(os.environ) | more
