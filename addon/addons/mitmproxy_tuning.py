"""Reduces mitmproxy's cost per request and its memory use, and replaces its output streams."""

from __future__ import annotations

import asyncio.selector_events
import gc
import linecache
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from mitmproxy import ctx, flow, http
from mitmproxy.addonmanager import AddonManager
from mitmproxy.options import CONF_BASENAME, Options
from mitmproxy.tls import TlsData

from addon.core.background_writer import BackgroundWriter, in_background
from addon.core.malloc import return_large_blocks

IDLE_WITHOUT: Mapping[str, tuple[str, ...]] = {
    "anticache": ("anticache",),
    "anticomp": ("anticomp",),
    "blocklist": ("block_list",),
    "browser": (),  # commands for a console, which mitmdump does not have
    "commandhistory": (),
    "comment": (),
    "cut": (),
    "dnsresolver": (),  # for the DNS mode
    "dumper": ("flow_detail",),
    "export": (),
    "keepserving": ("client_replay", "server_replay", "rfile"),
    "maplocal": ("map_local",),
    "mapremote": ("map_remote",),
    "modifybody": ("modify_body",),
    "modifyheaders": ("modify_headers",),
    "onboarding": ("onboarding",),
    "proxyauth": ("proxyauth",),
    "readfilestdin": ("rfile",),
    "save": ("save_stream_file",),
    "savehar": ("hardump",),
    "serverplayback": ("server_replay",),
    "stickyauth": ("stickyauth",),
    "stickycookie": ("stickycookie",),
    "stripdnshttpsrecords": (),
    "updatealtsvc": (),  # our responses have no alt-svc
    "upstreamauth": ("upstream_auth",),
}
"""mitmproxy's addons, and the options that each depends on. mitmproxy searches all addons at each of a request's eight
hooks: that is a third of mitmdump's cost per request."""
CONNECTIONS = "mitmproxy.proxy.server"
"""The logger of connects and disconnects. Each record passes through all addons, whether it is shown or not."""
COLLECT_AFTER = 20_000
"""New containers between two runs of the garbage collector. A long conversation consists of thousands, and hardly any
of them become cyclic garbage."""
READ_AT_ONCE = 31 * 1024
"""Bytes that asyncio makes room for at each read of a socket. Its own 256 KiB, like any block over 32 KiB, may be
mapped by itself (`core.malloc`): each read of a few bytes would ask the system for pages and return them."""
ERROR, BOUGHT, RETRIED = MARKERS = (":red_circle:", ":orange_circle:", ":yellow_circle:")
"""What we mark flows with; a user's own mark keeps a flow."""
MOST_FLOWS = 300
DROP_AT_ONCE = 20
"""Flows removed at a time, because finding the oldest requires a scan of all."""


class FlowLimit:
    """Limits the list of flows in mitmweb and mitmproxy; mitmdump has none."""

    def __init__(self, most: int = MOST_FLOWS) -> None:
        self.most = most

    def response(self, flow: http.HTTPFlow) -> None:
        self.drop_oldest()

    def error(self, flow: http.HTTPFlow) -> None:
        self.drop_oldest()

    def drop_oldest(self) -> None:
        view = ctx.master.addons.get("view")
        if view is None or len(view) < self.most + DROP_AT_ONCE:
            return
        done: list[flow.Flow] = sorted(
            (f for f in view if not f.live and f.marked in ("", *MARKERS)),
            key=lambda f: f.timestamp_created,
        )
        view.remove(done[: len(view) - self.most])  # a live flow would be killed by it


def drop_idle_addons(addons: AddonManager, options: Options) -> None:
    for name, needed_for in IDLE_WITHOUT.items():
        addon = addons.get(name)
        if addon is not None and not any(getattr(options, option) for option in needed_for):
            addons.remove(addon)


def read_authority_late(addons: AddonManager, options: Options) -> None:
    """mitmproxy reads the key of its certificate authority at the start, 27 ms, and twice if `confdir` is set. Only
    clients that speak TLS to the proxy need it. Call it before mitmproxy's addon is told that it is running."""
    tlsconfig = addons.get("tlsconfig")
    authority = Path(options.confdir).expanduser() / f"{CONF_BASENAME}-ca.pem"
    if options.emudhra or options.emudhra_old or not authority.is_file():
        return  # making one takes longer, and no client should wait for it

    start_client = tlsconfig.tls_start_client

    def tls_start_client(start: TlsData) -> None:
        if tlsconfig.certstore is None:
            tlsconfig.configure({"confdir"})
        start_client(start)

    tlsconfig.tls_start_client = tls_start_client
    tlsconfig.running = None
    # it serves the authority's list of revoked certificates, which none of ours names
    tlsconfig.request = None


def silence_connections(options: Options) -> None:
    """Drops connection records unless the log shows them."""
    if options.termlog_verbosity not in ("info", "debug"):
        logging.getLogger(CONNECTIONS).setLevel(logging.WARNING)


def settle_memory() -> None:
    """Exempts everything loaded so far from garbage collection, which would take tens of milliseconds each time (one at
    the start found five objects in 40 ms), and makes freed memory return to the system."""
    linecache.clearcache()  # pyparsing, which mitmproxy loads, leaves its whole source there: 0.6 MB
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    http.MessageData.__post_init__ = _unchecked  # type: ignore[method-assign]
    asyncio.selector_events._SelectorTransport.max_size = READ_AT_ONCE  # type: ignore[attr-defined]
    return_large_blocks()


def _unchecked(message: http.MessageData) -> None:
    """In place of a check of field types that mitmproxy makes for each message, and `python -O` leaves out. It keeps
    its exceptions (`typecheck.check_option_type`), their frames hold the callers', and so all bodies in sight."""


def replace_streams(addons: AddonManager) -> Iterator[BackgroundWriter]:
    """Replaces stdout and stderr, also for mitmproxy's log, which ends the process at the first line that it can't
    print, and blocks when a pipe is full. Not in mitmproxy's console program, which draws on stdout."""
    termlog, dumper = addons.get("termlog"), addons.get("dumper")
    if termlog is None:
        return
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None:  # it was closed before Python started
            text, writer = in_background(stream, name)
            setattr(sys, name, text)
            yield writer
    termlog.logger.file = sys.stdout
    if dumper is not None:
        dumper.outfp = sys.stdout
