"""Before anything is read for a request: what it leaves out is found in the facts, and who may not ask is told so."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from foretell.app.tenancy import Tenancy
from foretell.contract import Domain, Frame, Lookup, Report, Request, Task
from foretell.errors import Forbidden, NotFound
from foretell.stores import facts


def admitted(
    desk: Tenancy, connection: Any, domain: Domain, what: Task | Report, request: Request, now: datetime
) -> Request:
    """The request, complete. Raises NotFound where what it names is not there, Forbidden where somebody may not ask."""
    for lookup in what.lookups:
        if getattr(request, lookup.field) is None:
            request = request.model_copy(update={lookup.field: _found(desk, connection, domain, lookup, request, now)})
    if desk.person is not None and domain.members is not None:
        _check(desk, connection, domain, what, request, now)
    return request


def _found(desk: Tenancy, connection: Any, domain: Domain, lookup: Lookup, request: Request, now: datetime) -> Any:
    value = getattr(request, lookup.of)
    if value is None and lookup.optional:
        return None
    rows = _rows(desk, connection, domain, lookup.table, {lookup.by: value}, (lookup.column,), now)
    if rows.is_empty():
        if lookup.optional:
            return None
        raise NotFound(f"{domain.name}.{lookup.table} has no {lookup.by} {value!r}")
    return rows.sort("known_at")[lookup.column][-1]


def _check(
    desk: Tenancy, connection: Any, domain: Domain, what: Task | Report, request: Request, now: datetime
) -> None:
    who, person = domain.members, desk.person
    assert who is not None
    assert person is not None
    for scope in (what.about(request) if what.about else {}).get(who.of, ()):
        rows = _rows(desk, connection, domain, who.table, {who.of: scope, who.person: person}, (who.active,), now)
        if rows.is_empty() and _rows(desk, connection, domain, who.table, {who.of: scope}, (), now).is_empty():
            raise NotFound(f"nobody is known to be of {who.of} {scope!r}; bring who is into {domain.name}.{who.table}")
        if rows.is_empty() or not rows.sort("known_at")[who.active][-1]:
            raise Forbidden(
                f"{person} is no member of {who.of} {scope!r}; bring who is into {domain.name}.{who.table}, "
                "or ask with a token of role service or admin"
            )


def _rows(
    desk: Tenancy,
    connection: Any,
    domain: Domain,
    name: str,
    only: dict[str, str],
    wanted: tuple[str, ...],
    now: datetime,
) -> Frame:
    (table,) = (table for table in domain.tables if table.name == name)
    seen = {*wanted, *only, "known_at"}
    return facts.read(
        connection, desk.tenant, domain.name, table, known=now, only={by: [value] for by, value in only.items()},
        sees=lambda column: column in seen,
    )  # fmt: skip
