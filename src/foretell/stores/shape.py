"""The stored form of a declared table, as far as reading and writing it has to know."""

from __future__ import annotations

import hashlib
import json

from foretell.contract import Kind, Table

VIEWS = 1  # what the views of a table are like; another number makes them of every table again


def columns(table: Table) -> dict[str, Kind]:
    """The stored columns that make up a fact, in order: those of the row, `entity` where declared, and `known_at`."""
    kinds = {name: kind for name, kind in table.kinds.items() if name not in ("entity", "known_at")}
    return kinds | ({"entity": "text"} if table.entity else {}) | {"known_at": "instant"}


def filled(table: Table) -> set[str]:
    """The columns that always have a value."""
    fields = table.row.model_fields.items()
    given = {name for name, field in fields if field.is_required() or field.default is not None}
    return {*table.key, table.time, *given, "entity", "known_at"}


def identity(table: Table) -> list[str]:
    """The columns that tell facts apart, `entity` in place of those it is made of, `time` before the rest."""
    key = [name for name in table.key if name not in table.entity]
    whole = bool(table.entity) and {*table.entity} <= {*table.key}
    whom = ["entity"] if whole else [name for name in table.key if name in table.entity]
    return [*whom, *sorted(key, key=lambda name: name != table.time)]


def by_time(table: Table) -> bool:
    """Whether an entity's window is found by the key: then its facts are known within a sure time after their own."""
    return (table.known_at is None or table.late is not None) and identity(table)[:2] == ["entity", table.time]


def form(table: Table) -> str:
    """How rows are told apart, found and laid out, as JSON: what stored rows can't follow when it changes."""
    return json.dumps([identity(table), table.entity, table.time, by_time(table), table.yearly])


def fingerprint(table: Table) -> str:
    """What changes when the stored form does."""
    told = json.dumps([columns(table), sorted(filled(table)), form(table), [*table.persons], [*table.daily], VIEWS])
    return hashlib.sha256(told.encode()).hexdigest()
