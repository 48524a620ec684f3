"""Rows in: every row is checked against its table; good ones go in, bad ones are kept with the rule they broke."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from foretell.contract import INSTANT, Frame, Table
from foretell.errors import InvalidRequest


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """What became of a batch: `rows` in the table's columns, `rejected` as sent with `rule`, `notes` for a human."""

    rows: Frame
    rejected: Frame
    notes: tuple[str, ...]


def ingest(table: Table, sent: Frame, *, zone: str) -> Ingested:
    """Check `sent` against `table`. Clock times without a zone are read as local times of `zone`.

    The rows that come back have the columns of the table's row, `known_at`, and `entity` where it declares one.
    Rows without a value for an optional column get its default. A repeated key keeps its last row.
    Raises InvalidRequest when a required column is missing altogether or one has no place in the table.
    """
    fields = _fields(table)
    _complete(table, sent, fields)
    notes: list[str] = []
    frame = sent.with_row_index("_row")
    broken: list[pl.Expr] = []
    for name, schema in fields.items():
        frame = _column(frame, name, schema, zone, notes)
        broken.append(_rule(name, schema, required=name in _required(table)))
    broken += [pl.when(~holds).then(pl.lit(words)) for words, holds in table.rules.items()]
    frame = frame.with_columns(rule=pl.coalesce(*broken))
    rejected = sent.with_columns(rule=frame["rule"]).filter(pl.col("rule").is_not_null())
    good = frame.filter(pl.col("rule").is_null()).select("_row", *(f"_new_{n}" for n in fields))
    good = good.rename({f"_new_{n}": n for n in fields})
    once = good.unique(table.key, keep="last", maintain_order=True)
    if once.height < good.height:
        notes.append(f"{good.height - once.height} rows repeat the key of a later row; the later one counts")
    known = pl.coalesce(table.known_at, table.time) if table.known_at else pl.col(table.time)
    rows = once.drop("_row").with_columns(known_at=known, **_entity(table))
    return Ingested(rows=rows, rejected=rejected, notes=tuple(notes))


def _fields(table: Table) -> Mapping[str, dict[str, Any]]:
    schema = table.row.model_json_schema()
    return {name: _plain(field) for name, field in schema["properties"].items()}


def _required(table: Table) -> Sequence[str]:
    required: Sequence[str] = table.row.model_json_schema().get("required", ())
    return required


def _plain(field: dict[str, Any]) -> dict[str, Any]:
    """An optional field's schema is that of its non-null half."""
    halves = [half for half in field.get("anyOf", ()) if half.get("type") != "null"]
    return field | halves[0] if halves else field


def _complete(table: Table, sent: Frame, fields: Mapping[str, Any]) -> None:
    missing = [name for name in _required(table) if name not in sent.columns]
    foreign = [name for name in sent.columns if name not in fields]
    if missing or foreign:
        what = [f"misses {', '.join(missing)}"] if missing else []
        what += [f"has no place for {', '.join(foreign)}"] if foreign else []
        raise InvalidRequest(f"table {table.name} {' and '.join(what)}; its columns are {', '.join(fields)}")


def _column(frame: Frame, name: str, schema: dict[str, Any], zone: str, notes: list[str]) -> Frame:
    """Add `_new_<name>`: the column as the table stores it, null where it can't be read."""
    if name not in frame.columns:
        frame = frame.with_columns(pl.lit(None, dtype=_dtype(schema)).alias(name))
    column = pl.col(name)
    if _dtype(schema) == INSTANT:
        new = _instants(frame[name], zone, notes)
        return frame.with_columns(new.alias(f"_new_{name}"))
    if schema.get("default") is not None:
        column = column.fill_null(pl.lit(schema["default"]))
    return frame.with_columns(column.cast(_dtype(schema), strict=False).alias(f"_new_{name}"))


def _dtype(schema: dict[str, Any]) -> pl.DataType:
    if schema.get("format") == "date-time":
        return INSTANT
    if schema.get("format") == "date":
        return pl.Date()
    kinds: dict[str, pl.DataType] = {"integer": pl.Int64(), "number": pl.Float64(), "boolean": pl.Boolean()}
    return kinds.get(schema.get("type", "string"), pl.String())


def _instants(column: pl.Series, zone: str, notes: list[str]) -> pl.Series:
    """Instants in UTC; null where a local time does not exist; the earlier one where it exists twice."""
    if column.dtype == pl.String:
        aware = column.str.contains(r"(Z|[+-]\d\d:?\d\d)$").any()
        column = column.str.to_datetime(time_unit="us", time_zone="UTC" if aware else None, strict=False)
    if not isinstance(column.dtype, pl.Datetime):
        return column.cast(pl.Datetime("us"), strict=False).dt.replace_time_zone("UTC")
    if column.dtype.time_zone is not None:
        return column.dt.cast_time_unit("us").dt.convert_time_zone("UTC")
    naive = column.dt.cast_time_unit("us")
    first = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    last = naive.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
    if twice := int((first != last).sum()):
        notes.append(f"{twice} local times exist twice in {zone} (clocks set back); the earlier one was taken")
    if never := int((first.is_null() & naive.is_not_null()).sum()):
        notes.append(f"{never} local times do not exist in {zone} (clocks set forward); they were rejected")
    return first.dt.convert_time_zone("UTC")


def _rule(name: str, schema: dict[str, Any], *, required: bool) -> pl.Expr:
    """The words of the rule a row breaks in this column, or null."""
    old, new = pl.col(name), pl.col(f"_new_{name}")
    rules = [(old.is_not_null() & new.is_null(), f"{name} can't be read as {_words(schema)}")]
    if required:
        rules.append((new.is_null(), f"{name} is missing"))
    if _dtype(schema).is_float():
        rules.append((~new.is_finite(), f"{name} is not a finite number"))
    bounds = {"minimum": "ge", "exclusiveMinimum": "gt", "maximum": "le", "exclusiveMaximum": "lt"}
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    for key, compare in bounds.items():
        if key in schema:
            kept = getattr(new, compare)(schema[key])
            rules.append((~kept, f"{name} must be {signs[compare]} {schema[key]:g}"))
    if "enum" in schema:
        rules.append((~new.is_in(schema["enum"]), f"{name} must be one of {', '.join(schema['enum'])}"))
    return pl.coalesce(pl.when(breaks).then(pl.lit(words)) for breaks, words in rules)


def _words(schema: dict[str, Any]) -> str:
    return {"date-time": "a time that exists", "date": "a date"}.get(
        schema.get("format", ""), f"a {schema.get('type', 'text')}"
    )


def _entity(table: Table) -> dict[str, pl.Expr]:
    """`entity`: the declared columns joined by "/"; a "/" or "%" inside one is escaped, so no two meet."""
    if not table.entity:
        return {}
    if len(table.entity) == 1:
        return {"entity": pl.col(table.entity[0])}
    return {"entity": pl.concat_str([escaped(pl.col(c)) for c in table.entity], separator="/")}


def escaped(column: pl.Expr) -> pl.Expr:
    """One part of an entity's name, with "%" and "/" percent-encoded (RFC 3986)."""
    return column.str.replace_all("%", "%25", literal=True).str.replace_all("/", "%2F", literal=True)


def latest(tables: Mapping[str, Frame]) -> datetime | None:
    """The moment the newest fact became known, UTC; None where there is none."""
    moments = [frame["known_at"].max() for frame in tables.values() if frame.height]
    return max((m for m in moments if isinstance(m, datetime)), default=None)
