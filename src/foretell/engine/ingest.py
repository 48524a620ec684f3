"""Rows in: every row is checked against its table; good ones go in, bad ones are kept with the rule they broke."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from foretell.contract import DTYPES, Frame, Kind, Table
from foretell.engine import spelling
from foretell.engine.reading import WORDS, Read, as_sent, later, read
from foretell.errors import InvalidRequest

SKEW = timedelta(minutes=5)  # by so much the sender's clock may be ahead of ours
LONGEST = 400  # bytes of a text that is part of a key
SHOWN = 2000  # characters of a rejected row that are kept
UNSTORABLE = "[\x00\x1e\x1f]"

Rule = tuple[pl.Expr, str]  # where a row breaks it, and its words


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """What became of a batch: every row sent is in `rows`, in `rejected` or among the `repeated`.

    `rows` have the table's columns, `known_at`, and `entity` where it declares one. `rejected` holds `rule`, the words
    of the first rule a row broke, and `original`, what was sent as the text of a JSON object (its first 2,000
    characters). `repeated` counts rows that a later row of the batch with the same key replaced. `counted` is how many
    rows something was done to that a human should know, by the words for it.
    """

    rows: Frame
    rejected: Frame
    repeated: int = 0
    counted: Mapping[str, int] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a human should know, a line each."""
        return tuple(f"{count:,} {words}" for words, count in self.counted.items())


def ingest(
    table: Table,
    sent: Frame,
    *,
    zone: str,
    now: datetime | None = None,
    interval: timedelta | None = None,
    ordered: bool = True,
) -> Ingested:
    """Check `sent` against `table`. Clock times without a zone are read as local times of `zone`.

    Text is read as ISO 8601. Rows without a value for an optional column get its default. A repeated key keeps its
    last row. Local times that don't exist or can mean two instants are rejected, not guessed; `reading.instants` says
    when the two halves of a doubled hour can be told apart.

    With `now` (UTC), a row that would become known more than five minutes after it is rejected: one cannot know what
    has not happened. What counts is the table's `known_at` where the row gives one, so that a weather forecast or a
    planned event may lie in the future as long as it says since when it is known; else it is the row's time.
    With `interval`, a row that does not say when it became known stands for that long from its time on, and became
    known at the end.

    Rows that are not `ordered` as they were written say nothing about which half of a doubled hour they mean.

    Raises InvalidRequest when a required column is missing altogether or one has no place in the table, or for an
    `interval` where the table has no `known_at` to hold its end.
    """
    if interval is not None and not table.known_at:
        raise InvalidRequest(f"table {table.name} has no column for when a fact became known; leave out the interval")
    if interval is not None and table.late is not None and interval > table.late:
        raise InvalidRequest(
            f"the values stand for {interval} each, and table {table.name} takes what is known {table.late} after"
            " its time at most; bring finer values, or say --interval none if each is a sample of its moment"
        )
    _complete(table, sent)
    raw, sent = sent, _emptied(table, sent)
    columns = {name: _read(table, sent, name, kind, zone, ordered=ordered) for name, kind in table.kinds.items()}
    typed = pl.DataFrame([column.values.alias(name) for name, column in columns.items()])
    if interval is not None and table.known_at:
        end = later(pl.col(table.time), interval, zone)
        typed = typed.with_columns(pl.coalesce(table.known_at, end).alias(table.known_at))
    rule = _broken(table, sent, typed, columns, now)
    bad, good = rule.is_not_null(), typed.filter(rule.is_null())
    once = good.unique(table.key, keep="last", maintain_order=True)
    known = pl.coalesce(table.known_at, table.time) if table.known_at else pl.col(table.time)
    counted: dict[str, int] = {}
    for column in columns.values():
        counted |= {words: counted.get(words, 0) + count for words, count in column.notes.items()}
    if repeated := good.height - once.height:
        counted["rows repeat the key of a later row; the later one counts"] = repeated
    return Ingested(
        rows=_entity(once.with_columns(known_at=known), table),
        rejected=pl.DataFrame({"rule": rule.filter(bad), "original": as_sent(raw.filter(bad), SHOWN)}),
        repeated=repeated,
        counted=counted,
    )


def _complete(table: Table, sent: Frame) -> None:
    missing = [name for name in required(table) if name not in sent.columns]
    foreign = [name for name in sent.columns if name not in table.kinds]
    if missing or foreign:
        what = [f"misses {', '.join(missing)}"] if missing else []
        what += [f"has no place for {', '.join(foreign)}"] if foreign else []
        raise InvalidRequest(f"table {table.name} {' and '.join(what)}; its columns are {', '.join(table.kinds)}")


def _emptied(table: Table, sent: Frame) -> Frame:
    """The rows with null where people wrote a word for nothing; text stays as it is, for Namibia is NA."""
    names = [name for name in sent.columns if table.kinds[name] != "text" and sent[name].dtype == pl.String]
    return sent.with_columns(pl.col(name).replace(dict.fromkeys(spelling.EMPTY)) for name in names) if names else sent


def required(table: Table) -> Sequence[str]:
    """The columns that a row must have."""
    return [name for name, each in table.row.model_fields.items() if each.is_required()]


