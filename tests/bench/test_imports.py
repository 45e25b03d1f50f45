"""What `-X importtime` writes, between the lines of the program."""

from __future__ import annotations

from bench.imports import by_package, fastest, read

SAID = """\
import time: self [us] | cumulative | imported package
import time:        90 |         90 |   addon.core
ccproxy on http://localhost:8082
import time:      1200 |       1290 | addon.core.types
import time:         7 |          7 | orjson
"""


def test_each_module_has_its_own_time() -> None:
    assert read(SAID) == {"addon.core": 90, "addon.core.types": 1200, "orjson": 7}


def test_the_fastest_round_counts_and_packages_are_summed() -> None:
    times = fastest([read(SAID), {"addon.core": 80, "addon.core.types": 1300}])
    assert by_package(times, 2) == {"addon.core": 1280, "orjson": 7}
