"""What valgrind writes, a request's share of it."""

from __future__ import annotations

from bench.instructions import REQUESTS, Counts, read

PROFILE = """\
# callgrind format
version: 1
cmd:  python mitmdump
events: Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw
fn=(1) call
1 2 3
totals: {}
"""


def test_the_counts_of_a_request() -> None:
    totals = (900, 1, 1, 10, 20, 30, 4, 5, 6)
    found = read(PROFILE.format(" ".join(str(count * REQUESTS) for count in totals)), REQUESTS)
    assert found == Counts(900, 60, 15)
