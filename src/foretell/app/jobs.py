"""The verb `jobs`: work that is put on record now and done by a worker, once, whatever becomes of the worker."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from foretell.app.house import House
from foretell.app.kinds import KINDS, Kind
from foretell.app.notices import tell
from foretell.app.requests import request_of
from foretell.app.tenancy import Tenancy
from foretell.app.work import Ended, Work
from foretell.contract import Finding
from foretell.errors import ForetellError, InvalidRequest, NotFound, Refused, Unauthorized, Unavailable
from foretell.stores import jobs, records
from foretell.stores.jobs import Again, State
from foretell.stores.jobs import Job as Job  # noqa: PLC0414 - web and cli name it too

log = logging.getLogger("foretell")

STATES: tuple[State, ...] = ("waiting", "running", "done", "failed", "cancelled")
MOST = 1000  # jobs listed at once, and waiting ones of a tenant
SCHEDULE = "the schedule"  # who asks for what is due
ATTEMPTS = 5  # goes at a job whose workers are lost, or that meets with something that passes
FIRST = 5.0  # seconds until the second go; each time twice as long
LONGEST = timedelta(hours=8)  # after its first go, that a job waits for somebody who is left alone
SPREAD = 60.0  # seconds, at most, that it waits longer, so that not all come at once
RESTS = "rests"  # the note of how often it did


@dataclass(frozen=True, kw_only=True)
class _Came:
    """What came of a go at a job: its new state, and its result or what went wrong (code and words).

    `until` is when its next go is, where that is known.
    """

    state: State
    result: dict[str, Any] | None = None
    error: tuple[str, str] | None = None
    until: datetime | None = None


class Jobs:
    """A tenant's jobs. Every method raises NotFound for one that is not there."""

    def __init__(self, desk: Tenancy) -> None:
        self.desk = desk

    def start(self, kind: str, told: Mapping[str, Any], *, run_key: str | None = None) -> Job:
        """Put a job on record and hand it to the workers; one with the same key is the one of before.

        Raises NotFound for an unknown kind or subject, InvalidRequest for what it can't be told, and Refused where too
        many are waiting.
        """
        declared = _kind(kind)
        read = request_of(declared.told, told)
        from foretell.app import App

        declared.there(App(self.desk), read)
        with self.desk.inside() as connection:
            if jobs.waiting(connection, self.desk.tenant) >= MOST:
                raise Refused(f"{MOST:,} jobs of {self.desk.tenant} are waiting already; cancel some, or ask later")
            return put(self.desk, connection, kind, read, run_key)

    def get(self, job: UUID) -> Job:
        """A job as it is now."""
        with self.desk.inside() as connection:
            return jobs.get(connection, self.desk.tenant, job)

    def list(
        self, *, states: Sequence[State] = STATES, before: datetime | None = None, limit: int = 100
    ) -> Sequence[Job]:
        """Jobs in these states, newest first; those asked for before a moment, where one is given."""
        if not 1 <= limit <= MOST:
            raise InvalidRequest(f"limit {limit}: ask for 1 to {MOST:,} jobs, and on with `before`")
        with self.desk.inside() as connection:
            return jobs.listed(connection, self.desk.tenant, states=states, before=before, limit=limit)

    def cancel(self, job: UUID) -> Job:
        """Let a job end: at once one that waits, at its next step one that runs. Raises Refused for one that ended."""
        with self.desk.inside() as connection:
            found = jobs.get(connection, self.desk.tenant, job)
            if found.ended_at:
                raise Refused(f"the job {job} has ended already: {found.state}")
            jobs.cancel(connection, self.desk.tenant, job)
            if found.state == "running":  # its worker may be gone, and with it the queue's word of it
                _deliver(self.desk, connection, found)
            records.audit(connection, self.desk.tenant, self.desk.who, "cancel", found.kind, {"job": str(job)})
            return jobs.get(connection, self.desk.tenant, job)


def put(desk: Tenancy, connection: Any, kind: str, told: BaseModel, run_key: str | None) -> Job:
    """Put a job on record and into the queue, in the connection's transaction; as `Jobs.start`, which checks it."""
    declared, plain = KINDS[kind], told.model_dump(mode="json")
    job, new = jobs.add(connection, desk.tenant, kind, declared.subject(told), plain, desk.who, run_key)
    if new:
        _deliver(desk, connection, job)
        records.audit(connection, desk.tenant, desk.who, "job", kind, {"job": str(job.job_id), **plain})
    return job


