"""A request that is sent once more, to a stand-in."""

from __future__ import annotations

import pytest

from addon.cli.own_proxy import against_stand_in
from addon.core.own_http import HttpError


def test_a_failure_is_told_as_of_every_request_of_ours() -> None:
    client = {"path": "http://127.0.0.1:1/", "headers": [], "body": {}}
    with pytest.raises(HttpError, match="ConnectError"):
        against_stand_in({"client": client})
