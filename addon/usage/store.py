"""Saves the ledger and the budget every few seconds, outside of the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

from addon.usage.budget import Budget
from addon.usage.ledger import UsageLedger
from addon.usage.snapshot import SnapshotFile
from addon.usage.snapshot_format import Snapshot

log = logging.getLogger(__name__)

SAVE_SECONDS = 5.0
"""If the process is killed, the usage of this time and of one save is lost: less than ten seconds."""
REPORT_SECONDS = 60.0


class UsageStore:
    """Call `load` at start and `close` at exit; run `run` as a task, with `ended` as its callback."""

    def __init__(
        self,
        file: SnapshotFile,
        ledger: UsageLedger,
        budget: Budget,
        *,
        monotonic: Callable[[], float],
        interval: float = SAVE_SECONDS,
    ) -> None:
        self._file = file
        self._ledger = ledger
        self._budget = budget
        self._monotonic = monotonic
        self._interval = interval
        self._saved: tuple[int, int] | None = None
        self._saving = threading.Lock()
        self._failure: str | None = None
        self._reported: float | None = None

    @property
    def problem(self) -> str | None:
        """Why usage is not being saved, for `/health`; None if it is."""
        refusal = self._file.refusal
        return f"Usage is kept in memory only: {refusal}" if refusal else self._failure

    def load(self) -> None:
        """Lock the directory and fill the ledger and the budget. Never raises: without a readable snapshot, usage
        starts at zero; if there was one that can't be read, paid requests need a confirmation first."""
        self._file.open()
        if self.problem:
            log.warning(self.problem)
        loaded = self._file.load()
        for problem in loaded.problems:
            log.warning(problem)
        if loaded.snapshot:
            self._ledger.restore(loaded.snapshot.ledger)
            self._budget.restore(loaded.snapshot.settings, known=loaded.snapshot.known)
        elif loaded.problems:
            self._budget.restore(self._budget.settings, known=False)
            log.warning(
                "What was spent before is unknown: paid calls are stopped until you confirm with POST /budget."
            )

    async def run(self) -> None:
        """Save whenever something has changed, until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
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
        self._file.close()

    def _version(self) -> tuple[int, int]:
        return self._ledger.version, self._budget.version

    def _snapshot_if_changed(self) -> Snapshot | None:
        if self._saved == self._version():
            return None
        return Snapshot(self._ledger.state(), self._budget.settings, self._budget.known)

    def _save(self, version: tuple[int, int], snapshot: Snapshot) -> None:
        # A save that was still waiting for its thread at exit must not overwrite the last one.
        with self._saving:
            if self._saved is None or version > self._saved:
                self._try_save(version, snapshot)

    def _try_save(self, version: tuple[int, int], snapshot: Snapshot) -> None:
        try:
            self._file.save(snapshot)
        except OSError as error:
            self._report(f"Usage can't be saved at present and is kept in memory: {error}")
            return
        if self._failure:
            log.warning("Usage is saved again.")
        self._saved, self._failure, self._reported = version, None, None

    def _report(self, failure: str) -> None:
        self._failure = failure
        now = self._monotonic()
        if self._reported is None or now - self._reported >= REPORT_SECONDS:
            self._reported = now
            log.warning(failure)