def _deliver(desk: Tenancy, connection: Any, job: Job) -> None:
    """Put a job into its queue, sealed; it is done once, however often it is there."""
    kind = KINDS.get(job.kind)
    rank = 2 if kind and kind.first else int(job.asked_by != SCHEDULE)
    seal = desk.house.keys.seal(f"{desk.tenant}/{job.job_id}")
    jobs.deliver(connection, desk.tenant, job.job_id, kind.queue if kind else "maintenance", seal, rank)


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise NotFound(f"no jobs of kind {name!r}; there are {', '.join(KINDS)}")
    return KINDS[name]


def run(house: House, tenant: str, number: str, seal: str) -> None:
    """Do a job that the queue hands out, and write down what came of it; what ended meanwhile is left alone.

    Raises Again for what is to be tried later, Unauthorized for a number that we did not seal.
    """
    house.keys.unseal(f"{tenant}/{number}", seal)
    with Tenancy(house=house, tenant=tenant, who="a worker").transaction() as connection:
        job = jobs.begin(connection, tenant, UUID(number))
    if job is None:
        return
    work = Work(job)
    began = time.perf_counter()
    came = _done(Tenancy(house=house, tenant=tenant, who=job.asked_by, work=work), job)
    _end(Tenancy(house=house, tenant=tenant, who=job.asked_by), job, came)
    took = time.perf_counter() - began
    log.info("job %s %s of %s: %s after %.1f s", job.kind, job.subject, tenant, came.state, took)
    if came.until:
        then = came.until + timedelta(seconds=random.uniform(1, SPREAD))  # noqa: S311 - no secret
        raise Again(max(1.0, (then - datetime.now(UTC)).total_seconds()), aside=then)
    if came.state == "waiting":
        raise Again(FIRST * 2 ** (_tries(job) - 1) * random.uniform(1, 1.5))  # noqa: S311 - no secret


def refuse(house: House, tenant: str, number: str, why: Unauthorized) -> None:
    """Let a job fail that no worker believes any more; what ended meanwhile is left alone."""
    desk = Tenancy(house=house, tenant=tenant, who="a worker")
    with desk.transaction() as connection:
        job = jobs.begin(connection, tenant, UUID(number))
    if job is not None:
        _end(replace(desk, who=job.asked_by), job, _Came(state="failed", error=(why.code, str(why))))


def _end(desk: Tenancy, job: Job, came: _Came) -> None:
    """Write down what came of a job; of one that failed at its time without anybody waiting, people are told."""
    notes = {RESTS: job.notes.get(RESTS, 0) + 1} if came.until else {}
    with desk.transaction() as connection:
        jobs.end(connection, desk.tenant, job, came.state, result=came.result, error=came.error, notes=notes)
        if came.state == "failed" and came.error and job.asked_by == SCHEDULE and job.kind != "notify":
            words = f"{job.kind} {job.subject} failed".replace("  ", " ")
            lost = Finding(kind=f"{job.kind}_failed", severity="high", words=words, evidence={"job": str(job.job_id)})
            tell(desk, connection, job.subject or job.kind, [lost])


def _done(desk: Tenancy, job: Job) -> _Came:
    """Do a job; what came of it."""
    from foretell.app import App

    kind = KINDS.get(job.kind)
    if job.cancelled:
        return _Came(state="cancelled")
    if kind is None:
        return _Came(state="failed", error=("NotFound", f"this foretell knows no jobs of kind {job.kind}"))
    if _tries(job) > ATTEMPTS:
        words = f"{ATTEMPTS} workers were lost, or gave up, while they did it"
        return _Came(state="failed", error=("Unavailable", words))
    try:
        return _Came(state="done", result=kind.do(App(desk), kind.told.model_validate(job.told)))
    except Ended:
        return _Came(state="cancelled")  # of one that is lost, nothing is written: another has it
    except Exception as error:
        return _wrong(desk, job, error)


def _wrong(desk: Tenancy, job: Job, error: Exception) -> _Came:
    """What came of a job that went wrong: it fails, or waits for its next go.

    Where the error says until when a go is in vain it waits as long, at most until `LONGEST` after its first; such a go
    is no try.
    """
    if not isinstance(error, ForetellError):
        log.exception("job %s %s of %s", job.kind, job.subject, desk.tenant)
        again: State = "waiting" if _tries(job) < ATTEMPTS else "failed"
        return _Came(state=again, error=(type(error).__name__, str(error)))
    told, until = (error.code, str(error)), error.until if isinstance(error, Unavailable) else None
    if until:
        within = until <= (job.started_at or until) + LONGEST
        return _Came(state="waiting" if within else "failed", error=told, until=until if within else None)
    passing = isinstance(error, Unavailable) and _tries(job) < ATTEMPTS
    return _Came(state="waiting" if passing else "failed", error=told)


def _tries(job: Job) -> int:
    """How often a job was taken up, those times left out when it could not be tried."""
    return job.attempts - int(job.notes.get(RESTS, 0))
