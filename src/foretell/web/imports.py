"""The paths of imports: what was brought in lately, and taking it back."""

# No `from __future__ import annotations` here: FastAPI reads the models in the signatures, which are made in functions.

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from foretell.app.imports import MOST, Import, Undone
from foretell.web.office import Keeping, Managing


def imported(made: APIRouter) -> None:
    """The paths of imports."""

    @made.get("/imports", summary="What was brought in lately, newest first", response_model=list[Import])
    def imports(
        app: Keeping,
        table: Annotated[str | None, Query(max_length=200, description="traffic.metrics; all if left out.")] = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
    ) -> Any:
        return app.imports.list(table, limit=limit)

    @made.post("/imports/{import_id}/undo", summary="Take an import back", response_model=Undone)
    def undo(import_id: Annotated[str, Path(max_length=100)], app: Managing) -> Any:
        return app.imports.undo(import_id)
