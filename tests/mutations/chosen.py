"""A pytest plugin: runs only the tests that a file lists, in its order."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    listed = Path(os.environ["MUTATIONS_CHOSEN"]).read_text(encoding="utf-8").splitlines()
    order = {ast.literal_eval(line): at for at, line in enumerate(listed)}
    items[:] = sorted((i for i in items if i.nodeid in order), key=lambda i: order[i.nodeid])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        with (
            Path(os.environ["MUTATIONS_CHOSEN"])
            .with_suffix(".failed")
            .open("a", encoding="utf-8") as file
        ):
            file.write(f"{report.nodeid!r}\n")
