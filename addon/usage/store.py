"""Saves the ledger and the budget every few seconds, outside of the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field

from addon.usage.budget import Budget, Reservation
from addon.usage.journal import PaidJournal
from addon.usage.ledger import UsageLedger
from addon.usage.record import RequestRecord, usd
from addon.usage.snapshot import SnapshotFile
from addon.usage.snapshot_format import Snapshot
from addon.usage.subscription import SubscriptionState

log = logging.getLogger(__name__)

SAVE_SECONDS = 5.0
"""If the process is killed, the usage of this time and of one save is lost: less than ten seconds. What was paid is
not: the journal has it."""
REPORT_SECONDS = 60.0


@dataclass(eq=False, repr=False)
class UsageStore:
    """Call `load` at start and `close` at exit; run `run` as a task, with `ended` as its callback."""

    file: SnapshotFile
    ledger: UsageLedger
    budget: Budget
    journal: PaidJournal
    _: KW_ONLY
    monotonic: Callable[[], float]
    subscription: SubscriptionState = field(default_factory=SubscriptionState)
    interval: float = SAVE_SECONDS
    _saved: tuple[int, ...] | None = field(default=None, init=False)
    _saving: threading.Lock = field(default_factory=threading.Lock, init=False)
    _failure: str | None = field(default=None, init=False)
    _reported: float | None = field(default=None, init=False)

    @property
    def problem(self) -> str | None:
        """Why usage is not being saved, for `/health`; None if it is."""
        refusal = self.file.refusal
        return f"Usage is kept in memory only: {refusal}" if refusal else self._failure

    def load(self) -> None:
        """Lock the directory and fill the ledger and the budget. Never raises: without a readable snapshot, usage
        starts at zero; if there was one that can't be read, paid requests need a confirmation first."""
        self.file.open()
        if self.problem:
            log.warning(self.problem)
        loaded = self.file.load()
        for problem in loaded.problems:
            log.warning(problem)
        if loaded.snapshot:
            self.ledger.restore(loaded.snapshot.ledger)
            self.budget.restore(loaded.snapshot.settings, known=loaded.snapshot.known)
            self._restore_plan(loaded.snapshot)
        elif loaded.problems:
            self.budget.restore(self.budget.settings, known=False)
            log.warning(
                "What was spent before is unknown: paid calls are stopped until you confirm with POST /budget."
            )
        if self.file.refusal is None:
            self._open_journal(loaded.snapshot)

    def _restore_plan(self, snapshot: Snapshot) -> None:
        try:
            if snapshot.plan is not None:
                self.subscription.restore(snapshot.plan, self.ledger.now())
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("The plan's limits are not known until the next response: %r", error)

    def _open_journal(self, snapshot: Snapshot | None) -> None:
        """Count the paid requests that the snapshot does not know the end of, and go on writing."""
        held = snapshot.held if snapshot else ()
        last = snapshot.last_reservation if snapshot else 0
        noted = self.journal.read()
        running = {each.id: each for each in held}
        lost = running | {id: each for id, each in noted.items() if id > last or id in running}
        for each in lost.values():
            if each.amount:
                self.ledger.add(interrupted(each))
        if amount := sum(each.amount for each in lost.values()):
            log.warning(
                "ccproxy was killed while paid requests were running: up to $%.4f are counted for them.",
                usd(amount),
            )
        self.budget.last_id = max([last, *noted])
        try:
            self.journal.open()
        except OSError as error:
            log.warning("What paid requests may cost can't be written down: %s", error)
        self.budget.note = self.journal.note

    async def run(self) -> None:
        """Save whenever something has changed, until cancelled."""
        while True:
            await asyncio.sleep(self.interval)
            version, snapshot = self._version(), self._snapshot_if_changed()
            if snapshot:
                # In a thread: encoding some megabytes and waiting for the disk would delay every stream.
                await asyncio.to_thread(self._save, version, snapshot)

    def ended(self, task: asyncio.Task[None]) -> None:
        """Report it if `run` ended with an exception: usage is not saved from then on."""
        error = None if task.cancelled() else task.exception()
        if error:
            self._failure = f"Usage is not saved until ccproxy is restarted: {error!r}"
            log.error(self._failure, exc_info=error)

    def close(self) -> None:
        """Save what has changed and unlock the directory. Never raises."""
        snapshot = self._snapshot_if_changed()
        if snapshot:
            self._save(self._version(), snapshot)
        self.journal.close()
        self.file.close()

    def _version(self) -> tuple[int, ...]:
        return self.ledger.version, self.budget.version, self.subscription.version

    def _snapshot_if_changed(self) -> Snapshot | None:
        if self._saved == self._version():
            return None
        budget = self.budget
        return Snapshot(
            self.ledger.state(),
            budget.settings,
            budget.known,
            held=budget.held,
            plan=self.subscription.saved(),
            last_reservation=budget.last_id,
        )

    def _save(self, version: tuple[int, ...], snapshot: Snapshot) -> None:
        # A save that was still waiting for its thread at exit must not overwrite the last one.
        with self._saving:
            if self._saved is None or version > self._saved:
                self._try_save(version, snapshot)

    def _try_save(self, version: tuple[int, ...], snapshot: Snapshot) -> None:
        try:
            self.file.save(snapshot)
            self.journal.keep(snapshot.last_reservation, {each.id for each in snapshot.held})
        except OSError as error:
            self._report(f"Usage can't be saved at present and is kept in memory: {error}")
            return
        if self._failure:
            log.warning("Usage is saved again.")
        self._saved, self._failure, self._reported = version, None, None

    def _report(self, failure: str) -> None:
        self._failure = failure
        now = self.monotonic()
        if self._reported is None or now - self._reported >= REPORT_SECONDS:
            self._reported = now
            log.warning(failure)


def interrupted(reservation: Reservation) -> RequestRecord:
    """Of a paid request whose end is not known: it counts with the most that it can have cost."""
    return RequestRecord(
        time=reservation.time,
        model=reservation.model,
        source="api_key",
        status=500,
        cost=reservation.amount,
        error="interrupted",
    )
