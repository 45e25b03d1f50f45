"""`setup NAME`: what stands in a client's file stays, what was written is taken back, and no secret is written."""

from __future__ import annotations

import io
import json
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from addon.cli.main import main as ccproxy
from addon.cli.setup import NAMES, SHOWN, WRITTEN

BASE = "http://localhost:8082"
SECRET = "a-secret-of-enough-letters-and-123-numbers"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and nothing of this machine's settings."""
    for name in ("CODEX_HOME", "CLAUDE_CONFIG_DIR", "XDG_CONFIG_HOME", "PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": tmp_path, "CCPROXY_HOME": tmp_path / "state"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("CCPROXY_ENV_FILE", "")
    return tmp_path


def file_of(name: str, home: Path) -> Path:
    return WRITTEN[name].file({}, home)


def parsed(name: str, text: str) -> Any:
    if name == "codex":
        return tomllib.loads(text)
    if name in ("claude", "opencode"):
        return json.loads(text or "{}")
    return YAML(typ="safe").load(io.StringIO(text)) or {}


EXISTING = {
    "codex-plain": ("codex", 'model = "gpt-6-sol"\napproval_policy = "never" # mine\n'),
    "codex-tables": (
        "codex",
        '# my model\nmodel = "gpt-6-sol"\n\n[mcp_servers.x]\ncommand = "y"\nmodel = "stays"\n\n'
        '[model_providers.other]\nname = "o"\n',
    ),
    "codex-by-hand": (
        "codex",
        'model_provider = "ccproxy"\n[model_providers.ccproxy]\nname = "mine"\n# why\n'
        'base_url = "http://localhost:1/v1"\n\n[tui]\nnotifications = true\n',
    ),
    "claude": ("claude", '{\n    "model": "opus",\n    "env": {"FOO": "ä", "BAR": "1"}\n}\n'),
    "claude-other-gateway": ("claude", '{"env": {"ANTHROPIC_BASE_URL": "https://x.example"}}'),
    "opencode": (
        "opencode",
        '{\n  "model": "openai/gpt",\n  "provider": {"mine": {"npm": "x"}},\n  "theme": "dark"\n}\n',
    ),
    "aider": ("aider", "# mine\nmodel: gpt-4o\ndark-mode: true\nlint-cmd:\n  - model: no\n"),
    "continue-items": (
        "continue",
        "name: Mine\nversion: 0.0.1\nmodels:\n  # the first\n  - name: a\n    provider: b\n"
        "    model: c\nrules:\n  - Be brief.\n",
    ),
    "continue-items-at-the-margin": ("continue", "models:\n- name: a\n  model: c\nname: Mine\n"),
    "continue-none": ("continue", "name: Mine\nmodels: []\nversion: 1.0.0\n"),
    "continue-without": ("continue", "name: Mine\nversion: 1.0.0\n"),
    "no-newline-at-the-end": ("aider", "dark-mode: true"),
}


def contains(whole: Any, part: Any) -> bool:
    """Whether `part` is in `whole`, but for what names the model and where it is."""
    if isinstance(part, dict):
        named = ("model", "model_provider", "ANTHROPIC_BASE_URL", "ccproxy")
        return all(k in named or contains(whole[k], v) for k, v in part.items())
    if isinstance(part, list):
        return all(item in whole for item in part)
    return bool(whole == part)


@pytest.mark.parametrize(("name", "before"), EXISTING.values(), ids=EXISTING)
def test_what_stands_there_stays_and_comes_back(name: str, before: str, home: Path) -> None:
    path = file_of(name, home)
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(before)
    path.chmod(0o640)

    assert ccproxy(["setup", name]) == 0

    after = path.read_text()
    assert f"{BASE}" in after
    assert contains(parsed(name, after), parsed(name, before))
    comments = [line for line in before.splitlines() if line.startswith("#")]
    assert all(comment in after for comment in comments)
    assert path.with_name(f"{path.name}.before-ccproxy").read_text() == before
    assert ccproxy(["setup", name]) == 0
    assert path.read_text() == after, "a second time changes nothing"
    assert ccproxy(["setup", name, "--model", "claude-sonnet-5-5"]) == 0
    assert ccproxy(["setup", name, "--undo"]) == 0
    assert path.read_text().removesuffix("\n") == before.removesuffix("\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(path.parent.glob("*ccproxy*")) == []


@pytest.mark.parametrize(("name", "before"), EXISTING.values(), ids=EXISTING)
def test_lines_end_as_they_did(name: str, before: str, home: Path) -> None:
    path = file_of(name, home)
    path.parent.mkdir(exist_ok=True, parents=True)
    before = before.rstrip("\n") + "\n"
    path.write_bytes(before.replace("\n", "\r\n").encode())

    assert ccproxy(["setup", name]) == 0
    after = path.read_bytes()
    assert after.count(b"\n") == after.count(b"\r\n") > 0
    assert ccproxy(["setup", name]) == 0
    assert path.read_bytes() == after, "a second time changes nothing"
    assert ccproxy(["setup", name, "--undo"]) == 0
    assert path.read_bytes().replace(b"\r\n", b"\n") == before.encode()
    assert path.read_bytes().count(b"\r\n") == before.count("\n")


@pytest.mark.parametrize("name", WRITTEN)
def test_a_new_file_is_the_owners_alone_and_goes_again(name: str, home: Path) -> None:
    path = file_of(name, home)
    assert ccproxy(["setup", name, "--model", "claude-sonnet-5-5"]) == 0
    assert "claude-sonnet-5-5" in path.read_text() or name == "claude"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ccproxy(["setup", name]) == 0
    assert ccproxy(["setup", name, "--undo"]) == 0
    assert not path.exists()
    assert list(path.parent.glob("*ccproxy*")) == []
    assert ccproxy(["setup", name, "--undo"]) == 0


@pytest.mark.parametrize("name", ["claude", "opencode", "codex", "aider", "continue"])
def test_later_changes_survive_the_undo(name: str, home: Path) -> None:
    path = file_of(name, home)
    later = {
        "claude": '{"model": "opus", "env": {"A": "1"}}',
        "opencode": '{"theme": "dark"}',
        "codex": "hide_agent_reasoning = true\n[tui]\nvim_mode = true\n",
        "aider": "dark-mode: true\n",
        "continue": "",
    }[name]
    assert ccproxy(["setup", name]) == 0
    if later.startswith("{"):
        mine = json.loads(later)
        now = json.loads(path.read_text())
        for key, value in mine.items():
            now[key] = {**now[key], **value} if isinstance(now.get(key), dict) else value
        path.write_text(json.dumps(now))
    elif later:
        path.write_text(later.partition("[")[0] + path.read_text() + later.removeprefix(later.partition("[")[0]))  # fmt: skip
    assert ccproxy(["setup", name, "--undo"]) == 0
    assert (parsed(name, path.read_text()) if path.exists() else {}) == parsed(name, later)


UNSAFE = {
    "a JSON file with comments": ("claude", '{\n  // mine\n  "env": {}\n}\n'),
    "a JSON file that is a list": ("opencode", "[]\n"),
    "an env that is no object": ("claude", '{"env": 1}\n'),
    "the provider as an inline table": ("codex", 'model_providers = { x = { name = "y" } }\n'),
    "a table below ours": ("codex", '[model_providers.ccproxy.http_headers]\nx = "y"\n'),
    "a model on several lines": ("codex", 'model = """\nx"""\n'),
    "models in one line": ("continue", 'models: [{"name": "a"}]\n'),
}


@pytest.mark.parametrize(("name", "text"), UNSAFE.values(), ids=UNSAFE)
def test_what_cannot_be_changed_safely_is_left_and_shown(
    name: str, text: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(name, home)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert ccproxy(["setup", name]) == 1
    assert path.read_text() == text
    assert BASE in (said := capsys.readouterr().err) and "was left as it is" in said
    assert list(path.parent.glob("*ccproxy*")) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_is_written_or_shown(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROXY_SECRET_KEY", SECRET)
    monkeypatch.setenv("REQUIRE_SECRET_LOCALLY", "true")
    assert ccproxy(["setup", name]) == 0
    files = [path.read_text() for path in home.rglob("*") if path.is_file()]
    said = capsys.readouterr().out
    assert not [text for text in (*files, said) if SECRET in text]
    if name in WRITTEN:
        assert f"export {WRITTEN[name].variable}=" in said


def test_alone_it_lists_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert ccproxy(["setup"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in NAMES)
    assert ccproxy(["setup", "codx"]) == 2
    assert "Did you mean codex?" in capsys.readouterr().err


@pytest.mark.parametrize("name", SHOWN)
def test_others_are_told_where_what_goes(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "9000")
    assert ccproxy(["setup", name]) == 0
    said = capsys.readouterr().out
    assert "http://localhost:9000" in said
    assert "{base}" not in said and "{{" not in said


def test_cursor_gets_the_azure_way_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNNEL_URL", "https://mine.example")
    assert ccproxy(["setup", "cursor"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Override OpenAI Base URL https://mine.example/v1" in said
    assert "Base URL https://mine.example Deployment Name ak-claude-opus-5-5" in said


def test_a_new_file_was_nothing_before(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ccproxy(["setup", "aider"]) == 0
    assert "as it was" not in capsys.readouterr().out


def test_undo_says_that_nothing_was_written(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ccproxy(["setup", "cursor", "--undo"]) == 0
    said = capsys.readouterr().out
    assert "Nothing was written for cursor" in said and BASE not in said


def test_an_unknown_client_leads_to_the_list(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ccproxy(["setup", "nonsense"]) == 2
    assert "setup` lists them" in capsys.readouterr().err
