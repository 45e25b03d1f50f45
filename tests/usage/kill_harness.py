"""Kills a writer of snapshots again and again: `python kill_harness.py DIRECTORY ROUNDS`.

Each round forks a child that books requests and saves after each; the child reports every save that was finished.
The parent kills it at a random moment, loads what is there, and checks that nothing finished was lost. A clean
process of its own, because forking is only safe with one thread.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from addon.usage.budget import BudgetSettings
from addon.usage.ledger import PERIODS, UsageLedger
from addon.usage.record import RequestRecord
from addon.usage.snapshot import SnapshotFile
from addon.usage.snapshot_format import Snapshot


def open_ledger(home: Path) -> tuple[SnapshotFile, UsageLedger, list[str]]:
    file, ledger = SnapshotFile(home, time.time), UsageLedger(time.time, ring_size=50)
    file.open()
    loaded = file.load()
    if loaded.snapshot:
        ledger.restore(loaded.snapshot.ledger)
    return file, ledger, loaded.problems


def write_for_ever(home: Path, report: int) -> None:
    file, ledger, _ = open_ledger(home)
    while True:
        ledger.add(RequestRecord(time=time.time(), model="m", source="api_key", cost=1))
        file.save(Snapshot(ledger.state(), BudgetSettings(), known=True))
        os.write(report, b"%d\n" % ledger.count())


def finished(reader: int) -> int:
    with os.fdopen(reader, "rb") as reports:
        return int((reports.read().splitlines() or [b"0"])[-1])


def kill_once(home: Path, wait: float) -> int:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        write_for_ever(home, writer)
    os.close(writer)
    time.sleep(wait)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return finished(reader)


def main(home: Path, rounds: int) -> None:
    rng = random.Random(5)  # noqa: S311 - repeatable, not secret
    result = {"killed": 0, "problems": 0, "lost": 0, "orphans": 0, "written": 0, "disagree": 0}
    saved = 0
    for _ in range(rounds):
        saved = max(saved, kill_once(home, rng.uniform(0.001, 0.04)))
        result["killed"] += 1
        file, ledger, problems = open_ledger(home)
        result["problems"] += len(problems)
        result["lost"] += max(0, saved - ledger.count())
        result["orphans"] += len([*home.glob("*.ccproxy-*")])
        result["disagree"] += abs(ledger.spent(PERIODS["all"]) - ledger.count())
        file.close()
    result["written"] = saved
    print(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
