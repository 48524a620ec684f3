"""Columns as sent, read as what a table holds: numbers, days, instants of a time zone, JSON objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import isinf
from typing import Any

import polars as pl

from foretell.contract import DTYPES, INSTANT, Frame, Kind
from foretell.engine import spelling

WORDS: Mapping[Kind, str] = {
    "text": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "a boolean",
    "date": "a date",
    "instant": "a time that exists (2026-03-01T12:00:00Z, or 2026-03-01 12:00 by local clocks)",
    "object": "a JSON object",
}
TRUTH = {"true": True, "t": True, "yes": True, "1": True, "false": False, "f": False, "no": False, "0": False}
FIRST, LAST = datetime(1, 1, 2), datetime(9999, 12, 30)  # noqa: DTZ001 - what other programs can hold in any zone
SHOWN = 40  # characters of a value that are shown as an example
SHAPES = tuple(f"%Y-%m-%d{clock}" for clock in (" %H:%M:%S%.f", " %H:%M", ""))
HALVES = tuple(f"%Y-%m-%d{clock}" for clock in (" %I:%M:%S %p", " %I:%M %p"))  # of clocks that count to twelve
DAY = 2  # the shape without a clock time
UNKNOWN = "can't be read as a time; write 2026-03-01T12:00:00Z, or 2026-03-01 12:00 by local clocks"
ORDER = (
    "names day and month in an order that was not said (as in 02/03/2026); say it with --dates dmy or --dates mdy"
    " (over HTTP dates=dmy)"
)


@dataclass(frozen=True, kw_only=True)
class Read:
    """A column as read.

    `values` are null where there is nothing or nothing readable; `troubles` say of which rows more than that, `notes`
    how many rows something was done to that a human should know.
    """

    values: pl.Series
    troubles: Mapping[str, pl.Series] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)


def read(column: pl.Series, kind: Kind, *, zone: str, others: Frame | None = None) -> Read:
    """The column as a table stores it. Clock times without a zone are local times of `zone`.

    `others` are the columns that name a series of which `column` is the time, in the order of the file: they tell the
    two halves of a doubled hour apart (see `instants`).
    """
    if kind == "instant":
        return instants(column, zone=zone, others=others)
    sent = column.dtype
    foreign = sent.is_nested() or sent == pl.Binary or (sent.is_temporal() and kind in ("number", "integer", "boolean"))
    if foreign and not (kind == "object" and isinstance(sent, pl.Struct)):
        return Read(values=_nothing(column, DTYPES[kind]))
    values = _READERS[kind](column)
    return Read(values=values, **_unread(column, values, kind))


def _unread(column: pl.Series, values: pl.Series, kind: Kind) -> dict[str, Any]:
    """The troubles of texts that can't be read as times or numbers, and a note with one of them, as `Read` has them."""
    if column.dtype != pl.String or kind not in ("instant", "date", "number", "integer"):
        return {}
    wrong = values.is_null() & column.is_not_null()
    if not wrong.any():
        return {}
    what, understood = ("a number", spelling.NUMBERS) if kind in ("number", "integer") else ("a time", spelling.TIMES)
    example = column.filter(wrong)[0].replace("'", "").strip()
    shown = example if len(example) <= SHOWN else f"{example[: SHOWN - 1]}…"
    note = f"values of {column.name} can't be read as {what}, such as '{shown}'; understood are {understood}"
    troubles = {}
    if kind in ("instant", "date"):
        troubles[ORDER] = wrong & spelling.unclear(column)
    if kind == "instant":
        troubles[UNKNOWN] = wrong & ~spelling.iso(column).str.contains(spelling.KNOWN).fill_null(False)
    return {"troubles": {words: where for words, where in troubles.items() if where.any()},
            "notes": {note: int(wrong.sum())}}  # fmt: skip


