"""`setup NAME`: points a client at ccproxy: writes its configuration file, or says what to enter where."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from addon.claude.catalogue import Catalogue
from addon.cli.config_edit import (
    CannotEdit,
    json_values,
    toml,
    without_blocks,
    without_json_values,
    yaml_items,
    yaml_keys,
)
from addon.cli.cursor import azure, names_that_work, newest, to_paste
from addon.cli.doctor import catalogue, tunnel_url
from addon.cli.launch import read_settings
from addon.core.environment import environment
from addon.core.files import write_atomically
from addon.core.frozen import frozen
from addon.core.secret import secret_file
from addon.core.settings import Settings
from addon.core.suggestions import did_you_mean
from addon.core.terminal import Terminal
from addon.core.version import STARTED_AS

BACKUP = ".before-ccproxy"
VARIABLE = "CCPROXY_SECRET"
"""Holds the secret for clients, where this machine must show it too: no secret is written into their files."""
ANY = "anything"


@frozen(kw_only=True)
class Values:
    """What a client has to know."""

    base: str
    """Without /v1."""
    models: Sequence[str]
    """The first one is the default."""
    secret: bool
    """Whether this machine must show the secret."""

    @property
    def v1(self) -> str:
        return f"{self.base}/v1"


@frozen(kw_only=True)
class Written:
    """A client whose configuration file is written."""

    file: Callable[[Mapping[str, str], Path], Path]
    """From the environment and the home folder."""
    edited: Callable[[str, Values], str]
    """Raises CannotEdit."""
    json_paths: Sequence[tuple[str, ...]] = ()
    """The values that are set; for files in JSON, which have no marked blocks."""
    start: str
    variable: str = VARIABLE
    """The name of the variable that its key is read from, if it needs one."""

    def restored(self, text: str, before: str) -> str:
        if self.json_paths:
            return without_json_values(text, self.json_paths, before)
        return without_blocks(text)


# ---- those that have a file


def _codex(text: str, values: Values) -> str:
    provider = {"name": "ccproxy", "base_url": values.v1, "wire_api": "responses"}
    provider |= {"env_key": VARIABLE} if values.secret else {}
    top = {"model": values.models[0], "model_provider": "ccproxy"}
    return toml(text, top, "model_providers.ccproxy", provider)


def _claude(text: str, values: Values) -> str:
    return json_values(text, {("env", "ANTHROPIC_BASE_URL"): values.base})


def _opencode(text: str, values: Values) -> str:
    key = f"{{env:{VARIABLE}}}" if values.secret else ANY
    provider: dict[str, Any] = {
        "npm": "@ai-sdk/anthropic",
        "name": "ccproxy",
        "options": {"baseURL": values.v1, "apiKey": key},
        "models": {model: {"name": model} for model in values.models},
    }
    model = f"ccproxy/{values.models[0]}"
    return json_values(text, {("provider", "ccproxy"): provider, ("model",): model})


def _aider(text: str, values: Values) -> str:
    keys: dict[str, str | bool] = {
        "model": f"openai/{values.models[0]}",
        "edit-format": "diff",
        "show-model-warnings": False,
        "openai-api-base": values.v1,
    }
    return yaml_keys(text, keys if values.secret else {**keys, "openai-api-key": ANY})


def _continue(text: str, values: Values) -> str:
    key = f"${{{{ secrets.{VARIABLE} }}}}" if values.secret else ANY
    models = [
        {
            "name": f"{model} (ccproxy)",
            "provider": "anthropic",
            "model": model,
            "apiBase": f"{values.v1}/",
            "apiKey": key,
            "roles": ["chat", "edit", "apply"],
            "capabilities": ["tool_use", "image_input"],
        }
        for model in values.models
    ]
    return yaml_items(text, "models", models, ["name: ccproxy", "version: 1.0.0", "schema: v1"])


def _config_home(env: Mapping[str, str], home: Path) -> Path:
    return Path(env.get("XDG_CONFIG_HOME") or home / ".config")


WRITTEN = {
    "codex": Written(
        file=lambda env, home: Path(env.get("CODEX_HOME") or home / ".codex") / "config.toml",
        edited=_codex,
        start="codex",
    ),
    "claude": Written(
        file=lambda env, home: (
            Path(env.get("CLAUDE_CONFIG_DIR") or home / ".claude") / "settings.json"
        ),
        edited=_claude,
        json_paths=[("env", "ANTHROPIC_BASE_URL")],
        start="claude",
        variable="ANTHROPIC_AUTH_TOKEN",
    ),
    "opencode": Written(
        file=lambda env, home: _config_home(env, home) / "opencode" / "opencode.json",
        edited=_opencode,
        json_paths=[("provider", "ccproxy"), ("model",)],
        start="opencode",
    ),
    "aider": Written(
        file=lambda env, home: home / ".aider.conf.yml",
        edited=_aider,
        start="aider",
        variable="OPENAI_API_KEY",
    ),
    "continue": Written(
        file=lambda env, home: home / ".continue" / "config.yaml",
        edited=_continue,
        start="Continue, or cn",
    ),
}

# ---- those that are told

SHOWN: dict[str, Sequence[str]] = {
    "cline": (
        "In Cline's settings, API Provider: Anthropic",
        "  Use custom base URL   {base}",
        "  Anthropic API Key     {key}",
        "  Model                 {model}",
        "For its command line:",
        "  cline auth -p openai-compatible -b {base}/v1 -k {key} -m {model}",
    ),
    "roo-code": (
        "In Roo Code's settings, API Provider: Anthropic",
        "  Use custom base URL   {base}",
        "  Anthropic API Key     {key}",
        "  Model                 {model}",
    ),
    "zed": (
        "In Zed's settings.json, and {key} as the key when Zed asks for it:",
        '  "language_models": {{',
        '    "openai_compatible": {{',
        '      "ccproxy": {{',
        '        "api_url": "{base}/v1",',
        '        "available_models": [',
        '          {{ "name": "{model}", "max_tokens": 200000, "max_output_tokens": 64000 }}',
        "        ]",
        "      }}",
        "    }}",
        "  }}",
    ),
    "open-webui": (
        "In Open WebUI, Admin Panel > Settings > Connections > OpenAI API > +",
        "  URL   {base}/v1",
        "  Key   {key}",
        "The models are listed by themselves. From a container this machine has another name, and needs the secret.",
    ),
    "copilot": (
        "For GitHub's Copilot CLI, in the shell that starts it:",
        "  export COPILOT_PROVIDER_BASE_URL={base}/v1",
        "  export COPILOT_PROVIDER_WIRE_API=responses",
        "  export COPILOT_PROVIDER_API_KEY={key}",
        "  export COPILOT_MODEL={model}",
    ),
    "pi": (
        "For pi, in ~/.pi/agent/models.json:",
        '  {{"providers": {{"ccproxy": {{"baseUrl": "{base}", "api": "anthropic-messages", "apiKey": "{key}",',
        '    "models": [{{"id": "{model}"}}]}}}}}}',
        "Then: pi --provider ccproxy --model {model}",
    ),
    "openai-sdk": (
        "For programs that use OpenAI's SDK, in the shell that starts them:",
        "  export OPENAI_BASE_URL={base}/v1",
        "  export OPENAI_API_KEY={key}",
        "and {model} as the model.",
    ),
    "anthropic-sdk": (
        "For programs that use Anthropic's SDK, in the shell that starts them:",
        "  export ANTHROPIC_BASE_URL={base}",
        "  export ANTHROPIC_API_KEY={key}",
    ),
}
CURSOR = "cursor"
NAMES = (*WRITTEN, CURSOR, *SHOWN)


def shown(name: str, values: Values, settings: Settings) -> list[str]:
    key = f"<the secret, in {secret_file(settings.home)}>" if values.secret else ANY
    return [line.format(base=values.base, model=values.models[0], key=key) for line in SHOWN[name]]


def shown_for_cursor(settings: Settings, known: Catalogue, *, private: bool) -> list[str]:
    url = tunnel_url(settings) or f"https://<the address that {STARTED_AS} tunnel shows>"
    key = settings.secret if private else f"<in {secret_file(settings.home)}>"
    key = key or f"<the key that {STARTED_AS} tunnel shows>"
    names = names_that_work(settings, known)
    return [*to_paste(url, key, names), "", *azure(url, key, names)]


# ---- the files


def write(client: Written, path: Path, values: Values) -> str:
    """Sets the client up; returns what was done. Raises CannotEdit and OSError."""
    text, newline = _read(path)
    made = client.edited(text, values)
    if made == text:
        return f"{path} is set up already."
    backup = path.with_name(path.name + BACKUP)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    existed = path.exists()
    if existed and not backup.exists():
        shutil.copy2(path, backup)
    elif not backup.exists():  # empty, as the file was: `undo` then knows that nothing was there
        backup.touch(mode=0o600)
    write_atomically(path, made.replace("\n", newline).encode())
    return f"Written: {path}" + f" (as it was: {backup.name})" * existed


def undo(client: Written, path: Path) -> str:
    """Takes back what `write` did, and nothing that was changed since. Raises CannotEdit and OSError."""
    text, newline = _read(path)
    backup = path.with_name(path.name + BACKUP)
    before, _ = _read(backup)
    restored = client.restored(text, before)
    if restored == text:
        return f"{path} has nothing of ccproxy."
    if restored.strip():
        write_atomically(path, restored.replace("\n", newline).encode())
    else:
        path.unlink()
    backup.unlink(missing_ok=True)
    return f"Restored: {path}" if restored.strip() else f"Removed: {path}"


def _read(path: Path) -> tuple[str, str]:
    r"""Its text, "" if there is none, with "\n" at the end of each line; and what ends its lines."""
    try:
        text = path.read_bytes().decode("utf-8")
        return text.replace("\r\n", "\n"), "\r\n" if "\r\n" in text else "\n"
    except FileNotFoundError:
        return "", "\n"
    except UnicodeDecodeError:
        raise CannotEdit("it is not text in UTF-8") from None


# ---- the command


def overview(env: Mapping[str, str], home: Path) -> list[str]:
    width = max(map(len, NAMES)) + 2
    return [
        f"{STARTED_AS} setup NAME points a client at ccproxy:",
        *(f"  {name:<{width}}writes {client.file(env, home)}" for name, client in WRITTEN.items()),
        *(f"  {name:<{width}}shows what to enter" for name in (CURSOR, *SHOWN)),
        "--model MODEL chooses another model; --undo removes what was written.",
    ]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog=f"{STARTED_AS} setup", description=__doc__)
    parser.add_argument("name", nargs="?", help=", ".join(NAMES))
    parser.add_argument("--model", help="in place of the newest Opus")
    parser.add_argument("--undo", action="store_true", help="remove what was written")
    given = parser.parse_args(arguments)
    settings, terminal = read_settings(), Terminal()
    env, home = environment(), Path.home()
    if given.name is None:
        lines = overview(env, home)
    elif given.name not in NAMES:
        hint = did_you_mean(given.name, NAMES) or f" `{STARTED_AS} setup` lists them."
        sys.stderr.write(f"There is no client {given.name!r}.{hint}\n")
        return 2
    elif given.name in WRITTEN:
        return _set_up(given, settings, WRITTEN[given.name], terminal)
    elif given.undo:
        lines = [f"Nothing was written for {given.name}: undo what you entered there."]
    else:
        known = catalogue(settings)
        lines = (
            shown_for_cursor(settings, known, private=terminal.private)
            if given.name == CURSOR
            else shown(given.name, values_for(settings, known, given.model), settings)
        )
    for line in lines:
        terminal.line(line)
    return 0


def values_for(settings: Settings, known: Catalogue, model: str | None) -> Values:
    names = newest(known)
    return Values(
        base=f"http://localhost:{settings.port}",
        models=list(dict.fromkeys([model or names[0], *names])),
        secret=settings.require_secret_locally,
    )


def _set_up(
    given: argparse.Namespace, settings: Settings, client: Written, terminal: Terminal
) -> int:
    values = values_for(settings, catalogue(settings), given.model)
    path = client.file(environment(), Path.home())
    try:
        terminal.line(undo(client, path) if given.undo else write(client, path, values))
    except (CannotEdit, OSError) as error:
        sys.stderr.write(f"{path} was left as it is: {error}.\n")
        if not given.undo:
            sys.stderr.write(f"What would stand in a new one:\n\n{client.edited('', values)}")
        return 1
    if given.undo:
        return 0
    if values.secret:
        terminal.line(f"Set {client.variable} to the secret ({secret_file(settings.home)}):")
        terminal.line(f'  export {client.variable}="$(cat {secret_file(settings.home)})"')
    terminal.line(f"Now start ccproxy ({STARTED_AS}) and then {client.start}.")
    terminal.line(f"`{STARTED_AS} setup {given.name} --undo` takes this back.")
    return 0