def fields(table: Table) -> Mapping[str, dict[str, Any]]:
    """The JSON schema of each column; an optional one's is that of its non-null half."""
    return {name: _plain(schema) for name, schema in table.row.model_json_schema()["properties"].items()}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    halves = [half for half in schema.get("anyOf", ()) if half.get("type") != "null"]
    return schema | halves[0] if halves else schema


def _read(table: Table, sent: Frame, name: str, kind: Kind, zone: str, *, ordered: bool) -> Read:
    """The column as the table stores it, null where it can't be read."""
    default = table.row.model_fields[name].get_default()
    if isinstance(default, dict):
        default = json.dumps(default)
    if name not in sent.columns:
        return Read(values=pl.Series(name, [default], dtype=DTYPES[kind]).new_from_index(0, sent.height))
    whose = [each for each in table.key if each != name and each in sent.columns]
    others = sent.select(whose) if ordered and name == table.time and name in table.key else None
    done = read(sent[name], kind, zone=zone, others=others)
    if table.row.model_fields[name].is_required() or default is None:
        return done
    return Read(values=done.values.set(sent[name].is_null(), default), troubles=done.troubles, notes=done.notes)


def _broken(table: Table, sent: Frame, typed: Frame, columns: Mapping[str, Read], now: datetime | None) -> pl.Series:
    """For each row the words of the first rule it breaks; null for a good one."""
    rules: list[Rule] = []
    filled = {f"sent {name}": sent[name].is_not_null() for name in sent.columns}
    for name, schema in fields(table).items():
        for number, (words, where) in enumerate(columns[name].troubles.items()):
            filled[f"trouble {number} {name}"] = where
            rules.append((pl.col(f"trouble {number} {name}"), f"{name} {words}"))
        if name in sent.columns:
            unread = pl.col(f"sent {name}") & pl.col(name).is_null()
            rules.append((unread, f"{name} can't be read as {WORDS[table.kinds[name]]}"))
        if name in required(table):
            rules.append((pl.col(name).is_null(), f"{name} is missing"))
        rules += _limits(name, schema, table.kinds[name], table.hints.get(name))
    rules += [(~holds, words) for words, holds in table.rules.items()]
    rules += [*_long(table), *_late(table), *_future(table, now)]
    checked = typed.with_columns(**filled)
    bad = checked.select(bad=pl.any_horizontal(breaks.fill_null(False) for breaks, _ in rules)).to_series()
    told = checked.filter(bad).select(rule=pl.coalesce(pl.when(breaks).then(pl.lit(text)) for breaks, text in rules))
    places = pl.DataFrame({"bad": bad}).with_row_index("row").filter("bad").select("row").hstack(told)
    every = pl.DataFrame({"row": pl.int_range(sent.height, dtype=pl.UInt32(), eager=True)})
    return every.join(places, on="row", how="left", maintain_order="left")["rule"]


def _limits(name: str, schema: dict[str, Any], kind: Kind, hint: str | None) -> Iterator[Rule]:
    """What a column's values must keep to, and what to do about those that don't."""
    new, then = pl.col(name), f"; {hint}" if hint else ""
    if kind == "number":
        yield ~new.is_finite(), f"{name} is not a finite number"
    bounds = {"minimum": "ge", "exclusiveMinimum": "gt", "maximum": "le", "exclusiveMaximum": "lt"}
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    for key, compare in bounds.items():
        if key in schema:
            yield ~getattr(new, compare)(schema[key]), f"{name} must be {signs[compare]} {schema[key]:g}{then}"
    if "enum" in schema:
        yield ~new.is_in(schema["enum"]), f"{name} must be one of {', '.join(schema['enum'])}{then}"
    elif kind == "text":
        yield new.str.contains(UNSTORABLE), f"{name} holds a character that can't be stored (number 0, 30 or 31)"


def _long(table: Table) -> Iterator[Rule]:
    """What tells facts apart must fit into an index."""
    for name in (*table.key, *table.entity):
        if table.kinds[name] == "text":
            yield pl.col(name).str.len_bytes() > LONGEST, f"{name} is longer than {LONGEST} bytes, too long for a name"


def _late(table: Table) -> Iterator[Rule]:
    """When a fact can have become known, where its table says how late at most."""
    if table.late is not None and table.known_at:
        time, known = pl.col(table.time), pl.col(table.known_at)
        words = (
            f"{table.known_at} must lie within {table.late} (h:mm:ss) after {table.time}; leave it out for that moment"
        )
        yield ~known.is_between(time, time + table.late), words


def _future(table: Table, now: datetime | None) -> Iterator[Rule]:
    if now is None:
        return
    soon = pl.lit(now + SKEW)
    if table.known_at:
        yield pl.col(table.known_at) > soon, f"{table.known_at} lies in the future"
        unknown = pl.col(table.known_at).is_null()
        words = f"{table.time} lies in the future; what is known beforehand says since when, in {table.known_at}"
        yield unknown & (pl.col(table.time) > soon), words
    else:
        yield pl.col(table.time) > soon, f"{table.time} lies in the future"


def _entity(rows: Frame, table: Table) -> Frame:
    """The rows with `entity`, where the table declares one."""
    if not table.entity:
        return rows
    names = rows.select(table.entity).unique()
    named = names.with_columns(
        entity=pl.Series([table.named(*map(str, row)) for row in names.iter_rows()], dtype=pl.String)
    )
    return rows.join(named, on=table.entity, how="left", maintain_order="left")
