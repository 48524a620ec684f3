"""Features kept of everybody: found in the place of facts, and made again when facts come.

What is kept of an entity holds for a day (UTC), or until facts come that it is made of: those that bring them forget it
in the same transaction. What is made while facts come in is not kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from math import isnan
from typing import Any

import numpy as np
import polars as pl

from foretell.app.tenancy import Tenancy
from foretell.contract import KEPT, Domain, Frame, History, Request, Standpoint, Table, Task, instants
from foretell.errors import ForetellError, Unavailable
from foretell.stores import vectors
from foretell.stores.vectors import Vector


def owner(task: Task, domain: Domain) -> str:
    """The task by whose name a task's vectors are kept: the first that makes the same."""
    return next(one.name for one in domain.tasks if one.vector is task.vector)


def form(domain: Domain) -> str:
    """Which features a domain has, in which versions."""
    return domain.catalogue.form if domain.catalogue else ""


def whose(task: Task, request: Request) -> str:
    """The entity that a request is about."""
    return str(getattr(request, task.whom or ""))


def plain(task: Task, request: Request) -> bool:
    """Whether a request leaves out all that is looked up: only then is it about what is kept of somebody."""
    return all(getattr(request, one.field) is None for one in task.lookups)


def completed(task: Task, request: Request, kept: Vector) -> Request:
    """The request with what it leaves out and the vector was made of, as if that had been looked up again.

    What reads go by has the name of the request's field.
    """
    left = {one.field for one in task.lookups if getattr(request, one.field) is None}
    return request.model_copy(update={name: value for name, value in kept.about.items() if name in left})


def found(
    desk: Tenancy, connection: Any, domain: Domain, task: Task, requests: Sequence[Request], now: datetime
) -> dict[str, Vector]:
    """What is kept of those that requests are about, and still holds."""
    whom = list(dict.fromkeys(whose(task, one) for one in requests))
    return vectors.find(connection, desk.tenant, owner(task, domain), form(domain), now.date(), whom)


def made(task: Task, history: History, requests: Sequence[Request]) -> dict[str, Vector]:
    """What is known of those that complete requests are about, as vectors; of nobody of whom nothing is known."""
    some: dict[str, Request] = {}
    asked: list[Frame] = []
    for one in requests:
        if whose(task, one) not in some:
            with suppress(ForetellError):
                asked.append(task.ask(one.model_copy(update={"features": None}), history).questions)
                some[whose(task, one)] = one
    if not asked:
        return {}
    assert task.vector is not None
    assert task.about is not None
    block, newest = task.vector(history, pl.concat(asked, how="diagonal")), _newest(history)
    out = {}
    for (name, one), row in zip(some.items(), block.values.tolist(), strict=True):
        values = [None if isnan(value) else value for value in row]
        about = {by: values_[0] for by, values_ in task.about(one).items() if values_ and by != "entity"}
        out[name] = Vector(
            entity_id=name, about=about, known_at=newest.get(name),
            feature_values=dict(zip(block.names, values, strict=True)),
        )  # fmt: skip
    return out


def _newest(history: History) -> dict[str, datetime]:
    """When the newest fact of each entity became known."""
    told = [table.select("entity", "known_at") for table in history.tables.values() if "entity" in table.columns]
    return dict(pl.concat(told).group_by("entity").agg(pl.col("known_at").max()).iter_rows())


def history_of(standing: Standpoint, domain: Domain, kept: Mapping[str, Vector]) -> History:
    """A history that has vectors (`values`, in the order of the domain's catalogue), and no facts."""
    names = domain.catalogue.names() if domain.catalogue else ()
    rows = np.array([[one.feature_values[name] for name in names] for one in kept.values()], dtype=np.float64)
    columns = [
        pl.Series("entity", [*kept], dtype=pl.String),
        instants("known_at", [one.known_at for one in kept.values()]),
        pl.Series("values", rows, dtype=pl.Array(pl.Float64, len(names))),
    ]
    return History(standing, {KEPT: pl.DataFrame(columns)})


def keep(desk: Tenancy, task: Task, day: date, new: Mapping[str, Vector], marks: Mapping[str, int]) -> None:
    """Keep what was made of facts with these data marks, unless newer ones have come or are coming."""
    if not new or desk.house.reads:
        return
    domain = desk.domain(task.name)
    with suppress(Unavailable), desk.transaction(durable=False) as connection:
        if vectors.still(connection, desk.tenant, marks):
            vectors.keep(connection, desk.tenant, owner(task, domain), form(domain), day, new.values())


def forget(desk: Tenancy, connection: Any, domain: Domain, table: Table, rows: Frame) -> None:
    """Forget what is made of facts like these rows, which are being stored."""
    for task in (task for task in domain.tasks if task.vector and task.name == owner(task, domain)):
        for by in {read.by for read in task.reads if read.table == table.name}:
            if by == "all":
                vectors.forget_all(connection, desk.tenant, task.name)
            else:
                vectors.forget(connection, desk.tenant, task.name, by, rows[by].drop_nulls().unique().to_list())


def forget_table(desk: Tenancy, connection: Any, domain: Domain, table: Table) -> None:
    """Forget all that is made of a table's facts, some of which are being taken back."""
    for task in (task for task in domain.tasks if task.vector and task.name == owner(task, domain)):
        if any(read.table == table.name for read in task.reads):
            vectors.forget_all(connection, desk.tenant, task.name)
