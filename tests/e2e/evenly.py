"""A mitmproxy script, loaded before the addon: the windows of a sample of texts are at even distances, so that a test can
hide text between them."""

from __future__ import annotations

from mitmproxy.addonmanager import Loader

from addon.context.tokens import measure

EVENLY = ["-s", __file__]
"""For a `Proxy`'s `first`."""


class Even:
    """In place of `random.Random`."""

    def randrange(self, start: int, stop: int | None = None) -> int:
        return 0 if stop is None else (start + stop) // 2


def load(loader: Loader) -> None:
    measure.Random = Even  # type: ignore[misc, assignment]
