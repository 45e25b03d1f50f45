from __future__ import annotations

import pytest
from hypothesis import settings

# How long one example takes says more about the other work on the machine than about the code.
settings.register_profile("wire", deadline=None)
settings.load_profile("wire")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the golden files with what comes out now",
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden", default=False))
