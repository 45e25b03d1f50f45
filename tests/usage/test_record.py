"""Money that does not drift."""

from __future__ import annotations

import pytest

from addon.usage.record import picodollars, usd


@pytest.mark.parametrize("dollars", [0.0, 1e-9, 0.001194, 1.1, 123456.789])
def test_dollars_come_back_from_picodollars(dollars: float) -> None:
    assert usd(picodollars(dollars)) == dollars