def _nothing(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    return pl.Series(column.name, [None], dtype=dtype).new_from_index(0, len(column))


def _numbers(column: pl.Series) -> pl.Series:
    new = column.cast(pl.Float64(), strict=False)
    if column.dtype == pl.String and new.null_count() > column.null_count():
        return column.str.strip_chars().cast(pl.Float64(), strict=False)
    return new


def _integers(column: pl.Series) -> pl.Series:
    """Whole numbers; a fraction is not quietly cut off."""
    number = _numbers(column)
    whole = ((number == number.round()) & (number > -(2.0**63))).fill_null(
        False
    )  # the least stands for none in a store
    return column.cast(pl.Int64(), strict=False).fill_null(number.cast(pl.Int64(), strict=False)).set(~whole, None)


def _booleans(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        plain = column.str.strip_chars().str.to_lowercase()
        return plain.replace_strict(TRUTH, default=None, return_dtype=pl.Boolean())
    return column.cast(pl.Boolean(), strict=False)


def _dates(column: pl.Series) -> pl.Series:
    """Days; a clock time of midnight says no more than its day, and another one is not quietly cut off."""
    if column.dtype.is_numeric():
        column = _digits(column)
    if column.dtype == pl.String:
        plain = spelling.iso(column).str.replace(r"[T ]0?0:00(:00(\.0+)?)?$", "")
        column = plain.str.to_date(strict=False, format="%Y-%m-%d")
    days = column.cast(pl.Date(), strict=False)
    return days.set(~days.is_between(FIRST.date(), LAST.date()), None)


def _digits(column: pl.Series) -> pl.Series:
    """Whole numbers as text, null for others."""
    return _integers(column).cast(pl.String())


def _objects(column: pl.Series) -> pl.Series:
    """The text of JSON objects; structs are written as such."""
    if isinstance(column.dtype, pl.Struct):
        column = _told(column).set(column.is_null(), None)
    if column.dtype != pl.String:
        return _nothing(column, pl.String())
    texts = column.str.strip_chars()
    wrong = [text for text in texts.unique().drop_nulls() if not _is_object(text)]
    return texts.set(texts.is_in(wrong), None) if wrong else texts


def _is_object(text: str) -> bool:
    """Whether it is a JSON object that a database can hold, which knows neither NaN nor the character of number 0."""
    if "\\u0000" in text:
        return False
    try:
        told = _JSON.decode(text)
        json.dumps(told, ensure_ascii=False).encode()  # half a surrogate pair is no character
    except (ValueError, RecursionError):
        return False
    return isinstance(told, dict)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _finite(number: str) -> float:
    if isinf(value := float(number)):
        raise ValueError(number)
    return value


_JSON = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def _texts(column: pl.Series) -> pl.Series:
    return column.cast(pl.String(), strict=False)


_READERS: Mapping[Kind, Callable[[pl.Series], pl.Series]] = {
    "text": _texts,
    "number": _numbers,
    "integer": _integers,
    "boolean": _booleans,
    "date": _dates,
    "object": _objects,
}


# ---------------------------------------------------------------- instants


def instants(column: pl.Series, *, zone: str, others: Frame | None = None) -> Read:
    """Instants in UTC, of text (`spelling`), dates, clock times or Unix seconds or milliseconds (10 or 13 digits).

    Those without an offset are local times of `zone`; a date without a clock time is the first moment of that day.

    A local time that never was (clocks set forward) is null. One that was twice (clocks set back) says which it was
    only in a series: with `others`, where a series runs through the hour, steps back once and runs on, the rows before
    the step are the earlier and those after it the later; all others are null. Rows are looked at in their order, so
    a series that is cut within that hour can't be told apart either.
    """
    if column.dtype.is_numeric():
        column = _digits(column)
    if column.dtype == pl.String:
        naive, aware, days = _parsed(column)
        said = _local(naive, zone, others, days)
        values = _within(aware.fill_null(said.values))
        if naive.null_count() + aware.null_count() == len(column) + column.null_count():
            return Read(values=values, troubles=said.troubles, notes=said.notes)
        more = _unread(column, naive.dt.replace_time_zone("UTC").fill_null(aware), "instant")
        return Read(
            values=values, troubles={**said.troubles, **more["troubles"]}, notes={**said.notes, **more["notes"]}
        )
    if column.dtype == pl.Date:
        return _local(column.cast(pl.Datetime("us")), zone, others, column.is_not_null())
    if not isinstance(column.dtype, pl.Datetime):
        return Read(values=_nothing(column, INSTANT))
    if column.dtype.time_zone is None:
        return _local(column, zone, others)
    return Read(values=_within(column.dt.cast_time_unit("us").dt.convert_time_zone("UTC")))


def _within(values: pl.Series) -> pl.Series:
    clock = values.dt.replace_time_zone(None)
    return values.set(~clock.is_between(FIRST, LAST), None)


def _parsed(text: pl.Series) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Times without an offset, as they stand, times with one, in UTC, and which of the first are days without a clock.

    A spelling tries what those before left.
    """
    left = spelling.iso(text).str.replace("T", " ", literal=True).str.replace(r"[Zz]$", "+00:00")
    naive = _nothing(text, pl.Datetime("us"))
    aware = naive.dt.replace_time_zone("UTC")
    days = naive.is_not_null()
    for number, shape in enumerate(SHAPES):
        found = left.str.strptime(pl.Datetime("us"), shape, strict=False)
        days = days | found.is_not_null() if number == DAY else days
        naive, left = naive.fill_null(found), left.set(found.is_not_null(), None)
        if left.null_count() == len(left):
            return naive, aware, days
    for shape in SHAPES[:DAY]:
        found = left.str.strptime(INSTANT, shape + "%#z", strict=False)
        aware, left = aware.fill_null(found), left.set(found.is_not_null(), None)
        if left.null_count() == len(left):
            return naive, aware, days
    for shape in HALVES:
        found = left.str.strptime(pl.Datetime("us"), shape, strict=False)
        naive, left = naive.fill_null(found), left.set(found.is_not_null(), None)
    return naive, aware.fill_null(_unix(left)), days


def _unix(text: pl.Series) -> pl.Series:
    """Instants of Unix seconds (10 digits, so from 2001 on) or milliseconds (13); null for all else."""
    seconds = text.str.extract(r"^([1-9]\d{9})$").cast(pl.Int64()) * 1_000_000
    thousandths = text.str.extract(r"^([1-9]\d{12})$").cast(pl.Int64()) * 1000
    return seconds.fill_null(thousandths).cast(INSTANT)


def _local(naive: pl.Series, zone: str, others: Frame | None, days: pl.Series | None = None) -> Read:
    """Clock times as instants. Those that are `days` stand for the first moment of their day, if it has any."""
    naive = naive.dt.cast_time_unit("us")
    naive = naive.set(~naive.is_between(FIRST, LAST), None)
    first = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    last = naive.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
    doubled = (first != last).fill_null(False)
    never = first.is_null() & naive.is_not_null()
    if days is not None and ((doubled | never) & days).any():
        first = first.fill_null(_opening(naive, zone).set(~days, None))
        last = last.zip_with(~(doubled & days), first)
        doubled, never = doubled & ~days, first.is_null() & naive.is_not_null()
    values, troubles, notes = first, {}, {}
    if doubled.any():
        half = _halves(naive, doubled, others)
        values = last.zip_with(half.eq_missing(1), first).set(doubled & half.is_null(), None)
        unclear = doubled & half.is_null()
        twice = f"local times exist twice in {zone} (clocks set back)"
        notes[f"{twice}; they came in two runs, and the first was taken as the earlier"] = int(half.count())
        notes[f"{twice} and don't show which is meant; they were rejected"] = int(unclear.sum())
        troubles[f"exists twice in {zone} (clocks set back); send it with its offset from UTC (as in +02:00)"] = unclear
    if never.any():
        notes[f"local times do not exist in {zone} (clocks set forward); they were rejected"] = int(never.sum())
        troubles[f"does not exist in {zone} (clocks set forward)"] = never
    return Read(
        values=values.dt.convert_time_zone("UTC"), troubles=troubles, notes={w: n for w, n in notes.items() if n}
    )


def _opening(midnight: pl.Series, zone: str) -> pl.Series:
    """The first moments of days whose midnight was skipped; null where all of the day was."""
    instant = timedelta(microseconds=1)
    before = (midnight - instant).dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
    opened = before + instant
    return opened.set(opened.dt.date() != midnight.dt.date(), None)


def _halves(naive: pl.Series, doubled: pl.Series, others: Frame | None) -> pl.Series:
    """For each row of a doubled hour 0 (the earlier) or 1 (the later) where its series shows which, else null."""
    rows = pl.DataFrame({"local": naive, "doubled": doubled}).with_row_index("row")
    if others is None:
        return rows.select(pl.lit(None, pl.Int64()).alias("half")).to_series()
    named = pl.struct(others.get_columns()).rank("dense") if others.width else pl.lit(0)
    rows = rows.with_columns(series=named).filter(pl.col("local").is_not_null())
    rows = rows.filter(pl.col("series").is_in(rows.filter("doubled")["series"].unique().implode()))

    def before(name: str, by: int = 1) -> pl.Expr:
        return pl.col(name).shift(by).over("series")

    # an hour set back at midnight lies on two days, so days are counted from noon
    hour = ["series", "doubled", (pl.col("local") - timedelta(hours=12)).dt.date().alias("night")]
    rows = rows.with_columns(
        onward=pl.col("local") > before("local"),
        place=pl.int_range(pl.len()).over("series"),
        rows=pl.len().over("series"),
    ).with_columns(
        back=(~pl.col("onward") & before("doubled")).fill_null(False),
        straight_in=pl.col("onward").fill_null(True) & before("onward").fill_null(True),
        straight_out=before("onward", -1).fill_null(True) & before("onward", -2).fill_null(True),
    )
    begins, ends = pl.col("place") == pl.col("place").min(), pl.col("place") == pl.col("place").max()
    told = (
        (pl.col("back").sum() == 1)  # one step back, to where the hour is lived again
        & (pl.col("place").max() - pl.col("place").min() + 1 == pl.len())  # and nothing else between
        & (~begins | pl.col("straight_in")).all()
        & (~ends | pl.col("straight_out")).all()
        & (pl.col("rows").first() > pl.len())  # alone, it might as well be one hour sent twice
    )
    half = pl.when(told.over(hour) & pl.col("doubled")).then(pl.col("back").cast(pl.Int64()).cum_sum().over(hour))
    found = rows.select("row", half=half)
    whole = pl.DataFrame({"row": pl.int_range(len(naive), dtype=pl.UInt32(), eager=True)})
    return whole.join(found, on="row", how="left", maintain_order="left")["half"]


def later(times: pl.Expr, interval: timedelta, zone: str) -> pl.Expr:
    """The ends of intervals that start at these instants; whole days are counted on the calendar of `zone`."""
    plain = times + interval
    if interval % timedelta(days=1):
        return plain
    start = times.dt.convert_time_zone(zone).dt.replace_time_zone(None)
    eve = (times - timedelta(microseconds=1)).dt.convert_time_zone(zone).dt.date()
    # a day whose midnight was skipped begins later, and ends at midnight all the same
    clock = pl.when(eve < start.dt.date()).then(start.dt.truncate("1d")).otherwise(start) + interval
    local = clock.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
    return local.dt.convert_time_zone("UTC").fill_null(plain)


def shortened(texts: pl.Expr, characters: int) -> pl.Expr:
    """Text of at most so many characters; an ellipsis where some were left out."""
    return pl.when(texts.str.len_chars() > characters).then(texts.str.head(characters - 1) + "…").otherwise(texts)


def as_sent(rows: Frame, characters: int) -> pl.Series:
    """For each row the text of a JSON object of what was sent, at most so many characters; NaN and infinity as text."""
    odd = [name for name, dtype in rows.schema.items() if dtype.is_float() and not rows[name].is_finite().all()]
    shown = rows.with_columns(pl.col(odd).cast(pl.String()), pl.selectors.datetime().dt.to_string("iso:strict"))
    told = _told(shown.to_struct("original"))
    return told.to_frame().select(shortened(pl.col("original"), characters)).to_series()


def _told(structs: pl.Series) -> pl.Series:
    """Structs as the text of JSON objects; what JSON has no words for as Python's text of it."""
    if _speakable(structs.dtype):
        return structs.struct.json_encode()
    texts = [json.dumps(each, default=str, ensure_ascii=False) for each in structs]
    return pl.Series(structs.name, texts, dtype=pl.String())


def _speakable(dtype: pl.DataType) -> bool:
    """Whether JSON has words for it; for bytes, say, it has none."""
    if isinstance(dtype, pl.List):
        return _speakable(pl.Series(dtype=dtype.inner).dtype)
    if isinstance(dtype, pl.Struct):
        return all(_speakable(dtype) for dtype in pl.DataFrame(schema=dtype.to_schema()).dtypes)
    return dtype.is_float() or dtype.is_integer() or dtype in (pl.String(), pl.Boolean(), pl.Date(), pl.Null())
