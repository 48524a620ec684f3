"""The paths of imports: what was brought in lately, and taking it back."""

# No `from __future__ import annotations` here: FastAPI reads the models in the signatures, which are made in functions.

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from foretell.app.imports import MOST
from foretell.web.office import Keeping, Managing


class Import(BaseModel):
    """What an import brought into a table; `undone_at` is null while it is not taken back."""

    import_id: UUID
    table: str
    at: datetime
    who: str
    source: str
    zone: str
    accepted: int
    revised: int
    unchanged: int
    rejected: int
    undone_at: datetime | None
    undone_by: str | None


class Undone(BaseModel):
    """What became of the facts of an import that was taken back."""

    import_id: UUID
    table: str
    removed: int = Field(description="Facts that are there no more.")
    restored: int = Field(description="Facts that are again what they were before.")
    stayed: int = Field(description="Facts that a later import has revised.")
    released: int = Field(description="Rows that it had put into quarantine, and that are there no more.")


def imported(made: APIRouter) -> None:
    """The paths of imports."""

    @made.get("/imports", summary="What was brought in lately, newest first", response_model=list[Import])
    def imports(
        app: Keeping,
        table: Annotated[str | None, Query(max_length=200, description="traffic.metrics; all if left out.")] = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
    ) -> Any:
        return [vars(each) for each in app.imports.list(table, limit=limit)]

    @made.post("/imports/{import_id}/undo", summary="Take an import back", response_model=Undone)
    def undo(import_id: Annotated[str, Path(max_length=100)], app: Managing) -> Any:
        return vars(app.imports.undo(import_id))
