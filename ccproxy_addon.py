"""ccproxy: `mitmdump -s ccproxy_addon.py --mode reverse:https://api.anthropic.com`.

The composition root: reads the environment once, builds the objects, and lists the addons in the order in which a
request meets them.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # mitmproxy loads a script by its path, not as part of a package

import httpx

from addon.access_control import AccessControl
from addon.attempts import Attempts
from addon.claude.models_file import CatalogueError
from addon.claude.thinking_store import ThinkingStore
from addon.connections import Connections
from addon.context.summary_memory import SummaryMemory
from addon.context_window import ContextWindow
from addon.continuity import Continuity
from addon.control_api import ControlApi
from addon.dashboard_api import DashboardApi
from addon.environment import environment
from addon.exchange import Exchanges
from addon.fail_closed import fail_closed
from addon.health import Health
from addon.json_codec import FAST
from addon.local_api import LocalApi
from addon.parts import load_catalogue, make_context, make_login, make_summary_call, timing
from addon.prompt_cache import PromptCache
from addon.purse import Purse
from addon.replay_layer import Gate, ReverseLayer
from addon.safe_options import SafeOptions
from addon.secret import with_stored_secret
from addon.settings import Settings, SettingsError
from addon.shutdown import Shutdown
from addon.standing import Standing
from addon.state import State
from addon.terminal import Terminal
from addon.thinking import Thinking
from addon.translate import Translate
from addon.upstream import Upstream
from addon.usage.budget import Budget
from addon.usage.ledger import UsageLedger
from addon.usage.live import LiveHub
from addon.usage.metrics import Metrics
from addon.usage.snapshot import SnapshotFile
from addon.usage.store import UsageStore
from addon.usage_recorder import UsageRecorder


def build(settings: Settings) -> list[Any]:
    """The addons. Raises CatalogueError."""
    catalogue = load_catalogue(settings)
    exchanges = Exchanges()
    terminal = Terminal()
    ledger = UsageLedger(time.time)
    budget = Budget(ledger)
    store = UsageStore(
        SnapshotFile(settings.home, time.time), ledger, budget, monotonic=time.monotonic
    )
    purse = Purse(budget)
    http = httpx.AsyncClient(timeout=httpx.Timeout(120, connect=10))
    login = make_login(settings, http)
    standing = Standing()
    memory = SummaryMemory(settings.home / "summaries", time.time)
    continuity = Continuity(ThinkingStore(time.monotonic))
    metrics, hub = Metrics(), LiveHub(FAST)
    control = ControlApi(
        exchanges, ledger, budget, metrics=metrics, hub=hub, standing=standing, memory=memory
    )
    dashboard = DashboardApi(
        settings, exchanges, ledger, budget, store=store, hub=hub, standing=standing
    )
    attempts = Attempts(settings, continuity)
    summary_call = make_summary_call(settings, http, catalogue, purse, ledger)
    manager, counter = make_context(settings, catalogue, summary_call, memory)
    window = ContextWindow(settings, exchanges, manager, terminal)
    chain: list[Any] = [
        # at the end: lets running answers finish before anything behind it is closed
        Shutdown(exchanges),
        # caps what clients can hold open
        Connections(),
        # forces safe options and moves the listener to this machine
        SafeOptions(settings.port, Gate(exchanges)),
        # puts our upstream leg under every connection
        ReverseLayer(exchanges, timing(settings)),
        # first of the request's: nobody is served before this, and credentials come off the flow
        AccessControl(settings, exchanges),
        # answers what needs no upstream
        LocalApi(settings, exchanges, catalogue, Health(settings, login.status, standing)),
        # usage, budget, metrics
        control,
        dashboard,
        # from here on there is an Anthropic request; on the way back, the client's dialect
        Translate(settings, exchanges, catalogue),
        # needs the model and what the client asked; remembers thinking on the way back
        Thinking(settings, exchanges, continuity),
        # what is counted and cut is what will be sent
        window,
        # marks the prefix that the window has made stable
        PromptCache(settings, exchanges, terminal),
        # last: its approval is what lets a request go upstream
        Upstream(settings, exchanges, attempts, login, standing, purse=purse, window=window),
        # after everything: sees how each request ended
        UsageRecorder(
            exchanges, ledger, budget, terminal, metrics=metrics, hub=hub, standing=standing
        ),
        # keeps what was learnt and counted over restarts
        State(settings, store, counter, login, http, terminal),
    ]
    return [fail_closed(addon) for addon in chain]


try:
    settings = with_stored_secret(Settings.from_env(environment()))
    addons = build(settings)
except (SettingsError, CatalogueError) as error:
    # The process has to end: without its addons mitmproxy would forward everything as it comes.
    sys.stderr.write(f"ccproxy can't start:\n{error}\n")
    sys.exit(1)
