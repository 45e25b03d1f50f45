"""Sets mitmproxy's options so that plain `mitmdump -s ccproxy_addon.py` works and is safe."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader
from mitmproxy.proxy.mode_specs import ProxyMode, ReverseMode
from mitmproxy.tools.dump import DumpMaster

from addon.addons.mitmproxy_tuning import (
    drop_idle_addons,
    read_authority_late,
    settle_memory,
    silence_connections,
)
from addon.replay_layer import Gate

logger = logging.getLogger(__name__)

FORCED: Mapping[str, Any] = {
    "connection_strategy": "lazy",  # eager connects upstream before any check has run
    "keep_host_header": True,  # the Host check needs the client's header; ours is set for upstream
    "onboarding": False,  # with the client's Host kept, mitmproxy would serve `Host: mitm.it` itself
    "proxy_debug": False,  # prints every message of every layer, including credentials
    "validate_inbound_headers": True,
    "ssl_insecure": False,
    "websocket": False,  # a 101 would become a raw tunnel that bypasses every check
    "rawtcp": False,
    "stream_large_bodies": None,  # a body must be complete before it can be translated
    "http2": False,  # clients use HTTP/1.1 on the plain port; h2 only adds attack surface
    "http3": False,
}
PREFERRED: dict[str, Any] = {
    "body_size_limit": "33m",  # Anthropic accepts 32 MB
    "flow_detail": 0,
    "termlog_verbosity": "alert",  # the address of mitmweb, and warnings
    # every row has the same address: what differs is in the comment
    "web_columns": ["icon", "path", "comment", "status", "size", "time"],
}


class SafeOptions:
    """Enforces `FORCED`, defaults to `PREFERRED`, and moves the listener to loopback addresses."""

    def __init__(self, port: int, gate: Gate) -> None:
        self.port = port
        self.gate = gate

    def load(self, loader: Loader) -> None:
        # Not in `running`: mitmproxy's replay of `--set client_replay=` starts before that is called here.
        ctx.master.addons.add(self.gate)
        watched = "console_palette" in ctx.options or "web_port" in ctx.options
        wanted = PREFERRED | ({"store_streamed_bodies": True} if watched else {})
        # at once: each update copies all options, and tells every addon
        ctx.options.update(**{n: v for n, v in wanted.items() if _unset(n)}, **_unsafe())

    def configure(self, updated: set[str]) -> None:
        if updated & FORCED.keys():
            ctx.options.update(**_unsafe())

    def running(self) -> None:
        _stop_watching_scripts()
        _keep_flow_file_private()
        if isinstance(ctx.master, DumpMaster):
            read_authority_late(ctx.master.addons, ctx.options)
            drop_idle_addons(ctx.master.addons, ctx.options)
            silence_connections(ctx.options)
        settle_memory()
        # The sockets are bound before a script is loaded: only a change of mode moves them.
        modes = [spec for mode in ctx.options.mode for spec in listening_at(mode, self.port)]
        if ctx.options.listen_host or ctx.options.listen_port:
            return  # the user chose an address
        if modes != list(ctx.options.mode):
            ctx.options.update(mode=modes)


def _unset(name: str) -> bool:
    return name in ctx.options and not ctx.options.has_changed(name)


def _unsafe() -> dict[str, Any]:
    """What has to be changed."""
    found: dict[str, Any] = {}
    for name, value in FORCED.items():
        if name in ctx.options and getattr(ctx.options, name) != value:
            if ctx.options.has_changed(name):
                logger.warning("ccproxy requires %s=%s and has reset it.", name, value)
            found[name] = value
    return found


def listening_at(mode: str, port: int) -> list[str]:
    """The mode with loopback addresses, unless it has an address or is not a reverse proxy."""
    parsed = ProxyMode.parse(mode)
    if not isinstance(parsed, ReverseMode) or parsed.custom_listen_port is not None:
        return [mode]
    hosts = ["127.0.0.1", "::1"] if _has_ipv6_loopback() else ["127.0.0.1"]
    return [f"{mode}@{host}:{port}" for host in hosts]


def _has_ipv6_loopback() -> bool:
    """On many machines `localhost` resolves to ::1 first."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _stop_watching_scripts() -> None:
    """mitmproxy reloads a changed script; a broken one would leave the proxy without its addons."""
    loader = ctx.master.addons.get("scriptloader")
    for script in loader.addons if loader else ():
        if script.reloadtask:
            script.reloadtask.cancel()


def _keep_flow_file_private() -> None:
    """mitmproxy opens the file of `-w`, which contains prompts, before a script can set the umask."""
    save = ctx.master.addons.get("save")
    if save is not None and save.current_path is not None:
        Path(save.current_path).chmod(0o600)
