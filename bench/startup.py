"""From the start of the process to its first answered request. `python -m bench.startup`

`start`: by `mitmdump -s ccproxy_addon.py`; `launched`: by the command line that `./start.sh` becomes. Plain mitmdump
has one start for both. The certificate authority is there, as in every start but a user's first: making its key takes
30 to 300 ms.
"""

from __future__ import annotations

import shutil
import time

from addon.cli.launch import mitmproxys
from bench.client import check
from bench.run import main
from bench.scenario import Claim, Figures, Scenario
from bench.target import Target
from bench.workload import Order, short_request
from tests.e2e.preloaded import certificate_authority

ORDER = Order(deltas=3)


def measure(target: Target, _scale: float) -> Figures:
    seconds, cpu = start(target)
    launched, launched_cpu = seconds, cpu
    if target.ours:
        line = mitmproxys("mitmdump")
        launched, launched_cpu = start(
            Target(target.name, target.upstream, target.source, program=line)
        )
    return {
        "start_ms": seconds * 1e3,
        "start_cpu_ms": cpu * 1e3,
        "launched_ms": launched * 1e3,
        "launched_cpu_ms": launched_cpu * 1e3,
    }


def start(target: Target) -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    shutil.copytree(certificate_authority(), target.home, dirs_exist_ok=True)
    began = time.monotonic()
    with target:
        connection = target.connect()
        answer = connection.ask(short_request(target.dialect, ORDER, stream=True))
        seconds, cpu = time.monotonic() - began, target.cpu
        connection.close()
    check(answer, target.dialect, ORDER.deltas)
    return seconds, cpu


SCENARIO = Scenario(
    "startup",
    "from the start of the process to the first answered request",
    measure,
    claims=(
        Claim("start_ms", "ratio", at_most=1.2),
        Claim("launched_ms", "ratio", at_most=1.2),
    ),
    names=("mitmdump", "ccproxy"),
    fresh=True,
)

if __name__ == "__main__":
    main([SCENARIO])
