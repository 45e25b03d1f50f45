"""Stands in for macOS's `security`: generic passwords in a JSON file, arguments written to a log.

usage: fake_security.py FOLDER ARGUMENTS...   (FOLDER/locked: the Keychain is locked)
"""

from __future__ import annotations

import itertools
import json
import shlex
import sys
from pathlib import Path

MAX_LINE = 4096


def main(folder: Path, arguments: list[str]) -> int:
    with (folder / "argv.log").open("a") as log:
        log.write(json.dumps(arguments) + "\n")
    if (folder / "locked").exists():
        return 36
    if arguments == ["-i"]:
        return interactive(folder, sys.stdin.read())
    return run(folder, arguments)


def interactive(folder: Path, text: str) -> int:
    """The real one reads into a buffer of 4096 bytes: the rest of a long line is the next command."""
    for line in text.splitlines(keepends=True):
        for start in range(0, len(line), MAX_LINE - 1):
            run(folder, shlex.split(line[start : start + MAX_LINE - 1]))
    return 0


def run(folder: Path, arguments: list[str]) -> int:
    items = folder / "items.json"
    passwords = json.loads(items.read_text()) if items.exists() else {}
    options = dict(itertools.pairwise(arguments))
    key = f"{options['-a']}|{options['-s']}"
    if arguments[0] == "add-generic-password":
        passwords[key] = options["-w"]
        items.write_text(json.dumps(passwords))
        return 0
    if key not in passwords:
        return 44
    value = passwords[key]
    print(value if value.isascii() else value.encode().hex())
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
