"""Every promise names a test that exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT, text


def named_tests() -> Iterator[tuple[str, str]]:
    for name in ("docs/dev/RELIABILITY.md", "docs/dev/SECURITY.md"):
        yield from re.findall(r"`([\w/]+\.py)::(test_\w+)`", text(name))


def test_every_test_that_a_promise_names_exists() -> None:
    missing = [
        f"{file}::{test}"
        for file, test in named_tests()
        if not re.search(rf"def {test}\(", _source(ROOT / "tests" / file))
    ]
    assert missing == []


def _source(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


PROMISED = {"O": 15, "R": 33, "S": 30, "T": 24}
"""Logins, reliability, attacks, threats: how many there are of each."""
PROOF = re.compile(r"`[\w/]+\.py::test_\w+`|`bench/\w+\.py`")


def numbered_rows() -> Iterator[tuple[str, str]]:
    """(number, its row) of the tables that begin with numbers."""
    for name in ("docs/dev/RELIABILITY.md", "docs/dev/SECURITY.md"):
        for numbers, rest in re.findall(
            r"^\| ([A-Z]\d+(?:, [A-Z]\d+)*) \|(.*)", text(name), re.MULTILINE
        ):
            yield from ((number, rest) for number in numbers.split(", "))


@pytest.mark.parametrize(("kind", "last"), PROMISED.items())
def test_every_promise_has_one_row_with_its_proof(kind: str, last: int) -> None:
    proved = [number for number, row in numbered_rows() if number[0] == kind and PROOF.search(row)]
    assert sorted(proved, key=lambda n: int(n[1:])) == [f"{kind}{n}" for n in range(1, last + 1)]
