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

    Text is read as ISO 8601. The rows that come back have the columns of the table's row, `known_at`, and `entity`
    where it declares one.
    Rows without a value for an optional column get its default. A repeated key keeps its last row.
    Raises InvalidRequest when a required column is missing altogether or one has no place in the table.
    """
    fields = _fields(table)
    _complete(table, sent, fields)
    notes: list[str] = []
    typed = pl.DataFrame([_column(sent, name, schema, zone, notes) for name, schema in fields.items()])
    filled = {f"sent {name}": sent[name].is_not_null() for name in fields if name in sent.columns}
    required = _required(table)
    broken = [
        r for name, schema in fields.items() for r in _rules(name, schema, name in required, name in sent.columns)
    ]
    broken += [pl.when(~holds).then(pl.lit(words)) for words, holds in table.rules.items()]
    rule = typed.with_columns(**filled).select(rule=pl.coalesce(broken)).to_series()
    rejected = sent.with_columns(rule=rule).filter(rule.is_not_null())
    good = typed.filter(rule.is_null())
    once = good.unique(table.key, keep="last", maintain_order=True)
    if once.height < good.height:
        notes.append(f"{good.height - once.height} rows repeat the key of a later row; the later one counts")
    known = pl.coalesce(table.known_at, table.time) if table.known_at else pl.col(table.time)
    rows = once.with_columns(known_at=known)
    return Ingested(rows=_entity(rows, table), rejected=rejected, notes=tuple(notes))


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


def _column(sent: Frame, name: str, schema: dict[str, Any], zone: str, notes: list[str]) -> pl.Series:
    """The column as the table stores it, null where it can't be read."""
    dtype = _dtype(schema)
    column = sent[name] if name in sent.columns else pl.Series(name, [None] * sent.height, dtype=dtype)
    if dtype == INSTANT:
        return _instants(column, zone, notes).alias(name)
    if dtype == pl.Date and column.dtype == pl.String:
        new = column.str.strip_chars().str.to_date(strict=False, format="%Y-%m-%d")
    elif dtype == pl.Boolean and column.dtype == pl.String:
        new = column.str.to_lowercase().replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean)
    elif dtype == pl.Int64:
        number = column.cast(pl.Float64, strict=False)
        whole = (number == number.round()).fill_null(False)
        new = column.cast(pl.Int64, strict=False).fill_null(number.cast(pl.Int64, strict=False)).set(~whole, None)
    else:
        new = column.cast(dtype, strict=False)
    if schema.get("default") is not None:
        new = new.set(column.is_null(), schema["default"])
    return new.alias(name)


_TRUTH = {"true": True, "t": True, "yes": True, "1": True, "false": False, "f": False, "no": False, "0": False}


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
        return _read(column, zone, notes)
    if column.dtype == pl.Date:
        return _local(column.cast(pl.Datetime("us")), zone, notes)
    if not isinstance(column.dtype, pl.Datetime):
        return pl.Series(column.name, [None] * len(column), dtype=INSTANT)
    if column.dtype.time_zone is None:
        return _local(column, zone, notes)
    return column.dt.cast_time_unit("us").dt.convert_time_zone("UTC")


def _read(text: pl.Series, zone: str, notes: list[str]) -> pl.Series:
    """ISO 8601 text, each by its own offset; without one it is a local time of `zone`."""
    text = text.str.strip_chars().str.replace("T", " ", literal=True).str.replace(r"Z$", "+00:00")
    frame = pl.DataFrame({"text": text})
    shapes = [f"%Y-%m-%d{clock}" for clock in (" %H:%M:%S%.f", " %H:%M", "")]
    plain = frame.select(
        pl.coalesce(pl.col("text").str.strptime(pl.Datetime("us"), shape, strict=False) for shape in shapes)
    ).to_series()
    aware = frame.select(
        pl.coalesce(pl.col("text").str.strptime(INSTANT, shape + "%#z", strict=False) for shape in shapes[:2])
    ).to_series()
    return aware.fill_null(_local(plain, zone, notes))


def _local(naive: pl.Series, zone: str, notes: list[str]) -> pl.Series:
    naive = naive.dt.cast_time_unit("us")
    first = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    last = naive.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
    if twice := int((first != last).sum()):
        notes.append(f"{twice} local times exist twice in {zone} (clocks set back); the earlier one was taken")
    if never := int((first.is_null() & naive.is_not_null()).sum()):
        notes.append(f"{never} local times do not exist in {zone} (clocks set forward); they were rejected")
    return first.dt.convert_time_zone("UTC")


def _rules(name: str, schema: dict[str, Any], required: bool, sent: bool) -> list[pl.Expr]:
    """For each rule of a column: its words where a row breaks it, else null."""
    new = pl.col(name)
    rules = [(pl.col(f"sent {name}") & new.is_null(), f"{name} can't be read as {_words(schema)}")] if sent else []
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
    return [pl.when(breaks).then(pl.lit(words)) for breaks, words in rules]


def _words(schema: dict[str, Any]) -> str:
    kinds = {"date-time": "a time that exists", "date": "a date", "integer": "a whole number", "number": "a number"}
    return kinds.get(schema.get("format", schema.get("type", "")), f"a {schema.get('type', 'text')}")


def _entity(rows: Frame, table: Table) -> Frame:
    """The rows with `entity`, where the table declares one."""
    if not table.entity:
        return rows
    names = rows.select(table.entity).unique()
    named = names.with_columns(
        entity=pl.Series([table.named(*map(str, row)) for row in names.iter_rows()], dtype=pl.String)
    )
    return rows.join(named, on=table.entity, how="left", maintain_order="left")


def latest(tables: Mapping[str, Frame]) -> datetime | None:
    """The moment the newest fact became known, UTC; None where there is none."""
    moments = [frame["known_at"].max() for frame in tables.values() if frame.height]
    return max((m for m in moments if isinstance(m, datetime)), default=None)
