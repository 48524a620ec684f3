"""Before anything is read for a request: what it leaves out is found in the facts, and who may not ask is told so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from foretell.app.tenancy import Tenancy
from foretell.contract import Domain, Frame, Lookup, Report, Request, Task
from foretell.errors import Forbidden, ForetellError, NotFound
from foretell.stores import facts

Asking = tuple[Task | Report, Request]


def admitted(
    desk: Tenancy, connection: Any, domain: Domain, asked: Mapping[int, Asking], now: datetime
) -> dict[int, Request | NotFound | Forbidden]:
    """The requests, complete, by their places; in the place of one NotFound, where what it names is not there.

    And Forbidden, where somebody may not ask. What many requests leave out is looked up together.
    """
    done: dict[int, Request | NotFound | Forbidden] = {place: request for place, (_, request) in asked.items()}
    for lookup in dict.fromkeys(one for what, _ in asked.values() for one in what.lookups):
        wanting = [
            place for place, (what, _) in asked.items() if lookup in what.lookups and _lacks(done[place], lookup)
        ]
        found = _found(desk, connection, domain, lookup, {getattr(done[place], lookup.of) for place in wanting}, now)
        for place in wanting:
            value = getattr(done[place], lookup.of)
            if value in found:
                done[place] = done[place].model_copy(update={lookup.field: found[value]})  # type: ignore[union-attr]
            elif not lookup.optional:
                done[place] = NotFound(f"{domain.name}.{lookup.table} has no {lookup.by} {value!r}")
    if desk.person is not None and domain.members is not None:
        for place, request in done.items():
            if not isinstance(request, ForetellError):
                try:
                    _check(desk, connection, domain, asked[place][0], request, now)
                except (NotFound, Forbidden) as error:
                    done[place] = error
    return done


def admitted_one(
    desk: Tenancy, connection: Any, domain: Domain, what: Task | Report, request: Request, now: datetime
) -> Request:
    """The same of one request. Raises NotFound and Forbidden."""
    done = admitted(desk, connection, domain, {0: (what, request)}, now)[0]
    if isinstance(done, ForetellError):
        raise done
    return done


def _lacks(request: Any, lookup: Lookup) -> bool:
    """Whether a request leaves a field out, and says what it is looked up by."""
    if isinstance(request, ForetellError) or getattr(request, lookup.field) is not None:
        return False
    return getattr(request, lookup.of) is not None


def _found(
    desk: Tenancy, connection: Any, domain: Domain, lookup: Lookup, values: set[Any], now: datetime
) -> dict[Any, Any]:
    """By value, what its newest row says."""
    wanted = [value for value in values if value is not None]
    if not wanted:
        return {}
    rows = _rows(desk, connection, domain, lookup.table, {lookup.by: wanted}, (lookup.column,), now)
    return dict(rows.sort("known_at", maintain_order=True).select(lookup.by, lookup.column).iter_rows())


def _check(
    desk: Tenancy, connection: Any, domain: Domain, what: Task | Report, request: Request, now: datetime
) -> None:
    who, person = domain.members, desk.person
    assert who is not None
    assert person is not None
    for scope in (what.about(request) if what.about else {}).get(who.of, ()):
        rows = _rows(desk, connection, domain, who.table, {who.of: [scope], who.person: [person]}, (who.active,), now)
        if rows.is_empty() and _rows(desk, connection, domain, who.table, {who.of: [scope]}, (), now).is_empty():
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
    only: dict[str, list[Any]],
    wanted: tuple[str, ...],
    now: datetime,
) -> Frame:
    (table,) = (table for table in domain.tables if table.name == name)
    seen = {*wanted, *only, "known_at"}
    return facts.read(
        connection, desk.tenant, domain.name, table, known=now, only=only,
        sees=lambda column: column in seen,
    )  # fmt: skip
