"""The verbs on our own paths, `/v1/…`: one set for every installed task and table."""

# No `from __future__ import annotations` here: FastAPI reads the models in the signatures, which are made in functions.

import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, Field, create_model

from foretell.app.basis import Basis
from foretell.contract import Chance, Domain, ModelStatus, Report, Severity, Task
from foretell.engine.model import Card
from foretell.errors import ForetellError
from foretell.web import rows
from foretell.web.features import features
from foretell.web.imports import imported
from foretell.web.jobs import Job, Key, accepted
from foretell.web.notices import noticed
from foretell.web.office import (
    Bypassing,
    Learning,
    Managing,
    Reading,
    Standing,
    Telling,
    Testing,
    Working,
    office,
)
from foretell.web.people import people
from foretell.web.problems import ERRORS, problem
from foretell.web.quick import QuickRoute
from foretell.web.reviews import parity, review
from foretell.web.sources import sources
from foretell.web.telling import ReportBasis, one_of, reported, told_of

BATCH = 1000  # requests in a batch
ROWS = 100_000  # facts in an answer


class TrainOptions(BaseModel):
    """How to train."""

    days: int | None = Field(None, ge=1, le=36_500, description="Learn from the facts of the last so many days.")
    budget: float | None = Field(None, gt=0, le=3600, description="Seconds that the race may cost, as estimated.")


class BacktestOptions(BaseModel):
    """How to backtest."""

    budget: float | None = Field(None, gt=0, le=3600, description="Seconds that it may cost, as estimated.")


class Backtested(BaseModel):
    """Every candidate's errors on the same old questions."""

    task: str
    folds: list[list[datetime]]
    scored: int
    scores: dict[str, dict[str, float | None]]
    skipped: dict[str, str]


class Version(BaseModel):
    """A version of a task's model."""

    version: str
    candidate: str
    created_at: datetime
    size: int
    state: ModelStatus
    deployed_at: datetime | None
    deployed_by: str | None
    reason: str | None


class Serving(BaseModel):
    """The version that serves from now on."""

    version: str


class Reason(BaseModel):
    """Why somebody does something."""

    reason: str | None = Field(None, max_length=1000)


class Feedback(BaseModel):
    """What happened, whether the prediction helped, a note; at least one of them."""

    outcome: float | Annotated[str, Field(max_length=1000)] | None = None
    helpful: bool | None = None
    note: str | None = Field(None, max_length=10_000)


class GivenFeedback(Feedback):
    """Feedback as it is kept."""

    given_by: str
    given_at: datetime


class Logged(BaseModel):
    """A prediction in the ledger."""

    prediction_id: UUID
    predicted_at: datetime
    as_of: datetime
    version: str
    method: str
    fallback: str | None
    request: dict[str, Any]
    answer: dict[str, Any]
    feedback: list[GivenFeedback]


class Anomaly(BaseModel):
    """Something that a report found amiss with a subject; open while `resolved_at` is null."""

    anomaly_id: UUID
    report: str
    subject: str
    anomaly_type: str
    severity: Severity
    description: str
    evidence: dict[str, Any]
    detected_at: datetime
    seen_at: datetime
    resolved_at: datetime | None


class One(BaseModel):
    """A request of a batch."""

    task: str = Field(max_length=200, description="The task's name, without its domain.")
    request: dict[str, Any]


class Batch(BaseModel):
    """Requests of one domain."""

    requests: list[One] = Field(min_length=1, max_length=BATCH)


class Answers(BaseModel):
    """What became of each request of a batch, in its order: a prediction or a problem."""

    predictions: list[dict[str, Any]]


class Each(BaseModel):
    """What became of a request about each of many, by their names: a prediction or a problem."""

    predictions: dict[str, dict[str, Any]]


def plain(answer: BaseModel) -> Response:
    """An answer as it is, without being checked a second time."""
    return Response(answer.model_dump_json(), media_type="application/json")


