"""The paths of jobs and schedules: what is put on record now, done by a worker, and can be looked at meanwhile."""

# No `from __future__ import annotations` here: FastAPI reads the models in the signatures.

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from foretell import errors
from foretell.app import App
from foretell.app.jobs import STATES
from foretell.app.jobs import Job as Put
from foretell.app.patience import left
from foretell.errors import ForetellError, Refused
from foretell.web.office import Keeping, Managing
from foretell.web.problems import ERRORS

SOONEST, LATEST = 0.05, 1.0  # seconds between two looks at a job that somebody waits for

Key = Annotated[
    str | None, Header(alias="Idempotency-Key", max_length=200, description="A second request with it is the first.")
]


class Job(BaseModel):
    """A job: what it does, how far it is (0 to 1), what came of it or went wrong."""

    job_id: UUID
    kind: str
    subject: str
    told: dict[str, Any]
    asked_by: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    attempts: int
    progress: float
    doing: str | None
    cancelled: bool
    result: dict[str, Any] | None
    error: str | None
    message: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class New(BaseModel):
    """A job to be started, and what it is told."""

    kind: str = Field(max_length=100, description="train, retrain, predict, detect, collect or clean.")
    told: dict[str, Any] = {}


class Entry(BaseModel):
    """When something is due: as cron writes it, by the clocks of `zone`; moments are in UTC."""

    name: str
    cron: str
    enabled: bool
    default: str
    zone: str
    next_due: datetime | None
    fired_at: datetime | None


class When(BaseModel):
    """When something shall be due; `default` as if nothing were said."""

    model_config = ConfigDict(extra="forbid")

    cron: str | None = Field(None, max_length=100)
    enabled: bool | None = None


def router() -> APIRouter:
    """The paths of jobs and schedules."""
    made = APIRouter(prefix="/v1", responses=ERRORS)

    @made.get("/jobs", summary="Jobs, newest first", response_model=list[Job])
    def jobs(
        app: Keeping,
        state: Literal["waiting", "running", "done", "failed", "cancelled"] | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: AwareDatetime | None = None,
    ) -> Any:
        found = app.jobs.list(states=[state] if state else STATES, before=before, limit=limit)
        return [vars(each) for each in found]

    @made.post("/jobs", summary="Start a job", status_code=202, response_model=Job)
    def start(body: New, app: Managing, key: Key = None) -> Any:
        return accepted(app.jobs.start(body.kind, body.told, run_key=key))

    @made.get("/jobs/{job_id}", summary="How far a job is, and what came of it", response_model=Job)
    def job(job_id: UUID, app: Keeping) -> Any:
        return vars(app.jobs.get(job_id))

    @made.post("/jobs/{job_id}/cancel", summary="Let a job end", response_model=Job)
    def cancel(job_id: UUID, app: Managing) -> Any:
        return vars(app.jobs.cancel(job_id))

    @made.get("/schedule", summary="What is due, and when next", response_model=list[Entry])
    def schedule(app: Keeping) -> Any:
        return [vars(each) for each in app.schedule.list()]

    @made.patch("/schedule/{name}", summary="Say when something is due", response_model=Entry)
    def change(name: str, body: When, app: Managing) -> Any:
        return vars(app.schedule.change(name, cron=body.cron, enabled=body.enabled))

    return made


def accepted(job: Put) -> Response:
    """A job that was put on record, and where it can be looked at."""
    told = Job.model_validate(vars(job)).model_dump_json()
    where = {"Location": f"/v1/jobs/{job.job_id}"}
    return Response(told, status_code=202, media_type="application/json", headers=where)


async def outcome(app: App, job: Put) -> dict[str, Any]:
    """What comes of a job, as soon as it is there. Raises its error, Refused if it is cancelled; Unavailable too late.

    Then it goes on.
    """
    pause = SOONEST
    while not job.ended_at:
        await asyncio.sleep(pause)
        pause = min(1.3 * pause, LATEST)
        left()
        job = await run_in_threadpool(app.jobs.get, job.job_id)
    if job.state == "cancelled":
        raise Refused(f"the job {job.job_id} was cancelled")
    if job.error:
        kind = getattr(errors, job.error, None)
        known = isinstance(kind, type) and issubclass(kind, ForetellError)
        raise kind(job.message) if known else RuntimeError(f"{job.error}: {job.message}")  # type: ignore[misc]
    return dict(job.result or {})
