"""The paths that documents print, made from the routes that domains declare."""

# No `from __future__ import annotations` here: FastAPI reads the models in the signatures, which are made in functions.

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, create_model

from foretell.app.basis import Basis
from foretell.contract import Domain, Route, Task
from foretell.web.api import plain
from foretell.web.office import Bypassing, Learning, Reading, Standing, office
from foretell.web.quick import QuickRoute
from foretell.web.telling import told_of


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


def _add(made: APIRouter, route: Route, shape: type[BaseModel], endpoint: Any, kind: type[APIRoute]) -> None:
    endpoint.__annotations__["body"] = route.request
    statuses = sorted({401, 403, 422, 500, 503, *route.statuses.values()})
    made.add_api_route(
        route.url, endpoint, methods=["POST"], summary=route.summary, response_model=shape,
        responses={status: {"model": Refusal} for status in statuses}, route_class_override=kind,
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

    _add(made, route, shape, predict, QuickRoute)


def _train(made: APIRouter, task: Task, route: Route) -> None:
    async def train(request: Request, body: BaseModel, app: Learning, as_of: Standing) -> Any:
        told = await office(request).jobs.do(app, "train", task=task.name, as_of=as_of, **route.adapt_in(body))
        extra = {name: told[name] for name in ("task", "version", "candidate", "promoted", "reason")}
        return {**route.adapt_out(told), "foretell": extra}

    _add(made, route, _told(route, (dict[str, Any], ...)), train, APIRoute)
