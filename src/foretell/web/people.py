"""The paths of a person's rights: everything that is kept of them, shown or erased."""

# No `from __future__ import annotations` here: FastAPI reads the models in the signatures, which are made in functions.

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from foretell.contract import Domain
from foretell.web.office import Managing

Kind = Annotated[
    str | None, Query(max_length=50, description="What they are named as; the first that the tables know, if left out.")
]


class Exported(BaseModel):
    """Everything that is kept of a person: facts with their revisions, and what was written down, by table."""

    facts: dict[str, list[dict[str, Any]]]
    written: dict[str, list[dict[str, Any]]]


class Erased(BaseModel):
    """What was erased of a person: rows by table, model versions, data sets; `left` names tables where some remain."""

    erasure: str
    facts: dict[str, int]
    blanked: dict[str, int]
    written: dict[str, int]
    models: list[str]
    data_sets: list[str]
    left: dict[str, int]


def people(made: APIRouter, domain: Domain) -> None:
    """The paths of a domain's people, where its tables name some."""
    if not any(table.persons for table in domain.tables):
        return
    path, name = f"/{domain.name}/people/{{person:path}}", domain.name

    @made.get(path, summary=f"Everything that {name} keeps of a person", response_model=Exported)
    def export(person: str, app: Managing, kind: Kind = None) -> Any:
        return app.people.export(name, person, kind=kind)

    @made.delete(path, summary=f"Erase a person from {name} for good", response_model=Erased)
    def erase(person: str, app: Managing, kind: Kind = None) -> Any:
        return vars(app.people.erase(name, person, kind=kind))
