import pytest
from mitmproxy import http
from mitmproxy.test import tutils

from addon.exchange.http_messages import QuickHeaders, copy_head, without_unknown_values


def test_a_twin_is_equal_and_changes_alone() -> None:
    request = tutils.treq(headers=((b"a", b"1"), (b"a", b"2")), content=b"body")
    other = copy_head(request)
    assert other.get_state() == request.get_state()
    other.headers["a"] = "3"
    other.path = "/elsewhere"
    assert request.headers.get_all("a") == ["1", "2"]
    assert request.path == "/path"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/analytics?period=week&limit=10", "/analytics?period=week&limit=10"),
        ("/v1/messages?beta=true", "/v1/messages?beta=true"),
        ("/openai/deployments/m/chat/completions?api-version=2024-10-21", ...),
        ("/v1/messages?api_key=sk-1&beta=true", "/v1/messages?api_key=[hidden]&beta=true"),
        ("/v1/messages?Key=x=y?z", "/v1/messages?Key=[hidden]"),
        ("/v1/messages?bare", "/v1/messages?[hidden]"),
        ("/analytics?period=sk-ant-api03-abcdefgh", "/analytics?period=[hidden]"),
        ("/analytics?period=%73ecret", "/analytics?period=[hidden]"),
        ("/health?", ...),
        ("/health", ...),
        ("/?&&", ...),
        ("", ...),
    ],
)
def test_the_values_of_a_query_are_hidden_unless_they_are_known(path: str, shown: object) -> None:
    assert without_unknown_values(path) == (path if shown is ... else shown)


NAMES = ["Set-Cookie", "set-cookie", "SET-COOKIE", b"x-One", "x-one", "missing", "é", "\udce9", ""]


@pytest.mark.parametrize("name", NAMES)
def test_quick_headers_find_what_mitmproxys_do(name: str | bytes) -> None:
    fields = [(b"Set-Cookie", b"a"), (b"x-one", b"\xe9"), (b"set-cookie", b"b"), (b"\xe9", b"")]
    slow, quick = http.Headers(fields), QuickHeaders(fields)
    assert quick.get_all(name) == slow.get_all(name)
    assert quick.get(name) == slow.get(name)
    assert quick.get(name, "") == slow.get(name, "")
    assert (name in quick) == (name in slow)
    quick["x-one"] = slow["x-one"] = "two"
    assert quick == slow
    assert quick.copy().get_state() == slow.get_state()
