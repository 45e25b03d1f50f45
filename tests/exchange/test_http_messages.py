from mitmproxy.test import tutils

from addon.exchange.http_messages import copy_head


def test_a_twin_is_equal_and_changes_alone() -> None:
    request = tutils.treq(headers=((b"a", b"1"), (b"a", b"2")), content=b"body")
    other = copy_head(request)
    assert other.get_state() == request.get_state()
    other.headers["a"] = "3"
    other.path = "/elsewhere"
    assert request.headers.get_all("a") == ["1", "2"]
    assert request.path == "/path"
