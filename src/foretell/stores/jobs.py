"""Jobs on record: what is to be done for a tenant, how far it is, and what came of it.

The queue (`stores.queue`) only hands their numbers to workers; what is here counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from foretell.errors import NotFound
from foretell.stores.access import QUEUE

State = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Something to be done for a tenant, once; `notes` are where it goes on after a worker was lost."""

    job_id: UUID
    run_key: str | None  # a second one with the same key is the first
    kind: str
    subject: str
    told: Mapping[str, Any]
    asked_by: str
    state: State
    attempts: int
    progress: float  # 0 to 1
    doing: str | None
    notes: Mapping[str, Any]
    cancelled: bool  # somebody wants it to end
    result: Mapping[str, Any] | None
    error: str | None  # the code of what went wrong,
    message: str | None  # and its words
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class Again(Exception):  # noqa: N818 - it is no error
    """What was to be done is to be tried again, so many seconds from now.

    One that waits `aside`, until that moment, keeps none of its tenant's other jobs waiting; it comes last then.
    """

    def __init__(self, seconds: float, *, aside: datetime | None = None) -> None:
        super().__init__(f"again in {seconds:.0f} s")
        self.seconds, self.aside = seconds, aside


_COLUMNS = ", ".join(Job.__dataclass_fields__)
_ADD = (
    "INSERT INTO jobs (tenant_id, job_id, run_key, kind, subject, told, asked_by) VALUES"  # noqa: S608 - our own names
    " (%(tenant)s, %(job)s, %(key)s, %(kind)s, %(subject)s, %(told)s, %(who)s)"
    f" ON CONFLICT (tenant_id, run_key) DO NOTHING RETURNING {_COLUMNS}"
)
_BEGIN = (
    "UPDATE jobs SET state = 'running', attempts = attempts + 1, started_at = coalesce(started_at, now())"  # noqa: S608
    f" WHERE tenant_id = %s AND job_id = %s AND state IN ('waiting', 'running') RETURNING {_COLUMNS}"
)
_JOB = f"SELECT {_COLUMNS} FROM jobs WHERE tenant_id = %(tenant)s"  # noqa: S608 - our own names


def add(
    connection: Connection[Any], tenant: str, kind: str, subject: str, told: Mapping[str, Any], who: str,
    run_key: str | None = None,
) -> tuple[Job, bool]:  # fmt: skip
    """Put a job on record; it, and whether it is new. One with the same key is not: that is the one of before."""
    values = {
        "tenant": tenant, "job": uuid4(), "key": run_key, "kind": kind, "subject": subject, "told": Jsonb(told),
        "who": who,
    }  # fmt: skip
    with connection.cursor(row_factory=class_row(Job)) as cursor:
        made = cursor.execute(_ADD, values).fetchone()
        if made:
            return made, True
        found = cursor.execute(f"{_JOB} AND run_key = %(key)s", values).fetchone()
    assert found is not None
    return found, False


def deliver(connection: Connection[Any], tenant: str, job: UUID, queue: str, seal: str, rank: int) -> None:
    """Hand a job to the workers when this transaction is committed: in its rank and its tenant's turn."""
    values = [tenant, str(job), queue, seal, rank]
    connection.execute(f"SELECT {QUEUE}.deliver(%s, %s, %s, %s, %s)".encode(), values)


def get(connection: Connection[Any], tenant: str, job: UUID) -> Job:
    """A job by its number; raises NotFound."""
    with connection.cursor(row_factory=class_row(Job)) as cursor:
        found = cursor.execute(f"{_JOB} AND job_id = %(job)s", {"tenant": tenant, "job": job}).fetchone()
    if found is None:
        raise NotFound(f"there is no job {job}; type: foretell jobs list")
    return found


def listed(
    connection: Connection[Any], tenant: str, *, states: Sequence[str], before: datetime | None, limit: int
) -> list[Job]:
    """Jobs in one of these states, newest first; of those that were asked for before a moment, where one is given."""
    with connection.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(
            f"{_JOB} AND state = ANY(%(states)s) AND (%(before)s::timestamptz IS NULL OR created_at < %(before)s)"
            " ORDER BY created_at DESC, job_id LIMIT %(limit)s",
            {"tenant": tenant, "states": list(states), "before": before, "limit": limit},
        ).fetchall()


def waiting(connection: Connection[Any], tenant: str) -> int:
    """How many jobs are waiting."""
    row = connection.execute(
        "SELECT count(*) FROM jobs WHERE tenant_id = %s AND state = 'waiting'", [tenant]
    ).fetchone()
    return int(row[0]) if row else 0


def awaited(connection: Connection[Any], tenant: str, kind: str, subject: str, within: timedelta) -> bool:
    """Whether a job of that kind about that subject, put on record within that time, is still waiting."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM jobs WHERE tenant_id = %s AND kind = %s AND subject = %s AND state = 'waiting'"
        " AND created_at > now() - %s)",
        [tenant, kind, subject, within],
    ).fetchone()
    return bool(row and row[0])


def cancel(connection: Connection[Any], tenant: str, job: UUID) -> None:
    """Let a job end: at once one that waits, at its next step one that runs; one that has ended stays as it is."""
    connection.execute(
        "UPDATE jobs SET cancelled = true, state = CASE state WHEN 'waiting' THEN 'cancelled' ELSE state END,"
        " ended_at = CASE state WHEN 'waiting' THEN now() END"
        " WHERE tenant_id = %s AND job_id = %s AND state IN ('waiting', 'running')",
        [tenant, job],
    )


# ---------------------------------------------------------------- a worker's


def begin(connection: Connection[Any], tenant: str, job: UUID) -> Job | None:
    """Take a job up; from now on nobody who took it up before can write for it. None where there is nothing to do."""
    with connection.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(_BEGIN, [tenant, job]).fetchone()


def hold(
    connection: Connection[Any], tenant: str, job: Job, *, notes: Mapping[str, Any], progress: float, doing: str | None
) -> bool | None:
    """Write down how far a job is, for who took it up; whether it shall go on, and None if another has it now."""
    row = connection.execute(
        "UPDATE jobs SET notes = %s, progress = %s, doing = %s WHERE tenant_id = %s AND job_id = %s"
        " AND state = 'running' AND attempts = %s RETURNING NOT cancelled",
        [Jsonb(notes), progress, doing, tenant, job.job_id, job.attempts],
    ).fetchone()
    return row[0] if row else None


def end(
    connection: Connection[Any], tenant: str, job: Job, state: State, *, result: Mapping[str, Any] | None = None,
    error: tuple[str, str] | None = None, notes: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Say what came of a job, for who took it up; nothing if another has it now. `waiting` is to be tried again.

    `notes` are added to its own.
    """
    code, message = error or (None, None)
    connection.execute(
        "UPDATE jobs SET state = %s, result = %s, error = %s, message = %s, doing = NULL, notes = notes || %s,"
        " progress = CASE %s WHEN 'done' THEN 1 ELSE progress END,"
        " ended_at = CASE %s WHEN 'waiting' THEN NULL ELSE now() END"
        " WHERE tenant_id = %s AND job_id = %s AND state = 'running' AND attempts = %s",
        [
            state, None if result is None else Jsonb(result), code, message, Jsonb(notes or {}), state, state,
            tenant, job.job_id, job.attempts,
        ],
    )  # fmt: skip


def clean(connection: Connection[Any], tenant: str, older: timedelta) -> int:
    """Forget the jobs that ended longer ago; how many."""
    done = connection.execute("DELETE FROM jobs WHERE tenant_id = %s AND ended_at < now() - %s", [tenant, older])
    return done.rowcount
