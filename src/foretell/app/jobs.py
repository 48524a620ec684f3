"""The verb `jobs`: work that is put on record now and done by a worker, once, whatever becomes of the worker."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
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
    state, result, error = _done(Tenancy(house=house, tenant=tenant, who=job.asked_by, work=work), job)
    _end(Tenancy(house=house, tenant=tenant, who=job.asked_by), job, state, result, error)
    took = time.perf_counter() - began
    log.info("job %s %s of %s: %s after %.1f s", job.kind, job.subject, tenant, state, took)
    if state == "waiting":
        raise Again(FIRST * 2 ** (job.attempts - 1) * random.uniform(1, 1.5))  # noqa: S311 - no secret


def refuse(house: House, tenant: str, number: str, why: Unauthorized) -> None:
    """Let a job fail that no worker believes any more; what ended meanwhile is left alone."""
    desk = Tenancy(house=house, tenant=tenant, who="a worker")
    with desk.transaction() as connection:
        job = jobs.begin(connection, tenant, UUID(number))
    if job is not None:
        _end(replace(desk, who=job.asked_by), job, "failed", None, (why.code, str(why)))


def _end(
    desk: Tenancy, job: Job, state: State, result: dict[str, Any] | None, error: tuple[str, str] | None
) -> None:  # fmt: skip
    """Write down what came of a job; of one that failed at its time without anybody waiting, people are told."""
    with desk.transaction() as connection:
        jobs.end(connection, desk.tenant, job, state, result=result, error=error)
        if state == "failed" and error and job.asked_by == SCHEDULE and job.kind != "notify":
            words = f"{job.kind} {job.subject} failed".replace("  ", " ")
            lost = Finding(kind=f"{job.kind}_failed", severity="high", words=words, evidence={"job": str(job.job_id)})
            tell(desk, connection, job.subject or job.kind, [lost])


def _done(desk: Tenancy, job: Job) -> tuple[State, dict[str, Any] | None, tuple[str, str] | None]:
    """What becomes of a job: its new state, and what came of it or what went wrong."""
    from foretell.app import App

    kind = KINDS.get(job.kind)
    if job.cancelled:
        return "cancelled", None, None
    if kind is None:
        return "failed", None, ("NotFound", f"this foretell knows no jobs of kind {job.kind}")
    if job.attempts > ATTEMPTS:
        return "failed", None, ("Unavailable", f"{ATTEMPTS} workers were lost, or gave up, while they did it")
    try:
        return "done", kind.do(App(desk), kind.told.model_validate(job.told)), None
    except Ended:
        return "cancelled", None, None  # of one that is lost, nothing is written: another has it
    except Exception as error:
        passing = isinstance(error, Unavailable) or not isinstance(error, ForetellError)
        told = (error.code, str(error)) if isinstance(error, ForetellError) else (type(error).__name__, str(error))
        if not isinstance(error, ForetellError):
            log.exception("job %s %s of %s", job.kind, job.subject, desk.tenant)
        return ("waiting" if passing and job.attempts < ATTEMPTS else "failed"), None, told
