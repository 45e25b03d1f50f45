"""Makes the settings available as mitmproxy options: `--set ccproxy_context_strategy=trim`, config.yaml, mitmweb.

Options override the environment, which overrides `.env`. A change at run time creates new Settings and new addons for
later requests; the state of the old addons is passed on to them.
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

AT_START = frozenset({
    "port", "upstream_url", "oauth_token_url", "claude_config_dir", "claude_credentials_dir",
    "home", "no_color", "verbose_logging", "tunnel_url", "double_click_tunnel",
})  # fmt: skip
"""Fields that are used once at start: they can't be changed at run time."""


def given_at_start(options: MitmproxyOptions) -> dict[str, str]:
    """Settings from the command line and config.yaml, by variable: mitmproxy defers them until the options are added.
    Raises SettingsError for an unknown ccproxy option."""
    refuse_unknown_options(options.deferred)
    found: dict[str, str] = {}
    for item in exposed():
        value = options.deferred.get(PREFIX + item.name)
        values = getattr(value, "val", value)  # from the command line: a list of values
        last = values[-1] if isinstance(values, list) and values else values
        if last is not None and last != []:
            found[item.metadata["env"]] = as_text(last)
    return found


class Options:
    """Declares the options, and rebuilds the addons that depend on settings."""

    name = "ccproxy_options"

    def __init__(
        self,
        environ: Mapping[str, str],
        settings: Settings,
        make_addons: Callable[[Settings], list[Any]],
    ) -> None:
        """`environ`: the environment without options; `settings`: including options."""
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
                f"{PREFIX}{fixed[0]} can't be changed at run time: restart with --set {PREFIX}{fixed[0]}=…"
            )
        if differing:
            self.addons = self.remade(wanted)
            self.settings = wanted

    def remade(self, settings: Settings) -> list[Chain]:
        try:
            return [Chain(self.make_addons(settings))]
        except (CCProxyError, SettingsError) as error:  # for example an unknown summarization model
            raise exceptions.OptionsError(str(error)) from None


def _changed() -> dict[str, str]:
    return {
        item.metadata["env"]: getattr(ctx.options, PREFIX + item.name)
        for item in exposed()
        if PREFIX + item.name in ctx.options and ctx.options.has_changed(PREFIX + item.name)
    }
