"""Features over HTTP: which a model has and what they are worth, their values of somebody, and what is learned from."""

# No `from __future__ import annotations` here: FastAPI reads the models in the signatures, which are made in functions.

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from foretell.app.definitions import ModelFeatures
from foretell.app.features import Format
from foretell.contract import Task
from foretell.engine.importance import Importance
from foretell.web.office import Reading, Standing, Testing, office

KINDS: dict[Format, str] = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv", "json": "application/json"}


def features(made: APIRouter, task: Task, path: str) -> None:
    """The paths of a task's features."""
    name = task.name

    @made.get(f"{path}/features", summary=f"Features that a model of {name} has", response_model=ModelFeatures)
    def of(app: Reading, version: Annotated[str | None, Query(max_length=100)] = None) -> Any:
        return app.features.of(name, version)

    def compute(
        body: BaseModel,
        app: Reading,
        as_of: Standing,
        feature: Annotated[list[str] | None, Query(description="Only this one; may be given several times.")] = None,
    ) -> Response:
        found = app.features.compute(name, [body], names=feature, as_of=as_of)
        return Response(b'{"rows":%s}' % found.write_json().encode(), media_type="application/json")

    compute.__annotations__["body"] = task.request
    made.add_api_route(
        f"{path}/features", compute, methods=["POST"], response_model=None,
        summary=f"What {name} sees of whom a request is about, by feature",
    )  # fmt: skip

    @made.get(f"{path}/importance", summary=f"What features are worth to {name}", response_model=Importance)
    async def importance(
        request: Request,
        app: Testing,
        as_of: Standing,
        grouped: Annotated[bool, Query(description="Those together that are declared as a group, or alike.")] = False,
    ) -> Any:
        return await office(request).heavy.do(app, "importance", task=name, as_of=as_of, grouped=grouped)

    files = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in KINDS.values()}

    @made.get(
        f"{path}/training-set", summary=f"What {name} learns from: old questions, features, outcomes",
        response_class=Response, responses={200: {"description": "A file", "content": files}},
    )  # fmt: skip
    async def training_set(
        request: Request,
        app: Testing,
        as_of: Standing,
        format: Format = "json",  # noqa: A002
        days: Annotated[int | None, Query(ge=1, le=36_500)] = None,
    ) -> Response:
        told = {"task": name, "kind": format, "as_of": as_of, "days": days}
        content = await office(request).heavy.do(app, "training_set", **told)
        there = {"Content-Disposition": f'attachment; filename="{name}.{format}"'}
        return Response(content, media_type=KINDS[format], headers=there)
