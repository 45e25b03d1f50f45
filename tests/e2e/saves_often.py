"""A mitmproxy script, loaded before the addon: usage is saved and logins are refreshed all the time, so that a kill meets it."""

from __future__ import annotations

import functools

from mitmproxy.addonmanager import Loader

from addon.context.tokens import counter
from addon.credentials import stored_login
from addon.usage import store


def load(loader: Loader) -> None:
    """Here, since the test imports this for its path, and must not be changed by it itself."""
    store.UsageStore = functools.partial(store.UsageStore, interval=0.1)  # type: ignore[misc, assignment]
    counter.SAVE_SECONDS = 0
    stored_login.MARGIN, stored_login.MARGIN_JITTER = 0.3, 0.1