def router(domains: Mapping[str, Domain]) -> APIRouter:
    """The paths of every installed domain."""
    made = APIRouter(prefix="/v1", responses=ERRORS)
    tasks = {f"/{task.name.replace('.', '/')}": task for domain in domains.values() for task in domain.tasks}
    for path, task in tasks.items():  # first: a path is looked for in their order
        _predict(made, task, path)
    _house(made, domains)
    review(made)
    noticed(made)
    imported(made)
    for name, domain in domains.items():
        _batch(made, domain)
        sources(made, domain)
        people(made, domain)
        for task in domain.tasks:
            path = f"/{task.name.replace('.', '/')}"
            if task.whom:
                _each(made, task, path, task.whom)
            _learn(made, task, path)
            features(made, task, path)
            _models(made, task, path)
            _ledger(made, task, path)
            if isinstance(task.target, Chance):
                parity(made, task, path)
        for form in domain.formats:
            rows.bring(made, f"{name}.{form.name}", f"/{name}/import/{form.name}", form)
        for report in domain.reports:
            _report(made, report, f"/{report.name.replace('.', '/')}")
        for table in domain.tables:
            rows.table(made, f"{name}.{table.name}", f"/{name}/facts/{table.name}", table)
    return made


def _house(made: APIRouter, domains: Mapping[str, Domain]) -> None:
    told = {
        "domains": [
            {
                "name": name, "summary": domain.summary, "tasks": [task.name for task in domain.tasks],
                "reports": [report.name for report in domain.reports],
                "tables": [f"{name}.{table.name}" for table in domain.tables],
            }
            for name, domain in domains.items()
        ]
    }  # fmt: skip

    @made.get("", summary="What is installed")
    def installed(app: Reading) -> dict[str, Any]:
        with app.desk.inside():
            return {"tenant": app.tenant, **told}

    @made.post("/predictions/{prediction_id}/feedback", summary="Say what came of a prediction", status_code=204)
    def feedback(prediction_id: UUID, body: Feedback, app: Telling) -> None:
        app.predictions.feedback(prediction_id, outcome=body.outcome, helpful=body.helpful, note=body.note)


def _predict(made: APIRouter, task: Task, path: str) -> None:
    shape = create_model(
        f"{task.answer.__name__}Told", task=(str, ...), answer=(task.answer, ...), foretell=(Basis, ...)
    )

    async def predict(
        request: Request, body: BaseModel | None, app: Reading, as_of: Standing, cache_bypass: Bypassing
    ) -> Response:
        return plain(await told_of(request, app, task, body, url=None, as_of=as_of, cache_bypass=cache_bypass))

    predict.__annotations__["body"] = task.request
    made.add_api_route(
        f"{path}/predict", predict, methods=["POST"], summary=f"Predict {task.name}", response_model=shape,
        route_class_override=QuickRoute,
    )  # fmt: skip


def _report(made: APIRouter, report: Report, path: str) -> None:
    shape = create_model(
        f"{report.answer.__name__}Reported", report=(str, ...), answer=(report.answer, ...), foretell=(ReportBasis, ...)
    )

    async def computed(request: Request, body: BaseModel, app: Working, as_of: Standing) -> Response:
        return plain(await reported(request, app, report, body, as_of=as_of))

    computed.__annotations__["body"] = report.request
    if report.findings:
        _anomalies(made, report, path)
    made.add_api_route(
        f"{path}/report", computed, methods=["POST"], summary=report.summary, response_model=shape
    )  # fmt: skip


def _anomalies(made: APIRouter, report: Report, path: str) -> None:
    @made.get(f"{path}/findings", summary=f"What {report.name} found, newest first", response_model=list[Anomaly])
    def anomalies(
        app: Reading,
        subject: Annotated[str | None, Query(max_length=200)] = None,
        every: Annotated[bool, Query(description="Those that are resolved too.")] = False,
    ) -> Any:
        return [vars(each) for each in app.anomalies.list(report.name, subject=subject, every=every)]

    def detect(body: BaseModel, app: Telling) -> Any:
        return [vars(each) for each in app.anomalies.detect(report.name, body)]

    detect.__annotations__["body"] = report.request
    made.add_api_route(
        f"{path}/detect", detect, methods=["POST"], response_model=list[Anomaly],
        summary=f"Put on record what {report.name} finds now",
    )  # fmt: skip


def _each(made: APIRouter, task: Task, path: str, whom: str) -> None:
    some: Any = (
        list[str] | None,
        Field(None, min_length=1, description="Of whom; of everybody there is, if left out."),
    )
    shape: Any = create_model(f"{task.request.__name__}ForEach", __base__=task.request, **{whom: some})

    async def predict_each(
        request: Request, body: BaseModel, app: Working, as_of: Standing, cache_bypass: Bypassing
    ) -> Response:
        asked = body.model_dump(mode="json", exclude_unset=True)
        work = {"whom": asked.pop(whom, None), "as_of": as_of, "cache_bypass": cache_bypass}
        said = await office(request).heavy.do(app, "predict_each", task=task.name, request=asked, **work)
        each = (
            f"{json.dumps(name)}:{problem(one).model_dump_json() if isinstance(one, ForetellError) else one}"
            for name, one in said
        )
        return Response(f'{{"predictions":{{{",".join(each)}}}}}', media_type="application/json")

    predict_each.__annotations__["body"] = shape
    made.add_api_route(
        f"{path}/predictions", predict_each, methods=["POST"], summary=f"Predict {task.name} for many, or for all",
        response_model=Each,
    )  # fmt: skip


