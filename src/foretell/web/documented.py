"""The paths that documents print, made from the routes that domains declare."""

# No `from __future__ import annotations` here: FastAPI reads the models in the signatures, which are made in functions.

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, create_model

from foretell.app.basis import Basis
from foretell.contract import Domain, Route, Task
from foretell.web.api import Standing, told_of
from foretell.web.office import Learning, Reading, office


class Refusal(BaseModel):
    """An error of a documented path; fields that are wrong are under `foretell`."""

    detail: str
    foretell: dict[str, Any]


def router(domains: Mapping[str, Domain]) -> APIRouter:
    """The documented paths of every installed domain."""
    made = APIRouter()
    for domain in domains.values():
        for task in domain.tasks:
            for route in task.routes:
                (_predict if route.verb == "predict" else _train)(made, task, route)
    return made


def _add(made: APIRouter, route: Route, extra: Any, endpoint: Any) -> None:
    endpoint.__annotations__["body"] = route.request
    shape = create_model(f"{route.answer.__name__}Told", __base__=route.answer, foretell=extra)
    statuses = sorted({401, 403, 422, 500, 503, *route.statuses.values()})
    responses: Any = {status: {"model": Refusal} for status in statuses}
    made.post(route.url, summary=route.summary, response_model=shape, responses=responses)(endpoint)


def _predict(made: APIRouter, task: Task, route: Route) -> None:
    def predict(request: Request, body: BaseModel, app: Reading, as_of: Standing) -> Any:
        told = told_of(request, app, task, route.adapt_in(body), as_of=as_of, trained=route.trained)
        plain = told.model_dump(mode="json")
        return {**route.adapt_out({"tenant": app.tenant, **plain}), "foretell": plain["foretell"]}

    _add(made, route, (Basis, ...), predict)


def _train(made: APIRouter, task: Task, route: Route) -> None:
    async def train(request: Request, body: BaseModel, app: Learning, as_of: Standing) -> Any:
        told = await office(request).do(app, "train", task=task.name, as_of=as_of, **route.adapt_in(body))
        extra = {name: told[name] for name in ("task", "version", "candidate", "promoted", "reason")}
        return {**route.adapt_out(told), "foretell": extra}

    _add(made, route, (dict[str, Any], ...), train)
