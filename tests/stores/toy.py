"""Tables with everything that a declaration can say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from psycopg import Connection
from pydantic import AwareDatetime, BaseModel

from foretell.contract import Table
from foretell.stores import registry


class Thing(BaseModel):
    """One column of every kind, with and without a need of a value."""

    shop: str
    shelf: str
    at: AwareDatetime
    told: AwareDatetime | None = None
    number: float
    maybe_number: float | None = None
    whole: int = 7
    maybe_whole: int | None = None
    flag: bool | None = None
    day: date | None = None
    note: str | None = None
    more: dict[str, Any] | None = None


class Deed(BaseModel):
    """A fact with a key of its own that becomes known long after it happened."""

    number: int
    town: str
    signed: AwareDatetime
    known_at: AwareDatetime | None = None
    price: float


THINGS = Table(
    name="things", row=Thing, key=("shop", "shelf", "at"), time="at", entity=("shop", "shelf"), known_at="told"
)
YEARLY = Table(name="yearly", row=Thing, key=("shop", "shelf", "at"), time="at", entity=("shop", "shelf"), yearly=True)
DEEDS = Table(name="deeds", row=Deed, key=("number",), time="signed", entity=("town",), known_at="known_at")
TABLES = [THINGS, YEARLY, DEEDS]


def marks(connection: Connection[Any], tenant: str, names: Sequence[str]) -> Mapping[str, int]:
    """How often each of these tables has changed."""
    return registry.look(connection, tenant, [], names).marks
