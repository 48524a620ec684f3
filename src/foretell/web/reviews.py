"""The paths of what is looked at every week, and of whether groups of people are treated alike."""

# No `from __future__ import annotations` here: FastAPI reads the models in the signatures, which are made in functions.

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from foretell.app.reviews import Review
from foretell.contract import Task
from foretell.engine.parity import Parity
from foretell.web.office import Reading, Testing, office

LONGEST = 3650  # days


def review(made: APIRouter) -> None:
    """The path of the weekly review."""

    @made.get("/review", summary="How features, models and drift did of late", response_model=Review)
    def reviewed(app: Reading, days: Annotated[int, Query(ge=1, le=LONGEST)] = 7) -> Any:
        return app.reviews.show(days=days)


def parity(made: APIRouter, task: Task, path: str) -> None:
    """The path of a task that says a chance: who was told a high one how often, beside what became of them."""

    @made.get(f"{path}/parity", summary=f"What {task.name} said of whom, by a field", response_model=Parity)
    async def compared(
        request: Request,
        app: Testing,
        by: Annotated[str, Query(max_length=100, description="A field of the request, as area.")],
        days: Annotated[int, Query(ge=1, le=LONGEST)] = 365,
    ) -> Any:
        return await office(request).heavy.do(app, "parity", task=task.name, by=by, days=days)
