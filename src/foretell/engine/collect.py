"""Which facts requests, lessons and reviews need, by what their tasks say that they read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl

from foretell.contract import Frame, History, Read, Report, Request, Table, Task

NAMED = 10_000  # entities up to which facts are read of them alone


@dataclass(frozen=True, kw_only=True)
class Need:
    """The last `window` of a table, None: all of it; with `only`, of those where some column has one of its values.

    Of the columns those that one of `reads` sees; without any, all. Of the entities an even part, `share` of them; what
    there is of `others` is left out, or nobody's.
    """

    window: timedelta | None
    only: Mapping[str, tuple[str, ...]] | None = None
    reads: tuple[Read, ...] = ()
    share: float = 1.0
    others: bool = False

    def sees(self, column: str) -> bool:
        """Whether a column is needed."""
        return not self.reads or any(read.sees(column) for read in self.reads)


def needs(asked: Sequence[tuple[Task | Report, Request]]) -> dict[str, Need]:
    """What must be read of each table (by name) so that every request can be answered."""
    reads: dict[str, dict[Read, None]] = {}
    whom: dict[str, dict[str, dict[str, None]]] = {}  # by table, by column: the values, in their order
    everybody: set[str] = set()
    for task, request in asked:
        about = task.about(request) if task.about else {}
        for read in task.reads:
            reads.setdefault(read.table, {})[read] = None
            if read.by in about:
                whom.setdefault(read.table, {}).setdefault(read.by, {}).update(dict.fromkeys(about[read.by]))
            else:
                everybody.add(read.table)
    return {
        name: Need(
            window=max(read.window for read in some),
            only=None if name in everybody else {by: tuple(values) for by, values in whom[name].items()},
            reads=tuple(some),
        )
        for name, some in reads.items()
    }


def lessons(task: Task, tables: Sequence[Table], days: int | None = None, share: float = 1.0) -> dict[str, Need]:
    """What a task learns from: all that it reads of each table, or is told by; of everybody, `days` back.

    With `share` of an even part of the entities; what is also read by something else (the deals of an area) is there of
    the others too, as nobody's.
    """
    window = None if days is None else timedelta(days=days)
    found: dict[str, Need] = {}
    for table in tables:
        some = [read for read in (*task.reads, *task.told_by) if read.table == table.name]
        if some:
            by = {read.by for read in some}
            # On the card it is told when it happened, whoever looks at it.
            when = Read(table=table.name, window=some[0].window, columns=(table.time,))
            found[table.name] = Need(
                window=window, reads=(*some, when), share=share if "entity" in by else 1.0, others=len(by) > 1
            )
    return found


def reviewed(task: Task, tables: Sequence[Table], asked: Frame) -> dict[str, Need]:
    """What tells what came of the questions `asked`: of each table the same, of those whom they are about."""
    found = lessons(task, tables)
    for name, need in found.items():
        by = {read.by for read in need.reads[:-1]}
        named = {column: tuple(asked[column].unique().drop_nulls()) for column in by if column in asked.columns}
        if len(named) == len(by) and all(len(values) <= NAMED for values in named.values()):
            found[name] = replace(need, only=named)
    return found


def brings(task: Task | Report, request: Request) -> bool:
    """Whether a request is about nobody of whom facts are stored: it brings its own. One about everyone names none."""
    about = task.about(request) if task.about else {}
    return bool(about) and not any(about.values())


def narrowed(history: History, reads: Sequence[Read], questions: Frame) -> History:
    """What `reads` allow a task to see for these questions: fewer tables, columns, entities and days."""
    first = questions["as_of"].min()
    seen: dict[str, list[Frame]] = {}
    for read in reads:
        frame = history[read.table]
        frame = frame.select(
            name for name in frame.columns if any(r.table == read.table and r.sees(name) for r in reads)
        )
        if isinstance(first, datetime):
            frame = frame.filter(pl.col("known_at") > first - read.window)
        if read.by != "all":
            frame = frame.filter(pl.col(read.by).is_in(questions[read.by].unique().implode()))
        seen.setdefault(read.table, []).append(frame)
    return History(
        history.standpoint,
        {n: fs[0] if len(fs) == 1 else pl.concat(fs).unique(maintain_order=True) for n, fs in seen.items()},
    )