def _batch(made: APIRouter, domain: Domain) -> None:
    @made.post(f"/{domain.name}/predict", summary=f"Predict many of {domain.name} at once", response_model=Answers)
    async def predict_many(request: Request, body: Batch, app: Working, as_of: Standing) -> Any:
        held = office(request)
        asked = [(f"{domain.name}.{one.task}", one.request) for one in body.requests]
        async with held.turns.of(app.tenant):
            began = time.perf_counter()
            answers = await run_in_threadpool(app.predict_many, asked, as_of=as_of, light=True)
            each = (time.perf_counter() - began) / len(asked)
        told: list[dict[str, Any]] = []
        for (name, sent), said in zip(asked, answers, strict=True):
            began = time.perf_counter()
            try:
                one, repeated = await one_of(held, app, name, sent, said, as_of)
            except ForetellError as error:
                told.append(problem(error).model_dump())
                continue
            took = each + time.perf_counter() - began
            held.meter.predicted(app.tenant, app.desk.task(name), one, took, repeated=repeated)
            told.append(one.model_dump())
        return plain(Answers(predictions=told))


def _learn(made: APIRouter, task: Task, path: str) -> None:
    @made.post(
        f"{path}/train", summary=f"Train {task.name}: a job whose result is the version", status_code=202,
        response_model=Job,
    )  # fmt: skip
    async def train(app: Learning, as_of: Standing, body: TrainOptions | None = None, key: Key = None) -> Any:
        told = {"task": task.name, "as_of": as_of, **(body or TrainOptions()).model_dump()}
        return accepted(await run_in_threadpool(app.jobs.start, "train", told, run_key=key))

    @made.post(f"{path}/backtest", summary=f"Ask {task.name} old questions", response_model=Backtested)
    async def backtest(request: Request, app: Testing, as_of: Standing, body: BacktestOptions | None = None) -> Any:
        told = (body or BacktestOptions()).model_dump()
        return await office(request).heavy.do(app, "backtest", task=task.name, as_of=as_of, **told)


def _models(made: APIRouter, task: Task, path: str) -> None:
    name = task.name

    @made.get(f"{path}/models", summary=f"Versions of {name}, newest first", response_model=list[Version])
    def versions(app: Reading) -> Any:
        return [vars(each) for each in app.models.list(name)]

    @made.get(f"{path}/models/{{version}}", summary="Everything known about a version", response_model=Card)
    def card(version: str, app: Reading) -> Any:
        return app.models.card(name, version)

    @made.post(f"{path}/models/{{version}}/promote", summary="Let a version serve", response_model=Serving)
    def promote(version: str, app: Managing, body: Reason | None = None) -> Any:
        why = body.reason if body and body.reason else "promoted by hand"
        return {"version": app.models.promote(name, version, reason=why)}

    @made.post(
        f"{path}/models/{{version}}/pin", summary="Let a version serve, whatever training finds", response_model=Serving
    )
    def pin(version: str, app: Managing, body: Reason | None = None) -> Any:
        why = body.reason if body and body.reason else "pinned by hand"
        return {"version": app.models.pin(name, version, reason=why)}

    @made.post(f"{path}/unpin", summary="Let training promote again", response_model=Serving)
    def unpin(app: Managing) -> Any:
        return {"version": app.models.unpin(name)}

    @made.post(f"{path}/rollback", summary="Let the version before serve again", response_model=Serving)
    def rollback(app: Managing) -> Any:
        return {"version": app.models.rollback(name)}


def _ledger(made: APIRouter, task: Task, path: str) -> None:
    @made.get(f"{path}/predictions", summary=f"What was said of {task.name}", response_model=list[Logged])
    def predictions(
        app: Reading,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: AwareDatetime | None = None,
    ) -> Any:
        return [
            {**vars(each.served), "feedback": [vars(said) for said in each.feedback]}
            for each in app.predictions.list(task.name, limit=limit, before=before)
        ]
