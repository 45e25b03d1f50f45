"""The settings as mitmproxy's options: `--set ccproxy_context_strategy=trim`, config.yaml, mitmweb's options page.

What is given as an option goes before the environment, and that before `.env`. A change while running makes a new
Settings, and with it new addons for the requests that come from then on; what addons remember is handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader
from mitmproxy.options import Options as MitmproxyOptions

from addon.addons.chain import Chain
from addon.core.errors import CCProxyError
from addon.core.secret import with_stored_secret
from addon.core.setting_names import PREFIX, exposed, refuse_unknown_options
from addon.core.setting_values import as_text
from addon.core.settings import Settings, SettingsError

AT_START = frozenset(
    {
        "port",
        "upstream_url",
        "oauth_token_url",
        "claude_config_dir",
        "claude_credentials_dir",
        "home",
        "no_color",
        "verbose_logging",
        "tunnel_url",
        "double_click_tunnel",
    }
)
"""Fields that what lives as long as the process is made from: as options they count when the proxy starts."""


def given_at_start(options: MitmproxyOptions) -> dict[str, str]:
    """Variables' values from the command line and config.yaml, which mitmproxy keeps until the options are there.
    Raises SettingsError for an option of ours that does not exist."""
    refuse_unknown_options(options.deferred)
    found: dict[str, str] = {}
    for item in exposed():
        value = options.deferred.get(PREFIX + item.name)
        values = getattr(value, "val", value)  # of the command line: a list of what was given
        last = values[-1] if isinstance(values, list) and values else values
        if last is not None and last != []:
            found[item.metadata["env"]] = as_text(last)
    return found


class Options:
    """Declares the options, and holds the addons that depend on settings."""

    name = "ccproxy_options"

    def __init__(
        self,
        environ: Mapping[str, str],
        settings: Settings,
        make_addons: Callable[[Settings], list[Any]],
    ) -> None:
        """`environ`: the variables without the options; `settings`: with them."""
        self.environ = environ
        self.settings = settings
        self.make_addons = make_addons
        self.addons = [Chain(make_addons(settings))]

    def load(self, loader: Loader) -> None:
        for item in exposed():
            variable = item.metadata["env"]
            default = self.environ.get(variable, "").strip() or as_text(item.default)
            loader.add_option(
                PREFIX + item.name, str, default, f"{variable}: {item.metadata['help']}"
            )

    def configure(self, updated: set[str]) -> None:
        if not any(name.startswith(PREFIX) for name in updated):
            return
        try:
            wanted = with_stored_secret(Settings.from_env({**self.environ, **_changed()}))
        except SettingsError as error:
            raise exceptions.OptionsError(str(error)) from None
        differing = {
            item.name
            for item in fields(Settings)
            if getattr(wanted, item.name) != getattr(self.settings, item.name)
        }
        fixed = sorted(differing & AT_START)
        if fixed:
            raise exceptions.OptionsError(
                f"{PREFIX}{fixed[0]} counts at start only: restart with --set {PREFIX}{fixed[0]}=…"
            )
        if differing:
            self.addons = self.remade(wanted)
            self.settings = wanted

    def remade(self, settings: Settings) -> list[Chain]:
        try:
            return [Chain(self.make_addons(settings))]
        except CCProxyError as error:  # a summarization model that nobody knows
            raise exceptions.OptionsError(str(error)) from None


def _changed() -> dict[str, str]:
    return {
        item.metadata["env"]: getattr(ctx.options, PREFIX + item.name)
        for item in exposed()
        if PREFIX + item.name in ctx.options and ctx.options.has_changed(PREFIX + item.name)
    }
