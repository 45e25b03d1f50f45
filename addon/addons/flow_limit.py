"""Keeps mitmweb from holding every flow for ever: a day of real use is about a gigabyte."""

from __future__ import annotations

from mitmproxy import ctx, flow, http

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
