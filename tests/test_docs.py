"""README and docs say what the code does: settings, endpoints, commands, models, fields, reasons, links."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote, urlsplit

import pytest
from dotenv import dotenv_values

from addon.addons.safe_options import FORCED, PREFERRED
from addon.claude.catalogue import Catalogue
from addon.claude.names import parse
from addon.cli.main import COMMANDS
from addon.core.errors import BadRequest
from addon.core.settings import Settings, described
from addon.exchange.routes import BY_ID, MODEL, ROUTES, STORED, Route, find
from addon.fallback.causes import LOGIN_REASONS, Cause
from addon.fallback.policy import Hindrance
from addon.translation.decisions import FIELDS as DECIDED
from tests.documents import DOCUMENTS, ROOT, blocks, code, rows, section, text
from tests.translation.asking import U, chat, responses

BUILTIN_MODELS = text("addon/claude/models.toml")
DEFAULTS = Settings.from_env({})
NOT_SET = "-"
OF_OTHER_PROGRAMS = (
    "OPENAI_API_BASE",
    "COPILOT_PROVIDER_WIRE_API",
    "COPILOT_PROVIDER_TYPE",
    "COPILOT_PROVIDER_TRANSPORT",
    "ANTHROPIC_BASE_URL",
    "ENABLE_TOOL_SEARCH",
    "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY",
    "CLAUDE_CODE_ENABLE_FINE_GRAINED_TOOL_STREAMING",
)

# ---- settings

ENVIRONMENT = {item.metadata["env"]: item for item in described()}
SETTINGS = text("docs/CONFIGURATION.md").partition("## Files")[0]
DEFAULTS_WRITTEN = {code(cells[0])[0]: cells[1] for cells in rows(SETTINGS)}


def value_of(variable: str, written: str) -> Any:
    """What a default that stands in a document means."""
    item = ENVIRONMENT[variable]
    if written == NOT_SET or not written:
        return item.default
    return item.metadata["parse"](written.strip("`"))


@pytest.mark.parametrize(("variable", "default"), DEFAULTS_WRITTEN.items())
def test_a_default_in_the_table_is_the_codes(variable: str, default: str) -> None:
    assert value_of(variable, default) == getattr(DEFAULTS, ENVIRONMENT[variable].name)


def test_the_table_of_settings_has_every_setting_and_no_other() -> None:
    assert set(DEFAULTS_WRITTEN) == set(ENVIRONMENT)


def test_a_dash_means_that_nothing_is_set() -> None:
    dashes = [name for name, default in DEFAULTS_WRITTEN.items() if default == NOT_SET]
    assert [name for name in dashes if getattr(DEFAULTS, ENVIRONMENT[name].name)] == []


def test_the_example_has_every_setting_once_with_its_default() -> None:
    lines = re.findall(r"^#?([A-Z_]+=.*)$", text(".env.example"), re.MULTILINE)
    names = [line.partition("=")[0] for line in lines]
    assert sorted(names) == sorted(ENVIRONMENT)
    shown = {line.partition("=")[0]: line.partition("=")[2].strip('"') for line in lines}
    for name, written in shown.items():
        assert value_of(name, written) == getattr(DEFAULTS, ENVIRONMENT[name].name), name


def test_the_example_sets_nothing() -> None:
    assert dotenv_values(ROOT / ".env.example") == {}


def test_every_variable_that_a_document_gives_a_value_exists() -> None:
    for document in DOCUMENTS:
        for name in re.findall(r"`([A-Z]+_[A-Z_]+)=", document.read_text(encoding="utf-8")):
            assert name in ENVIRONMENT or name in OF_OTHER_PROGRAMS


def test_options_of_mitmproxy_are_listed_as_they_are_set() -> None:
    part = section(text("docs/CONFIGURATION.md"), "mitmproxy's options")
    options = {**FORCED, **PREFERRED}
    listed = {
        name: value for name, value in re.findall(r"`(\w+)=([^`\s]*)`", part) if name in options
    }
    assert listed == {name: _as_option(value) for name, value in options.items()}


def _as_option(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(value)
    return "" if value is None else str(value)


def test_the_example_of_a_models_file_is_one() -> None:
    (example,) = blocks(text("docs/CONFIGURATION.md"), "toml")
    catalogue = Catalogue.load(BUILTIN_MODELS).with_overrides(example)
    assert catalogue.get("claude-opus-6").prices.cache_read == 0.5


# ---- endpoints and commands


def listed_endpoints() -> list[tuple[str, str]]:
    cells = [row[0] for row in rows(section(text("docs/GUIDE.md"), "Endpoints"))]
    cells += [row[1] for row in rows(section(text("docs/GUIDE.md"), "Endpoints"))]
    return re.findall(r"`(GET|POST|DELETE) (/[^`]*)`", " ".join(cells))


def route(method: str, path: str) -> Route | None:
    return find(method, path.replace("<id>", "0" * 32))


def test_every_endpoint_is_listed() -> None:
    listed = {found for method, path in listed_endpoints() if (found := route(method, path))}
    assert listed == {*ROUTES.values(), *BY_ID.values(), *STORED.values(), MODEL}


def test_every_listed_endpoint_is_served() -> None:
    assert [place for place in listed_endpoints() if route(*place) is None] == []


def curls() -> Iterator[tuple[str, str]]:
    """(method, path) of every curl command in a document."""
    for document in DOCUMENTS:
        for block in blocks(document.read_text(encoding="utf-8"), "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                if "curl " in line:
                    yield _asked(shlex.split(line, comments=True))


def _asked(words: list[str]) -> tuple[str, str]:
    (url,) = (word for word in words if word.startswith("http"))
    posts = "-d" in words or "POST" in words
    return ("POST" if posts else "GET"), urlsplit(url).path


def test_a_client_is_listed_with_the_version_that_is_tested() -> None:
    pinned = dict(
        re.findall(
            r"^(\S+?)(?:\[.*\])?==(\S+)$",
            text("tests/clients/python/requirements.in"),
            re.MULTILINE,
        )
    )
    for file in (ROOT / "tests" / "clients").glob("*/package.json"):
        package = json.loads(file.read_text(encoding="utf-8"))
        pinned |= package["dependencies"] | package.get("optionalDependencies", {})
    listed = section(text("docs/COMPATIBILITY.md"), "Clients")
    assert {name for name, v in pinned.items() if f" {v}" not in listed} == {"zod"}


def test_every_curl_asks_a_real_endpoint() -> None:
    asked = list(curls())
    assert len(asked) > 5
    assert [place for place in asked if route(*place) is None] == []


def test_every_json_in_a_curl_is_json() -> None:
    for document in DOCUMENTS:
        for body in re.findall(r"-d '(.*?)'", document.read_text(encoding="utf-8")):
            json.loads(body)


def test_every_test_that_a_document_names_exists() -> None:
    named = {
        found
        for document in DOCUMENTS
        for found in re.findall(r"`([\w/]+\.py)::(\w+)`", document.read_text(encoding="utf-8"))
    }
    assert len(named) > 100
    assert [
        (file, name) for file, name in sorted(named) if f"def {name}(" not in text(f"tests/{file}")
    ] == []


def test_every_command_of_start_sh_exists() -> None:
    known = {*COMMANDS, "help"}
    for document in DOCUMENTS:
        named = re.findall(r"\./start\.sh ([a-z]+)", document.read_text(encoding="utf-8"))
        assert set(named) <= known, document.name


# ---- models


def test_model_names_in_the_guide_are_understood_as_it_says() -> None:
    catalogue = Catalogue.load(BUILTIN_MODELS)
    for cells in rows(section(text("docs/GUIDE.md"), "Model names")):
        for name in code(cells[0]):
            if "claude" in name and "=" not in name:
                choice = parse(name)
                assert choice is not None, name
                assert catalogue.resolve(choice.id) in catalogue.ids or "@" in name
                if stated := re.match(r"`(claude-[a-z0-9-]+)`", cells[1]):
                    assert choice.id == stated[1]


def test_models_in_examples_are_known() -> None:
    catalogue = Catalogue.load(BUILTIN_MODELS)
    for document in DOCUMENTS:
        for name in re.findall(
            r"\"?model\"?[=:] ?\"(claude-[^\"]+)\"", document.read_text(encoding="utf-8")
        ):
            assert name in catalogue.ids, document.name


# ---- fields

FIELDS = section(text("docs/COMPATIBILITY.md"), "Fields")
NAMED = [
    name
    for name, decision in DECIDED["request"].items()
    if decision in ("ignored", "harmless") and name not in ("audio", "web_search_options")
]


@pytest.mark.parametrize("name", NAMED)
def test_a_field_listed_as_ignored_is(name: str) -> None:
    body: Any = {name: {"some": "value"} if name == "metadata" else "value"}
    assert chat(U("a"), **body).ignored == [name]


def refused_in(part: str) -> list[dict[str, Any]]:
    found = [json.loads(code(cells[0])[0]) for cells in rows(part) if cells[0].startswith('`{"')]
    assert found
    return found


@pytest.mark.parametrize("fields", refused_in(FIELDS), ids=json.dumps)
def test_what_is_listed_as_refused_is_refused_by_name(fields: dict[str, Any]) -> None:
    for ask, body in ((chat, U("a")), (responses, "a")):
        with pytest.raises(BadRequest) as refusal:
            ask(body, **fields)
        assert str(refusal.value.param).startswith(next(iter(fields)))


@pytest.mark.parametrize(
    "fields", refused_in(section(text("docs/COMPATIBILITY.md"), "Responses API")), ids=json.dumps
)
def test_what_responses_refuse(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as refusal:
        responses("a", **fields)
    assert refusal.value.param == next(iter(fields))


def test_every_reason_is_explained() -> None:
    explained = {
        code(cells[0])[0]
        for cells in rows(
            section(text("docs/TROUBLESHOOTING.md"), "Why was it not the subscription?")
        )
    }
    known = {*get_args(Cause.__value__), *get_args(Hindrance.__value__), *LOGIN_REASONS.values()}
    assert explained == known | {"api_key_only", "plan_only"}


# ---- links


def anchors(document: Path) -> set[str]:
    """As GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = document.parent / unquote(path) if path else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_picture_is_described(document: Path) -> None:
    for description in re.findall(r"!\[(.*?)\]", document.read_text(encoding="utf-8")):
        assert len(description) > 30
