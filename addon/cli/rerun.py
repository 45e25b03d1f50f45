"""Sends a saved request again, through the proxy to the stand-in for Anthropic: `python -m addon.cli.rerun FILE`.

FILE is a response of `GET /explain/<id>`. It needs no account and no internet and costs nothing. It shows what this
version of ccproxy makes of a request that failed, and what has changed since.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from addon.api.request_history import KEPT_HEADERS, as_text
from addon.cli.own_proxy import DidNotStart, proxy
from addon.core.json_codec import JsonError, loads
from addon.core.own_http import sync_client
from addon.core.types import JsonObject
from addon.core.version import STARTED_AS
from addon.stand_in.anthropic import FakeAnthropic


class Unusable(Exception):
    """The file can't be used; the message says why."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog=f"{STARTED_AS} rerun", description=__doc__)
    parser.add_argument("file", type=Path, help="a response of GET /explain/<id>")
    try:
        saved = read(parser.parse_args(arguments).file)
        again = rerun(saved)
    except (Unusable, DidNotStart, httpx.HTTPError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(as_text(again))
    sys.stdout.write("\nWHAT IS SENT UPSTREAM, THEN AND NOW\n\n")
    sys.stdout.write("".join(differences(saved, again)) or "No difference.\n")
    return 0


def read(file: Path) -> JsonObject:
    """Raises Unusable."""
    try:
        entry = loads(file.read_bytes())
    except OSError as error:
        raise Unusable(f"{file} can't be read: {error.strerror}.") from None
    except JsonError as error:
        raise Unusable(f"{file} is not JSON: {error}") from None
    client = entry.get("client") if isinstance(entry, dict) else None
    if not isinstance(client, dict) or not isinstance(client.get("body"), dict):
        raise Unusable(f"{file} is not a response of GET /explain/<id>: it has no client.body.")
    return dict(entry)


def rerun(saved: JsonObject) -> JsonObject:
    """The new entry. Raises DidNotStart or httpx.HTTPError."""
    client = saved["client"]
    headers = {name: value for name, value in client["headers"] if name.lower() in KEPT_HEADERS}
    with ExitStack() as stack:
        fake = stack.enter_context(FakeAnthropic())
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="ccproxy-rerun-"))
        url = stack.enter_context(proxy(home, fake.url, EXPLAIN="true"))
        http = stack.enter_context(sync_client(base_url=url, timeout=120, trust_env=False))
        http.post(client["path"], json=client["body"], headers=headers)
        newest = http.get("/explain").json()["requests"][0]["id"]
        return dict(http.get(f"/explain/{newest}").json())


def differences(before: JsonObject, after: JsonObject) -> Iterator[str]:
    """A unified diff of the last body that was sent upstream."""
    return difflib.unified_diff(_sent(before), _sent(after), "then", "now")


def _sent(entry: JsonObject) -> list[str]:
    attempts: list[Any] = entry.get("upstream") or [{}]
    text = json.dumps(attempts[-1].get("body"), indent=2, ensure_ascii=False, sort_keys=True)
    return text.splitlines(keepends=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
