"""`doctor --live --report`: asks Anthropic, with the user's own login, what can't be known without one.

Writes a file without secrets that can be attached to an issue. Only the subscription is asked, never an API key. One
refusal is asked for on purpose: its exact words are what ccproxy has to recognize.
"""

from __future__ import annotations

import contextlib
import json
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import field
from pathlib import Path

import httpx

from addon.claude.catalogue import Catalogue
from addon.claude.subscription_request import SUBSCRIPTION_BETAS, for_subscription
from addon.cli.doctor_checks import Finding
from addon.cli.main import versions
from addon.core.environment import environment
from addon.core.files import write_atomically
from addon.core.frozen import frozen
from addon.core.own_http import async_client, own_http
from addon.core.redaction import HIDDEN, excerpt, hider, redacted
from addon.core.settings import Settings, described
from addon.core.types import JsonObject
from addon.credentials.credential import CredentialError
from addon.credentials.open import make_login

FILE = Path("ccproxy-report.json")
LONGEST_BODY = 4_000
"""Characters of a response."""
SHOWN_HEADERS = re.compile(r"anthropic-ratelimit-.*|content-type|date|retry-after|x-should-retry")
"""Nothing that names an account, an organization or a single request."""
IDENTIFYING = re.compile(r"\b(req|msg|org)_\w+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
HOUR = {"type": "ephemeral", "ttl": "1h"}


@frozen(kw_only=True)
class Probe:
    """One request."""

    name: str
    question: str
    method: str = "POST"
    path: str = "/v1/messages"
    body: JsonObject = field(default_factory=dict)
    betas: tuple[str, ...] = ()


def probes(catalogue: Catalogue, cheapest: str) -> list[Probe]:
    """`cheapest`: the model for all but the long context."""
    ask: JsonObject = {
        "model": cheapest,
        "max_tokens": 1,
        "messages": [{"role": "user", "content": "hi"}],
    }
    hour = [{"type": "text", "text": "hi", "cache_control": HOUR}]
    sonnet = next(model for model in catalogue.ids if "sonnet" in model)
    return [
        Probe(
            name="hello", question="Is HEAD /api/hello answered?", method="HEAD", path="/api/hello"
        ),
        Probe(name="limits", question="Which limits do the headers name?", body=ask),
        Probe(
            name="hour",
            question="Is a cache mark of an hour accepted?",
            body={**ask, "messages": [{"role": "user", "content": hour}]},
        ),
        Probe(
            name="1M",
            question="Is the beta for a million tokens accepted?",
            body={**ask, "model": sonnet},
            betas=("context-1m-2025-08-07",),
        ),
        Probe(
            name="refusal",
            question="What does a refusal look like?",
            body={**ask, "max_tokens": -1},
        ),
    ]


async def ask(settings: Settings, token: str, asked: Sequence[Probe]) -> list[JsonObject]:
    """What each probe was told, in order. Raises httpx.HTTPError."""
    proxy = settings.upstream_proxy_url
    async with async_client(base_url=settings.upstream_url, timeout=60, proxy=proxy) as client:
        return [_told(probe, await _send(client, settings, token, probe)) for probe in asked]


async def _send(
    client: httpx.AsyncClient, settings: Settings, token: str, probe: Probe
) -> httpx.Response:
    headers = {
        "authorization": f"Bearer {token}",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": ",".join([*SUBSCRIPTION_BETAS, *probe.betas]),
    }
    body = for_subscription(probe.body, settings.extra_instruction) if probe.body else None
    return await client.request(probe.method, probe.path, headers=headers, json=body)


def _told(probe: Probe, response: httpx.Response) -> JsonObject:
    shown = {n: v for n, v in response.headers.items() if SHOWN_HEADERS.fullmatch(n)}
    return {
        "name": probe.name,
        "question": probe.question,
        "request": {
            "method": probe.method,
            "path": probe.path,
            "betas": probe.betas,
            "body": probe.body,
        },
        "status": response.status_code,
        "headers": shown,
        "body": excerpt(response.text, LONGEST_BODY),
    }


def report(settings: Settings, findings: Iterable[Finding], told: list[JsonObject]) -> JsonObject:
    """What is written. Of the settings only the names of those that are set."""
    given = environment()
    return {
        "versions": versions(),
        "system": platform.platform(),
        "settings": [n for item in described() if (n := item.metadata["env"]) in given],
        "findings": [finding.as_json() for finding in findings],
        "anthropic": told,
    }


def without_secrets(report: JsonObject, settings: Settings) -> str:
    """As JSON, without keys, the user's name in paths, addresses of tunnels, or anything that identifies an account."""
    hide = hider(settings.secret, settings.api_key, settings.openai_api_key, settings.oauth_token)
    text = json.dumps(redacted(report, hide), indent=2, ensure_ascii=False)
    text = IDENTIFYING.sub(HIDDEN, text).replace(str(Path.home()), "~")
    if settings.tunnel_url:
        text = text.replace(settings.tunnel_url, "https://tunnel.invalid")
    return re.sub(r"https://[a-z0-9-]+\.trycloudflare\.com", "https://tunnel.invalid", text) + "\n"


async def write(
    settings: Settings,
    catalogue: Catalogue,
    cheapest: str,
    findings: Sequence[Finding],
    file: Path = FILE,
) -> Finding:
    """Asks, writes the file, and tells how that went."""
    if not settings.claude_code_first:
        text = "It asks by subscription, which CLAUDE_CODE_FIRST=false switches off."
        return Finding("report", "fail", text, "Nothing was sent.")
    try:
        proxy = settings.upstream_proxy_url
        async with contextlib.aclosing(own_http(timeout=10, proxy=proxy)) as http:
            token = await make_login(settings, http).access_token()
        told = await ask(settings, token, probes(catalogue, cheapest))
        text = without_secrets(report(settings, findings, told), settings)
        write_atomically(file, text.encode())
    except CredentialError as error:
        return Finding("report", "fail", f"It needs a login. {error.message}", "Nothing was sent.")
    except httpx.HTTPError as error:
        why = str(error) or type(error).__name__
        return Finding("report", "fail", f"Anthropic can't be reached ({why}).", "Try again.")
    except OSError as error:
        return Finding(
            "report", "fail", f"{file} can't be written ({error.strerror}).", "Try another folder."
        )
    answers = ", ".join(f"{answer['name']} {answer['status']}" for answer in told)
    return Finding("report", "ok", f"{answers}. Read {file} before you attach it to an issue.")
