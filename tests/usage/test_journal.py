"""What paid requests may cost is on the disk before they are sent."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from addon.usage.budget import Budget, Reservation
from addon.usage.journal import PaidJournal
from addon.usage.ledger import PERIODS, UsageLedger
from addon.usage.snapshot import SnapshotFile
from addon.usage.store import UsageStore
from tests.budget import examples
from tests.clock import Clock
from tests.usage.records import record


class Process:
    """A ledger, a budget, and how they are saved, from a start to a kill."""

    def __init__(self, home: Path) -> None:
        clock = Clock()
        self.ledger = UsageLedger(clock)
        self.budget = Budget(self.ledger)
        self.file, self.journal = SnapshotFile(home, clock), PaidJournal(home)
        self.store = UsageStore(self.file, self.ledger, self.budget, self.journal, monotonic=clock)
        self.store.load()

    def save(self) -> None:
        """As the store does every few seconds."""
        snapshot = self.store._snapshot_if_changed()
        if snapshot:
            self.store._save(self.store._version(), snapshot)

    def kill(self) -> None:
        """Nothing is saved; the system lets go of the files."""
        self.journal.close()
        self.file.close()

    @property
    def spent(self) -> int:
        return self.ledger.spent(PERIODS["all"])


def end(process: Process, reservation: Reservation, cost: int) -> None:
    """As the recorder does when a request has ended."""
    process.ledger.add(record(cost=cost))
    process.budget.release(reservation, cost)


STEPS = st.lists(st.sampled_from(("reserve", "end", "again", "save", "kill")), max_size=40)


@settings(max_examples=examples(300))
@given(steps=STEPS, seed=st.integers(0, 2**32))
def test_no_cent_is_unknown_after_a_kill(
    tmp_path_factory: object, steps: list[str], seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311
    home = Path(tmp_path_factory.mktemp("home"))  # type: ignore[attr-defined]
    process, running = Process(home), dict[int, Reservation]()
    paid = most = 0
    for step in steps:
        match step:
            case "reserve":
                reservation = process.budget.reserve(rng.randrange(1, 10**9), "m")
                running[reservation.id] = reservation
            case "again" if running:
                held = rng.choice([*running.values()])
                running[held.id] = process.budget.reserve(rng.randrange(1, 10**9), "m", held=held)
            case "end" if running:
                reservation = running.pop(rng.choice([*running]))
                cost = rng.randrange(reservation.amount)
                end(process, reservation, cost)
                paid, most = paid + cost, most + cost
            case "save":
                process.save()
            case "kill":
                process.kill()
                # whatever was running has cost something up to its reservation
                most += sum(each.amount for each in running.values())
                paid += sum(rng.randrange(each.amount + 1) for each in running.values())
                running.clear()
                process = Process(home)
                assert paid <= process.spent == most
                paid = most
    process.kill()


def test_an_interrupted_request_is_listed_with_its_reservation(tmp_path: Path) -> None:
    first = Process(tmp_path)
    first.budget.reserve(5_000, "claude-opus-5")
    first.kill()
    second = Process(tmp_path)
    (found,) = second.ledger.recent()
    assert (found.source, found.model, found.cost) == ("api_key", "claude-opus-5", 5_000)
    assert (found.error, found.status) == ("interrupted", 500)
    second.save()
    second.kill()
    assert Process(tmp_path).spent == 5_000


def test_a_line_that_was_cut_short_hides_no_other(tmp_path: Path) -> None:
    first = Process(tmp_path)
    first.budget.reserve(1_000, "m")
    first.kill()
    with (tmp_path / "paid.journal").open("ab") as file:
        file.write(b'[2,1.0,"m"')
    second = Process(tmp_path)
    assert second.spent == 1_000
    second.budget.reserve(200, "m")
    second.kill()
    assert Process(tmp_path).spent == 1_200


def test_the_journal_stays_small(tmp_path: Path) -> None:
    process = Process(tmp_path)
    for _ in range(100):
        end(process, process.budget.reserve(10, "m"), 1)
    held = process.budget.reserve(10, "m")
    process.save()
    assert process.journal.read() == {held.id: held}
    assert process.spent == 100


def test_a_second_process_writes_nothing_down(tmp_path: Path) -> None:
    first, second = Process(tmp_path), Process(tmp_path)
    first.budget.reserve(7, "m")
    second.budget.reserve(9, "m")
    assert [each.amount for each in first.journal.read().values()] == [7]
