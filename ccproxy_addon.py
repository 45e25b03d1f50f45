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

from addon.access_control import AccessControl
from addon.claude.catalogue import Catalogue
from addon.claude.cooldowns import Cooldowns
from addon.claude.models_file import CatalogueError
from addon.credentials.factory import make_login
from addon.environment import environment
from addon.exchange import Exchanges
from addon.health import Health
from addon.local_api import LocalApi
from addon.purse import Purse
from addon.replay_layer import Gate, ReverseLayer, Timing
from addon.safe_options import SafeOptions
from addon.settings import Settings, SettingsError
from addon.terminal import Terminal
from addon.thinking import Thinking
from addon.translate import Translate
from addon.upstream import Standing, Upstream
from addon.usage.budget import Budget
from addon.usage.ledger import UsageLedger
from addon.usage_recorder import UsageRecorder


def load_catalogue(settings: Settings) -> Catalogue:
    """The built-in models with the user's `models.toml` on top. Raises CatalogueError."""
    builtin = (HERE / "addon" / "claude" / "models.toml").read_text(encoding="utf-8")
    catalogue = Catalogue.load(builtin)
    override = settings.home / "models.toml"
    return (
        catalogue.with_overrides(override.read_text(encoding="utf-8"))
        if override.is_file()
        else catalogue
    )


def build(settings: Settings) -> list[Any]:
    """The addons. Raises CatalogueError."""
    catalogue = load_catalogue(settings)
    exchanges = Exchanges()
    standing = Standing(cooldowns=Cooldowns())
    ledger = UsageLedger(time.time)
    budget = Budget(ledger)
    login = make_login(settings)
    timing = Timing(
        first_byte=settings.first_byte_seconds,
        keepalive=settings.keepalive_seconds,
        connect=settings.connect_seconds,
        idle=settings.upstream_idle_seconds,
    )
    return [
        # forces safe options and moves the listener to this machine
        SafeOptions(settings.port, Gate(exchanges)),
        # puts our upstream leg under every connection
        ReverseLayer(exchanges, timing),
        # first of the request's: nobody is served before this, and credentials come off the flow
        AccessControl(settings, exchanges),
        # answers what needs no upstream
        LocalApi(settings, exchanges, catalogue, Health(settings, login.status, standing)),
        # from here on there is an Anthropic request; on the way back, the client's dialect
        Translate(settings, exchanges, catalogue),
        # needs the model and what the client asked
        Thinking(settings, exchanges),
        # last: its approval is what lets a request go upstream
        Upstream(settings, exchanges, login, Purse(budget), standing),
        # after everything: sees how each request ended
        UsageRecorder(exchanges, ledger, budget, Terminal()),
    ]


try:
    settings = Settings.from_env(environment())
    addons = build(settings)
except (SettingsError, CatalogueError) as error:
    # The process has to end: without its addons mitmproxy would forward everything as it comes.
    sys.stderr.write(f"ccproxy can't start:\n{error}\n")
    sys.exit(1)
