"""The paths that documents print, made from the routes that domains declare."""

# No `from __future__ import annotations` here: FastAPI reads the models in the signatures, which are made in functions.

import re
import time
from collections.abc import Mapping
from inspect import Parameter, Signature, signature
from itertools import product
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field, create_model

from foretell.app import App
from foretell.app.basis import Basis, Told
from foretell.app.requests import request_of
from foretell.app.tenancy import AsOf
from foretell.contract import Domain, Mixed, Report, Route, Task
from foretell.errors import ForetellError, InvalidRequest
from foretell.web.api import plain
from foretell.web.jobs import outcome
from foretell.web.office import Bypassing, Learning, Reading, Standing, Working, office
from foretell.web.problems import problem, urls
from foretell.web.quick import QuickRoute
from foretell.web.telling import ReportBasis, one_of, reported, told_of

FIELDS = re.compile(r"{(\w+)(?::path)?}")  # in a URL; with `:path` what stands there may hold slashes
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
                {"predict": _predict, "train": _train, "health": _health}[route.verb](made, task, route)
        for report in domain.reports:
            for route in report.routes:
                _report(made, report, route)
        for mixed in domain.mixed:
            _mixed(made, mixed)
    return made


def _add(made: APIRouter, route: Route, shape: type[BaseModel], endpoint: Any, kind: type[APIRoute]) -> None:
    for url, method in product(urls(route), route.methods):
        made.add_api_route(
            url, endpoint, methods=[method], summary=route.summary, response_model=shape, responses=_refusals(route),
            route_class_override=kind, include_in_schema=url == route.url,
        )  # fmt: skip


def _refusals(route: Route) -> dict[int | str, dict[str, Any]]:
    """How a route refuses, by status."""
    statuses = sorted({401, 403, 422, 500, 503, *route.statuses.values()})
    refusal: Any = {} if route.refused else {"model": Refusal}
    return {status: {"description": "Refused", **refusal} for status in statuses}


def _told(route: Route, extra: Any) -> type[BaseModel]:
    """The documented answer with what we add."""
    made: type[BaseModel] = create_model(f"{route.answer.__name__}Told", __base__=route.answer, foretell=extra)
    return made


def _predict(made: APIRouter, task: Task, route: Route) -> None:
    shape = _told(route, (Basis, ...))

    async def predict(
        request: Request, body: BaseModel | None, app: Reading, as_of: Standing, cache_bypass: Bypassing
    ) -> Response:
        began = time.perf_counter()
        # Both in the query, or in the body as a document has them.
        afresh = cache_bypass or getattr(body, "cache_bypass", False)
        how = {
            "as_of": getattr(body, "as_of_date", None) or as_of, "trained": route.trained, "cache_bypass": afresh,
        }  # fmt: skip
        told = await told_of(request, app, task, None if body is None else route.adapt_in(body), url=route.url, **how)
        return plain(shape.model_validate({**_dressed(app, route, told, began), "foretell": told.foretell}))

    by_query = "GET" in route.methods  # its fields come in the query
    predict.__annotations__["body"] = Annotated[route.request, Depends(route.request)] if by_query else route.request
    _add(made, route, shape, predict, QuickRoute)


def _dressed(app: App, route: Route, told: Told, began: float) -> Mapping[str, Any]:
    """A prediction as its document has it."""
    took = (time.perf_counter() - began) * 1000
    return route.adapt_out({"tenant": app.tenant, "latency_ms": took, **told.model_dump(mode="json")})


def _health(made: APIRouter, task: Task, route: Route) -> None:
    def health(app: Reading) -> Any:
        told = app.models.health(task.name)
        return {**route.adapt_out(vars(told)), "foretell": {"task": task.name}}

    _add(made, route, _told(route, (dict[str, Any], ...)), health, APIRoute)


def _mixed(made: APIRouter, mixed: Mixed) -> None:
    body_of: type[BaseModel] = create_model(
        "MixedRequests", requests=(list[dict[str, Any]], Field(min_length=1, max_length=mixed.most))
    )

    async def predict_mixed(request: Request, body: BaseModel, app: Working, as_of: Standing) -> Any:
        held, began = office(request), time.perf_counter()
        sent: list[dict[str, Any]] = body.model_dump()["requests"]
        told: dict[int, Any] = {}
        asked: dict[AsOf, list[tuple[int, str, Route, Mapping[str, Any]]]] = {}
        for place, one in enumerate(sent):
            try:
                name, route = _meant(mixed, one)
                read = request_of(route.request, one)
                when = getattr(read, "as_of_date", None) or as_of
                asked.setdefault(when, []).append((place, name, route, route.adapt_in(read)))
            except ForetellError as error:
                told[place] = {**_whose(mixed, one), "error": problem(error).model_dump()}
        async with held.turns.of(app.tenant):
            for when, some in asked.items():
                wanted = [(name, request) for _, name, _, request in some]
                try:
                    answers = await run_in_threadpool(app.predict_many, wanted, as_of=when, light=True)
                except InvalidRequest as error:  # of their moment
                    answers = [error] * len(some)
                for (place, name, route, given), said in zip(some, answers, strict=True):
                    try:
                        made_, _ = await one_of(held, app, name, given, said, when)
                        told[place] = {**_dressed(app, route, made_, began), "foretell": made_.foretell.model_dump()}
                    except ForetellError as error:
                        told[place] = {**_whose(mixed, sent[place]), "error": problem(error).model_dump()}
        every = [told[place] for place in range(len(sent))]
        failed = sum("error" in one for one in every)
        return {
            "predictions": every, "count": len(every), "failed": failed,
            "latency_ms": (time.perf_counter() - began) * 1000,
        }  # fmt: skip

    predict_mixed.__annotations__["body"] = body_of
    for url in (mixed.url, *mixed.also):
        made.add_api_route(
            url, predict_mixed, methods=["POST"], summary=mixed.summary, include_in_schema=url == mixed.url,
            response_model=MixedTold, responses=_refusals(next(iter(mixed.of.values()))[1]),
        )  # fmt: skip


class MixedTold(BaseModel):
    """What became of each request, in its order: an answer as its own path gives it, or its `error`."""

    predictions: list[dict[str, Any]]
    count: int
    failed: int
    latency_ms: float


def _meant(mixed: Mixed, sent: Mapping[str, Any]) -> tuple[str, Route]:
    """The task and route that a request is for. Raises InvalidRequest."""
    kind = sent.get(mixed.kind)
    if not isinstance(kind, str) or kind not in mixed.of:
        raise InvalidRequest(f"{mixed.kind} must be one of {', '.join(mixed.of)}")
    return mixed.of[kind]


def _whose(mixed: Mixed, sent: Mapping[str, Any]) -> dict[str, Any]:
    """What a refused request is known by."""
    return {name: sent.get(name) for name in ("entity_id", mixed.kind)}


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
