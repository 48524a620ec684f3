"""The models in memory of the process that answers: what is there of a tenant's, to load them, to forget them."""

# No `from __future__ import annotations` here: FastAPI reads the models in the signatures, which are made in functions.

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from foretell.contract import Domain
from foretell.web.office import Keeping
from foretell.web.problems import ERRORS


class Cached(BaseModel):
    """A tenant's models in memory; `bytes` are estimated, `hit_rate` is 0 to 1, null before anybody asked."""

    cached: int
    bytes: int
    hits: int
    misses: int
    hit_rate: float | None


class Preload(BaseModel):
    """Which tasks' models to load."""

    tasks: list[str] | None = Field(None, max_length=100, description="Like `agile.effort`; all, if left out.")


class Preloaded(BaseModel):
    """By task the version that is in memory now; null where none serves."""

    versions: dict[str, str | None]


class Cleared(BaseModel):
    """How many models were forgotten."""

    cleared: int


def router(_: Mapping[str, Domain]) -> APIRouter:
    """The paths of the memory; on a server that only reads too, for they change nothing that is kept."""
    made = APIRouter(prefix="/v1/models/cache", responses=ERRORS)

    @made.get("", summary="The models in memory", response_model=Cached)
    def cache(app: Keeping) -> Any:
        stats = app.models.cache()
        return {**vars(stats), "hit_rate": stats.hit_rate}

    @made.post("/preload", summary="Load what serves into memory", response_model=Preloaded)
    def preload(app: Keeping, body: Preload | None = None) -> Any:
        return {"versions": app.models.preload(body.tasks if body else None)}

    @made.delete("", summary="Forget the models in memory", response_model=Cleared)
    def clear(app: Keeping) -> Any:
        return {"cleared": app.models.clear()}

    return made
