"""Kills a process that saves a login again and again, at a random moment, N times; checks the file after each.

Prints, as JSON, how many kills left a temporary file behind (they hit in the middle of a save) and what was found wrong.
It forks, so it must not run inside pytest, which has threads.

usage: python -m tests.credentials.kill_writer FILE N
"""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import sys
import time
from pathlib import Path

from addon.credentials.credential import Grant, merged
from addon.credentials.store import FileStore
from tests.credentials.samples import NOW, document, read

FILLING = "x" * 20_000
"""Long enough that a write takes more than one moment."""


def save_for_ever(store: FileStore) -> None:
    content = document()
    content["mcpOAuth"]["filling"] = FILLING
    for number in range(1_000_000):
        grant = Grant(access_token=f"a{number}", refresh_token=f"r{number}", expires_in=60)
        content = merged(content, grant, NOW)
        store.save(content)


def kill_one(store: FileStore, luck: random.Random) -> None:
    child = os.fork()
    if child == 0:
        save_for_ever(store)
    time.sleep(luck.uniform(0.001, 0.02))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def faults(file: Path) -> list[str]:
    """What is wrong with the file. The old content or the new is right, nothing else."""
    try:
        content = read(file)
    except ValueError:
        return ["corrupt"]
    login, expected = content["claudeAiOauth"], document()
    tokens = {key: login[key] for key in ("accessToken", "refreshToken", "expiresAt")}
    if tokens["accessToken"][1:] != tokens["refreshToken"][1:]:
        return ["half a pair of tokens"]
    expected["claudeAiOauth"].update(tokens)
    expected["mcpOAuth"]["filling"] = FILLING
    wrong = [] if content == expected else ["fields lost"]
    wrong += [] if stat.S_IMODE(file.stat().st_mode) == 0o600 else ["mode"]
    return wrong + ([] if file.is_symlink() else ["no link any more"])


def main(file: Path, kills: int) -> None:
    luck, wrong = random.Random(7), []  # noqa: S311 - no secret
    store = FileStore(file)
    for _ in range(kills):
        kill_one(store, luck)
        wrong += faults(file)
    orphans = len(list(file.resolve().parent.glob("*ccproxy-*")))
    FileStore(file, wall=lambda: time.time() + 61).save(read(file))
    left = len(list(file.resolve().parent.glob("*ccproxy-*")))
    print(json.dumps({"orphans": orphans, "left": left, "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
