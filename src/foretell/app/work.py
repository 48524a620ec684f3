"""A go at a job: everything that is written for it is written by who has it, or not at all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from foretell.stores import jobs
from foretell.stores.jobs import Job

if TYPE_CHECKING:
    from foretell.app.tenancy import Tenancy

EVERY = 1.0  # seconds between two words of progress


class Ended(KeyboardInterrupt):
    """The job is not ours to go on with: no `except Exception` does.

    It was cancelled, or `lost`: another worker has taken it up.
    """

    def __init__(self, *, lost: bool) -> None:
        super().__init__("another worker has the job" if lost else "the job was cancelled")
        self.lost = lost


class Work:
    """What a worker who took a job up has done so far. Each transaction of its tenancy writes it down, or fails."""

    def __init__(self, job: Job) -> None:
        self.job, self.progress, self.doing = job, job.progress, job.doing
        self.notes = dict(job.notes)
        self._told = 0.0

    def note(self, **told: Any) -> None:
        """What another worker must know to go on, from the end of the next transaction, or of this one, on."""
        self.notes |= told

    def hold(self, connection: Any, tenant: str) -> None:
        """Write it down at the end of a transaction. Raises Ended, and nothing of the transaction is kept."""
        held = jobs.hold(connection, tenant, self.job, notes=self.notes, progress=self.progress, doing=self.doing)
        if not held:
            raise Ended(lost=held is None)

    def far(self, desk: Tenancy, doing: str, done: float) -> None:
        """Say what is being done and how far it is, 0 to 1, once a second. Raises Ended."""
        self.doing, self.progress = doing, done
        if time.monotonic() - self._told >= EVERY:
            with desk.transaction():
                pass
            self._told = time.monotonic()
