"""How long everybody else waits while a body of 4 MB is read: a second connection asks something small all the while.

`python -m bench.large_body`
"""

from __future__ import annotations

import threading

from bench.client import Answer, check
from bench.run import main
from bench.scenario import Claim, Figures, Scenario, milliseconds, sized
from bench.target import Target
from bench.workload import Editor, Order

ORDER = Order(deltas=3)
BYTES = 4_000_000


def measure(target: Target, scale: float) -> Figures:
    editor = Editor(7, characters=60_000)
    editor.grow(5)
    size = len(editor.request(target.dialect, ORDER))
    editor.grow(5 * max(1, int(BYTES * min(scale, 1.0)) // size))
    waits: list[float] = []
    for _ in range(sized(4, scale)):
        waits += waits_during(target, editor.request(target.dialect, ORDER))
    return {"probe_p50_ms": milliseconds(waits), "longest_wait_ms": max(waits) * 1e3}


def waits_during(target: Target, body: bytes) -> list[float]:
    large, small = target.connect(), target.connect()
    small.probe()
    answers: list[Answer] = []
    sending = threading.Thread(target=lambda: answers.append(large.ask(body)))
    sending.start()
    waits = [small.probe()]
    while sending.is_alive():
        waits.append(small.probe())
    sending.join()
    large.close()
    small.close()
    check(answers[0], target.dialect, ORDER.deltas)
    return waits


SCENARIO = Scenario(
    "large_body",
    "the longest that a small request waits while one of 4 MB is read",
    measure,
    claims=(Claim("longest_wait_ms", "value", at_most=20),),
    names=("mitmdump", "ccproxy"),
)

if __name__ == "__main__":
    main([SCENARIO])
