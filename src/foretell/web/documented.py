"""The paths that documents print, made from the routes that domains declare."""

# No `from __future__ import annotations` here: FastAPI reads the models in the signatures, which are made in functions.

import re
from collections.abc import Mapping
from inspect import Parameter, Signature, signature
from itertools import product
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, create_model

from foretell.app.basis import Basis
from foretell.app.requests import request_of
from foretell.contract import Domain, Report, Route, Task
from foretell.web.api import plain
from foretell.web.jobs import outcome
from foretell.web.office import Bypassing, Learning, Reading, Standing, Working
from foretell.web.problems import urls
from foretell.web.quick import QuickRoute
from foretell.web.telling import ReportBasis, reported, told_of

FIELDS = re.compile(r"{(\w+)}")  # in a URL
Field_ = Annotated[str, Path(min_length=1, max_length=200)]


class Refusal(BaseModel):
    """An error of a documented path, where its document has none of its own; wrong fields are under `foretell`."""

    detail: str
    foretell: dict[str, Any]


def router(domains: Mapping[str, Domain]) -> APIRouter:
    """The documented paths of every installed domain."""
    made = APIRouter()
    for domain in domains.values():
        for task in domain.tasks:
            for route in task.routes:
                (_predict if route.verb == "predict" else _train)(made, task, route)
        for report in domain.reports:
            for route in report.routes:
                _report(made, report, route)
    return made


def _add(made: APIRouter, route: Route, shape: type[BaseModel], endpoint: Any, kind: type[APIRoute]) -> None:
    statuses = sorted({401, 403, 422, 500, 503, *route.statuses.values()})
    refusal: Any = {} if route.refused else {"model": Refusal}
    for url, method in product(urls(route), route.methods):
        made.add_api_route(
            url, endpoint, methods=[method], summary=route.summary, response_model=shape,
            responses={status: {"description": "Refused", **refusal} for status in statuses},
            route_class_override=kind, include_in_schema=url == route.url,
        )  # fmt: skip


def _told(route: Route, extra: Any) -> type[BaseModel]:
    """The documented answer with what we add."""
    made: type[BaseModel] = create_model(f"{route.answer.__name__}Told", __base__=route.answer, foretell=extra)
    return made


def _predict(made: APIRouter, task: Task, route: Route) -> None:
    shape = _told(route, (Basis, ...))

    async def predict(
        request: Request, body: BaseModel | None, app: Reading, as_of: Standing, cache_bypass: Bypassing
    ) -> Response:
        afresh = cache_bypass or getattr(body, "cache_bypass", False)  # in the query, or as a document has it
        how = {"as_of": as_of, "trained": route.trained, "cache_bypass": afresh}
        told = await told_of(request, app, task, None if body is None else route.adapt_in(body), url=route.url, **how)
        answer = route.adapt_out({"tenant": app.tenant, **told.model_dump(mode="json")})
        return plain(shape.model_validate({**answer, "foretell": told.foretell}))

    by_query = "GET" in route.methods  # its fields come in the query
    predict.__annotations__["body"] = Annotated[route.request, Depends(route.request)] if by_query else route.request
    _add(made, route, shape, predict, QuickRoute)


def _train(made: APIRouter, task: Task, route: Route) -> None:
    async def train(body: BaseModel, app: Learning, as_of: Standing) -> Any:
        asked = {"task": task.name, "as_of": as_of, **route.adapt_in(body)}
        told = await outcome(app, await run_in_threadpool(app.jobs.start, "train", asked))
        extra = {name: told[name] for name in ("task", "version", "candidate", "promoted", "reason")}
        return {**route.adapt_out(told), "foretell": extra}

    train.__annotations__["body"] = route.request
    _add(made, route, _told(route, (dict[str, Any], ...)), train, APIRoute)


def _report(made: APIRouter, report: Report, route: Route) -> None:
    shape = _told(route, (ReportBasis, ...))

    async def computed(request: Request, app: Working, as_of: Standing, **fields: str) -> Response:
        body = route.adapt_in(request_of(route.request, fields))
        told = await reported(request, app, report, body, as_of=as_of)
        answer = route.adapt_out({"tenant": app.tenant, **told.model_dump(mode="json")})
        return plain(shape.model_validate({**answer, "foretell": told.foretell}))

    given = signature(computed).parameters
    fields = [Parameter(name, Parameter.KEYWORD_ONLY, annotation=Field_) for name in FIELDS.findall(route.url)]
    kept = [each for each in given.values() if each.kind is not Parameter.VAR_KEYWORD]
    vars(computed)["__signature__"] = Signature([*kept, *fields])
    _add(made, route, shape, computed, APIRoute)
