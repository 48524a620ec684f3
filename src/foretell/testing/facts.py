"""What the sample of a domain must keep: its facts obey the tables, its requests the tasks, its seed decides all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from foretell.contract import INSTANT, Domain, Frame, Report, Sample, Table, Task
from foretell.errors import BrokenDomain

ROWS = 50  # of a table, validated one by one


@dataclass(frozen=True, kw_only=True)
class World:
    """A domain and its sample."""

    domain: Domain
    sample: Sample
    seed: int


def the_facts_obey_the_tables(world: World) -> None:
    """The sample's facts have their tables' columns, unique keys, valid rows, and were known by its `now`."""
    domain, sample = world.domain, world.sample
    tables = {table.name: table for table in domain.tables}
    if foreign := set(sample.history.tables) - set(tables):
        raise BrokenDomain(f"{domain.name}: the sample has facts of {', '.join(sorted(foreign))}, which is no table")
    settings = sample.history.standpoint.settings
    if not isinstance(settings, domain.settings):
        raise BrokenDomain(f"{domain.name}: the sample's settings are {type(settings).__name__}, not the domain's")
    for name, table in tables.items():
        where = f"{domain.name}, table {name} of the sample"
        if name not in sample.history.tables:
            raise BrokenDomain(f"{where}: there is none; an empty frame with its columns will do")
        frame = sample.history[name]
        _columns(where, table, frame)
        _keys(where, table, frame)
        _times(where, table, frame, sample)
        _rows(where, table, frame)


def _columns(where: str, table: Table, frame: Frame) -> None:
    if table.time not in frame.columns or frame.schema.get("known_at") != INSTANT:
        raise BrokenDomain(f"{where}: needs columns {table.time} and known_at, known_at of {INSTANT}")
    if not frame.height:
        return
    own = set(table.row.model_fields)
    wanted = (own - {table.known_at}) | ({"entity"} if table.entity else set())
    if missing := sorted(wanted - set(frame.columns)):
        raise BrokenDomain(f"{where}: has no column {', '.join(missing)}, which its rows declare")
    if foreign := sorted(set(frame.columns) - own - {"entity", "known_at"}):
        raise BrokenDomain(f"{where}: has a column {', '.join(foreign)} that its rows do not declare")


def _keys(where: str, table: Table, frame: Frame) -> None:
    if not frame.height:
        return
    double = frame.filter(frame.select(table.key).is_duplicated())
    if double.height:
        raise BrokenDomain(f"{where}: {double.height} rows share a key, the first {double.select(table.key).row(0)}")
    if table.entity:
        for row in frame.select("entity", *(pl.col(c).alias(f"part {c}") for c in table.entity)).unique().iter_rows():
            if row[0] != table.named(*map(str, row[1:])):
                raise BrokenDomain(f"{where}: entity {row[0]!r} should be {table.named(*map(str, row[1:]))!r}")


def _times(where: str, table: Table, frame: Frame, sample: Sample) -> None:
    now = sample.history.now
    broken = {
        "is not known at any time": pl.col("known_at").is_null(),
        f"is known after the sample's now, {now}": pl.col("known_at") > now,
    }
    if table.known_at is None:
        broken["is known before it happened, though the table declares no known_at"] = pl.col("known_at") < pl.col(
            table.time
        )
    for words, wrong in broken.items():
        rows = frame.filter(wrong)
        if rows.height:
            raise BrokenDomain(f"{where}: {rows.height} of {frame.height} rows break: {words}; the first {rows.row(0)}")


def _rows(where: str, table: Table, frame: Frame) -> None:
    for words, holds in table.rules.items():
        rows = frame.filter(~holds)
        if rows.height:
            raise BrokenDomain(f"{where}: {rows.height} rows break the rule {words!r}; the first {rows.row(0)}")
    drawn = np.random.default_rng(0).choice(frame.height, min(frame.height, ROWS), replace=False)
    for row in frame[np.sort(drawn)].iter_rows(named=True):
        sent = {name: row[name] for name in table.row.model_fields if name in row}
        if table.known_at and table.known_at not in sent:
            sent[table.known_at] = row["known_at"]
        try:
            table.row.model_validate(sent)
        except ValueError as error:
            raise BrokenDomain(f"{where}: the row {sent} is not valid: {error}") from error


def the_requests_are_the_tasks(world: World) -> None:
    """The sample has requests for every task and report, each of its request's kind, that survive a round trip."""
    domain, sample = world.domain, world.sample
    asked: list[Task | Report] = [*domain.tasks, *domain.reports]
    for task in asked:
        where, requests = f"{domain.name}, {task.name}", sample.requests.get(task.name, ())
        if not requests:
            raise BrokenDomain(f"{where}: the sample has no request")
        for request in requests:
            if not isinstance(request, task.request):
                kind = type(request).__name__
                raise BrokenDomain(f"{where}: the sample's request is a {kind}, not a {task.request.__name__}")
            again: Any = task.request.model_validate(request.model_dump())
            if again != request:
                raise BrokenDomain(f"{where}: a request changes when dumped and validated: {request!r}, {again!r}")
    if foreign := set(sample.requests) - {task.name for task in asked}:
        raise BrokenDomain(
            f"{domain.name}: the sample has requests for {', '.join(sorted(foreign))}, which it does not have"
        )


def the_seed_decides(world: World) -> None:
    """The seeded sample is the same twice, and another seed gives another."""
    domain, sample, seed = world.domain, world.sample, world.seed
    again, other = domain.sample(seed), domain.sample(seed + 1)
    if words := _differ(sample, again):
        raise BrokenDomain(f"{domain.name}: sample({seed}) is not the same twice: {words}")
    if _differ(sample, other) is None:
        raise BrokenDomain(
            f"{domain.name}: sample({seed}) and sample({seed + 1}) are the same; the seed changes nothing"
        )


def _differ(one: Sample, two: Sample) -> str | None:
    """Where two samples differ, in words."""
    if one.history.standpoint != two.history.standpoint:
        return f"the standpoint is {one.history.standpoint} and {two.history.standpoint}"
    if one.history.tables.keys() != two.history.tables.keys():
        return f"the tables are {', '.join(one.history.tables)} and {', '.join(two.history.tables)}"
    for name, frame in one.history.tables.items():
        other = two.history[name]
        if frame.schema != other.schema or frame.height != other.height:
            return f"table {name} has {frame.height} rows of {frame.columns} and {other.height} of {other.columns}"
        for column in frame.columns:
            places = (~frame[column].eq_missing(other[column])).arg_true()
            if len(places):
                k = places[0]
                return f"table {name}, column {column}, row {k}: {frame[column][k]!r} and {other[column][k]!r}"
    for name, requests in one.requests.items():
        others = list(two.requests.get(name, ()))
        if list(requests) != others:
            return f"the requests for {name} are {list(requests)} and {others}"
    return None


CHECKS: tuple[Callable[[World], None], ...] = (
    the_facts_obey_the_tables,
    the_requests_are_the_tasks,
    the_seed_decides,
)
