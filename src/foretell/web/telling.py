"""A prediction over HTTP: made here where it is quick, and in a process for it where it takes a fit."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, SerializeAsAny

from foretell.app import App
from foretell.app.basis import Told
from foretell.app.requests import Body
from foretell.app.tenancy import AsOf
from foretell.contract import Report, Task
from foretell.engine.predict import Prediction, TooHeavy
from foretell.errors import ForetellError
from foretell.web.office import Office, office


async def one_of(
    held: Office, app: App, name: str, sent: Mapping[str, Any], said: Prediction | ForetellError, as_of: AsOf
) -> tuple[Told, bool]:
    """The prediction of one request of a batch, and whether it was asked so before. Raises what it was refused with."""
    if isinstance(said, TooHeavy):
        body = json.dumps(sent).encode()
        return await _fitted(held, app, app.desk.task(name), body, url=None, as_of=as_of), False
    if isinstance(said, ForetellError):
        raise said
    return Told.of(app.desk.task(name), said), said.repeated


async def told_of(request: Request, app: App, task: Task, body: Body | None, *, url: str | None, **how: Any) -> Told:
    """A prediction, measured; made in a process of its own where it takes a fit, or reading the body takes its time.

    `body` is None for one that is not read yet, of the documented path of this `url`, or of our own.
    """
    began = time.perf_counter()
    held, said = office(request), None
    if body is not None:
        async with held.turns.of(app.tenant):
            with suppress(TooHeavy):
                said = await run_in_threadpool(app.predict, task.name, body, light=True, **how)
    told = Told.of(task, said) if said else await _fitted(held, app, task, await request.body(), url=url, **how)
    held.meter.predicted(app.tenant, task, told, time.perf_counter() - began, repeated=bool(said and said.repeated))
    return told


class ReportBasis(BaseModel):
    """What a report rests on: it stands at `as_of`, and the newest fact behind it became known at `known_at`."""

    as_of: datetime
    known_at: datetime | None


class ReportTold(BaseModel):
    """A report as callers get it."""

    report: str
    answer: SerializeAsAny[BaseModel]
    foretell: ReportBasis


async def reported(request: Request, app: App, report: Report, body: Body, *, as_of: AsOf) -> ReportTold:
    """A report of a tenant, when it is its turn."""
    async with office(request).turns.of(app.tenant):
        said = await run_in_threadpool(app.report, report.name, body, as_of=as_of)
    return ReportTold(
        report=report.name, answer=said.answer, foretell=ReportBasis(as_of=said.as_of, known_at=said.known_at)
    )


async def _fitted(held: Office, app: App, task: Task, body: bytes, **how: Any) -> Told:
    """A prediction that takes a fit, in a process for it."""
    return Told.again(task, await held.fits.do(app, "predict", task=task.name, body=body, **how))
