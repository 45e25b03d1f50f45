"""How many connections there may be, by the descriptors that the system gives."""

from __future__ import annotations

import subprocess
import sys

import pytest

ASK = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from addon.replay_layer.connections import room_for_connections
print(room_for_connections(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize(
    ("soft", "hard", "room", "raised"),
    [
        pytest.param(256, 4096, 1000, 2064, id="a-low-limit-is-raised"),
        pytest.param(256, 512, 224, 512, id="as-far-as-it-may-be"),
        pytest.param(3000, 4096, 1000, 3000, id="a-high-one-is-left-alone"),
        pytest.param(70, 70, 16, 70, id="some-room-there-is-always"),
    ],
)
def test_there_are_two_descriptors_for_each(soft: int, hard: int, room: int, raised: int) -> None:
    command = [sys.executable, "-c", ASK.format(soft=soft, hard=hard)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.split() == [str(room), str(raised)]
