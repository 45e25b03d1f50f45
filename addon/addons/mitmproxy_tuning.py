"""What mitmproxy does for each request that serves nothing here, taken out once it runs; and where it writes to."""

from __future__ import annotations

import ctypes
import gc
import logging
import sys
from collections.abc import Iterator, Mapping

from mitmproxy import ctx, flow, http
from mitmproxy.addonmanager import AddonManager
from mitmproxy.options import Options

from addon.core.background_writer import BackgroundWriter, in_background

IDLE_WITHOUT: Mapping[str, tuple[str, ...]] = {
    "anticache": ("anticache",),
    "anticomp": ("anticomp",),
    "blocklist": ("block_list",),
    "browser": (),  # commands for people at a console, which mitmdump has not
    "commandhistory": (),
    "comment": (),
    "cut": (),
    "dnsresolver": (),  # of the DNS mode
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
    "updatealtsvc": (),  # our answers carry no alt-svc
    "upstreamauth": ("upstream_auth",),
}
"""mitmproxy's addons, and the options that give each something to do. All addons are asked at each of a request's eight
hooks: that is a third of what mitmdump costs per request."""
CONNECTIONS = "mitmproxy.proxy.server"
"""The logger of connects and disconnects. Each of its records runs through all addons, shown or not."""
COLLECT_AFTER = 20_000
"""New containers between two looks of the garbage collector. A long conversation alone is thousands, and hardly
anything here is garbage in cycles."""
GLIBC_MALLOC: Mapping[int, int] = {
    # M_ARENA_MAX: threads share one heap. With one for each, what they free stays with them.
    -8: 1,
    # M_MMAP_THRESHOLD, bytes: larger blocks go back once they are freed. Unset, it rises to the largest seen.
    -3: 128 * 1024,
}
"""Options of mallopt(3), by their numbers in malloc.h. Without them a proxy that runs for days keeps what one busy
minute took."""
MOST_FLOWS = 300
DROP_AT_ONCE = 20
"""So many at a time, since finding the oldest means looking at all."""


class FlowLimit:
    """In mitmweb and mitmproxy, which have a list of flows; mitmdump has none."""

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
            (f for f in view if not f.live and not f.marked), key=lambda f: f.timestamp_created
        )
        view.remove(done[: len(view) - self.most])  # a live flow would be killed by it


def drop_idle_addons(addons: AddonManager, options: Options) -> None:
    for name, needed_for in IDLE_WITHOUT.items():
        addon = addons.get(name)
        if addon is not None and not any(getattr(options, option) for option in needed_for):
            addons.remove(addon)


def silence_connections(options: Options) -> None:
    """Unless someone reads them."""
    if options.termlog_verbosity not in ("info", "debug"):
        logging.getLogger(CONNECTIONS).setLevel(logging.WARNING)


def settle_memory() -> None:
    """What is loaded by now stays: looking through all of it for garbage takes tens of milliseconds each time. What is
    freed later goes back to the system."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    if sys.platform == "linux":
        give_memory_back()


def give_memory_back() -> None:
    """Where the C library is glibc: others do, or have no such options."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in GLIBC_MALLOC.items():
            mallopt(option, value)


def replace_streams(addons: AddonManager) -> Iterator[BackgroundWriter]:
    """Replaces stdout and stderr, also for mitmproxy's log: it ends at the first line that it can't print, and stops
    when a pipe is full. Not in mitmproxy's console program, which draws on stdout."""
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
