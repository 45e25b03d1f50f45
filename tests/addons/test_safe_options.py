"""mitmproxy's options as they have to be."""

from __future__ import annotations

import pytest

from addon.addons.safe_options import listening_at

UPSTREAM = "reverse:https://api.anthropic.com"


def test_a_reverse_mode_without_address_moves_to_this_machine() -> None:
    moved = listening_at(UPSTREAM, 8082)
    assert moved[0] == f"{UPSTREAM}@127.0.0.1:8082"
    assert set(moved[1:]) <= {f"{UPSTREAM}@::1:8082"}


@pytest.mark.parametrize(
    "mode", [f"{UPSTREAM}@0.0.0.0:1", f"{UPSTREAM}@9000", "regular", "socks5@1080"]
)
def test_what_the_user_named_stays(mode: str) -> None:
    assert listening_at(mode, 8082) == [mode]
