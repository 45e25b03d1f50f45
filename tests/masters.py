"""mitmproxy's masters for tests: what one sets in the process ends with the block."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mitmproxy import ctx
from mitmproxy.log import MitmLogHandler
from mitmproxy.test import taddons


@contextmanager
def masters_end() -> Iterator[None]:
    """The log handlers and the `ctx` of masters that are made within do not outlive it: only `run` takes them away."""
    handlers, context = list(logging.root.handlers), dict(vars(ctx))
    try:
        yield
    finally:
        for handler in list(logging.root.handlers):
            if isinstance(handler, MitmLogHandler) and handler not in handlers:
                logging.root.removeHandler(handler)
        vars(ctx).clear()
        vars(ctx).update(context)


@contextmanager
def addon_context(*addons: Any) -> Iterator[taddons.context]:
    """mitmproxy's own context for addons under test."""
    with masters_end(), taddons.context(*addons) as context:
        yield context
