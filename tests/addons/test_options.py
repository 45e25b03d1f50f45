"""The settings as mitmproxy's options: what they show, what wins, and what a change does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import exceptions, options

from addon.addons.options import PREFIX, Options, exposed, given_at_start
from addon.core.errors import NotFound
from addon.core.secret import keep_secret
from addon.core.settings import Settings, SettingsError, described

with warnings.catch_warnings():  # its flowfilter and ldap3 use old names of other packages
    warnings.simplefilter("ignore", DeprecationWarning)
    from mitmproxy.test import taddons

    from tests.masters import addon_context


class Made:
    """Remembers the settings that addons were made for."""

    def __init__(self) -> None:
        self.settings: list[Settings] = []

    def __call__(self, settings: Settings) -> list[Any]:
        if settings.context_summarization_model == "nobody":
            raise NotFound("There is no model nobody.")
        self.settings.append(settings)
        return []


@contextmanager
def loaded(
    home: Path, environ: Mapping[str, str] | None = None
) -> Iterator[tuple[taddons.context, Options, Made]]:
    variables = {"CCPROXY_HOME": str(home), **(environ or {})}
    made = Made()
    with addon_context() as context:
        addon = Options(variables, Settings.from_env(variables), made)
        context.master.addons.add(addon)
        yield context, addon, made


def test_every_setting_that_is_no_secret_is_an_option() -> None:
    left_out = {item.name for item in described()} - {item.name for item in exposed()}
    keys = {"api_key", "oauth_token", "secret", "openai_api_key", "upstream_proxy"}
    assert left_out == keys | {"notify_command", "notify_webhook"}


def test_options_show_what_the_environment_says(tmp_path: Path) -> None:
    with loaded(tmp_path, {"CONTEXT_STRATEGY": "trim", "ALLOWED_IPS": "10.0.0.0/8"}) as (
        context,
        _,
        _,
    ):
        shown = {
            name: getattr(context.options, PREFIX + name)
            for name in ("context_strategy", "allowed_ips")
        }
    assert shown == {"context_strategy": "trim", "allowed_ips": "10.0.0.0/8"}


def test_options_that_nobody_set_show_the_default_and_change_nothing(tmp_path: Path) -> None:
    with loaded(tmp_path) as (context, _, made):
        for item in exposed():
            value = getattr(context.options, PREFIX + item.name)
            context.options.update(**{PREFIX + item.name: value})
        assert context.options.ccproxy_port == "8082"
        assert len(made.settings) == 1


def test_every_default_reads_back_as_itself(tmp_path: Path) -> None:
    with loaded(tmp_path) as (context, addon, _):
        env = {
            item.metadata["env"]: getattr(context.options, PREFIX + item.name) for item in exposed()
        }
    again = Settings.from_env({**env, "CCPROXY_HOME": str(tmp_path)})
    names = [item.name for item in exposed()]
    assert [getattr(again, n) for n in names] == [getattr(addon.settings, n) for n in names]


def test_a_change_makes_new_addons_with_the_new_settings(tmp_path: Path) -> None:
    with loaded(tmp_path, {"CONTEXT_STRATEGY": "trim", "ANTHROPIC_API_KEY": "k"}) as (
        context,
        addon,
        made,
    ):
        before = addon.addons
        context.options.update(ccproxy_context_strategy="none")
        assert [s.context_strategy for s in made.settings] == ["trim", "none"]
        assert made.settings[-1].api_key == "k"
        assert addon.addons is not before


def test_a_change_keeps_the_stored_secret(tmp_path: Path) -> None:
    secret = keep_secret(tmp_path)
    with loaded(tmp_path) as (context, _, made):
        context.options.update(ccproxy_strict="true")
        assert made.settings[-1].secret == secret


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("context_strategy", "magic", "CONTEXT_STRATEGY: 'magic' is not allowed"),
        ("port", "9000", "ccproxy_port can't be changed at run time"),
        ("context_summarization_model", "nobody", "There is no model nobody"),
    ],
    ids=["a-bad-value", "what-counts-at-start", "an-unknown-model"],
)
def test_a_change_that_cannot_be_is_refused_and_undone(
    tmp_path: Path, option: str, value: str, said: str
) -> None:
    with loaded(tmp_path) as (context, addon, _):
        before, shown = addon.settings, getattr(context.options, PREFIX + option)
        with pytest.raises(exceptions.OptionsError, match=said):
            context.options.update(**{PREFIX + option: value})
        assert (addon.settings, getattr(context.options, PREFIX + option)) == (before, shown)


def test_the_command_line_is_read_before_the_options_are_there() -> None:
    given = options.Options()
    given.set("ccproxy_context_strategy=trim", "ccproxy_port=9000", defer=True)
    assert given_at_start(given) == {"CONTEXT_STRATEGY": "trim", "PORT": "9000"}


def test_config_yaml_is_read_with_its_own_types() -> None:
    given = options.Options()
    given.update_defer(ccproxy_strict=True, ccproxy_port=9000)
    assert given_at_start(given) == {"STRICT": "true", "PORT": "9000"}


def test_secrets_are_not_taken_from_the_command_line() -> None:
    given = options.Options()
    given.set("ccproxy_api_key=k", defer=True)
    with pytest.raises(SettingsError, match=r"ccproxy_api_key .* Set ANTHROPIC_API_KEY"):
        given_at_start(given)
