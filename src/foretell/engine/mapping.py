"""Which column of a file feeds which column of a table: given, or guessed from names and values, and always shown.

A guess knows no domain: it goes by what a column holds and by its part in the table (the time, the one number that a
row must have). Where two columns of a file would do equally well, it asks.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

import polars as pl

from foretell.contract import Frame, Kind, Table
from foretell.engine import spelling
from foretell.engine.ingest import fields, required
from foretell.engine.reading import instants, read
from foretell.engine.spelling import Form, Order
from foretell.errors import InvalidRequest

SYNONYMS: Mapping[str, str] = {
    "time": "time timestamp datetime date ds ts t at when stamp timeutc timestamputc datetimeutc",
    "known_at": "knownat known availableat publishedat issuedat arrivedat recordedat",
    "value": "value values val v y count counts total amount quantity qty units number measurement reading requests"
    " load",
    "name": "name id entity uniqueid series seriesid item itemid",
}
UNITS: Mapping[str, str] = {
    word: words.split()[0]
    for words in (
        "w watt watts", "kw kilowatt kilowatts", "mw megawatt megawatts", "gw", "wh", "kwh", "mwh", "gwh",
        "ms milliseconds", "sec secs seconds", "mins minutes", "hours hrs", "days", "weeks", "months", "pct percent",
        "usd dollars", "eur euros", "m2 sqm", "sqft ft2", "km", "miles", "kg", "lbs", "kb", "mb", "gb", "bytes",
    )
    for word in words.split()
}  # fmt: skip
"""What people write for units at the end of a column's name, and of those that mean the same the first."""
SOUND = 0.9  # so much of a column must be readable as a kind for it to be of that kind
FEW = 3  # columns of which one is to be chosen; more that share nothing with what is wanted are no candidates
ROOT = 4  # letters of a word that another may begin with and be of the same meaning
SHORTEST = timedelta(minutes=15)  # values closer together are taken for samples of a moment
STEADY = 0.8  # so many of the steps in a regular series are the same
LENGTHS = {timedelta(hours=1): "hour", timedelta(days=1): "day", timedelta(days=7): "week"}

Interval = timedelta | Literal["auto"] | None
Dates = Order | Literal["auto"] | None


def interval_of(text: str) -> Interval:
    """What people write for an interval: 15m, 1h, 1d, none or auto. Raises InvalidRequest."""
    units = {"m": "minutes", "h": "hours", "d": "days"}
    if text == "auto":
        return "auto"
    if text == "none":
        return None
    if text[-1:] not in units or not (text.isascii() and text[:-1].isdigit() and 0 < int(text[:-1]) < 10_000):
        raise InvalidRequest(f"interval {text}: write 15m, 1h, 1d, none or auto")
    return timedelta(**{units[text[-1]]: int(text[:-1])})


def pairs_of(text: str) -> dict[str, str]:
    """What people write for a mapping: time=timestamp,value=y. Raises InvalidRequest."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if wrong := [name for name, sign, column in pairs if not (name and sign and column)]:
        raise InvalidRequest(f"map {text}: {wrong[0]!r} names no column; write time=timestamp,value=y")
    names = [name.strip() for name, _, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InvalidRequest(f"map {text}: {twice[0]} is given twice")
    return {name.strip(): column.strip() for name, _, column in pairs}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a file is read into a table.

    `columns` are the file's columns by those of the table, `why` the words for each choice, `unused` what stays out.
    `interval` is how long each value stands for from its stamp on, None for samples of a moment: it is for `ingest`,
    which adds it once times are read. `timing` says so in words; empty where the table or the file settles it. `bare`
    is what is to be noted of rows that got none of the file's numbers; empty where they got any. `forms` say how
    columns of the table are spelled in the file, where a single value doesn't tell.
    """

    columns: Mapping[str, str]
    why: Mapping[str, str]
    unused: tuple[str, ...]
    interval: timedelta | None = None
    timing: str = ""
    bare: str = ""
    forms: Mapping[str, Form] = field(default_factory=dict)

    def apply(self, frame: Frame) -> Frame:
        """The rows in the table's column names, as `ingest` wants them. Raises InvalidRequest for a missing column."""
        if missing := [name for name in self.columns.values() if name not in frame.columns]:
            raise InvalidRequest(f"there is no column {', '.join(missing)}; there are {', '.join(frame.columns)}")
        forms = {name: form for name, form in self.forms.items() if frame[self.columns[name]].dtype == pl.String}
        columns = {
            name: spelling.spelt(pl.col(source), forms[name]) if name in forms else pl.col(source)
            for name, source in self.columns.items()
        }
        return frame.select(column.alias(name) for name, column in columns.items())

    @property
    def spelled(self) -> tuple[str, ...]:
        """What was made of the spelling of columns, in words."""
        return tuple(f"{name} was read so: {spelling.told(form)}" for name, form in self.forms.items())

    def guessed(self) -> tuple[str, ...]:
        """What was made of columns of other names, and which stay out, in words."""
        taken = [
            f"{name} was read from {source} ({self.why[name]})"
            for name, source in self.columns.items()
            if self.why[name] != "given" and source != name
        ]
        left = [f"not used: {', '.join(self.unused)}"] if self.unused and not self.bare else []  # `bare` says so, too
        return (*taken, *left, *self.spelled)

    def lines(self) -> list[str]:
        """The plan in words, a line for each column, and what follows for times and for columns left out."""
        width = max(map(len, self.columns), default=0)
        out = [f"{name:<{width}} ← {source} ({self.why[name]})" for name, source in self.columns.items()]
        out += [f"not used: {', '.join(self.unused)}"] if self.unused else []
        return [*out, *self.spelled, *([self.timing] if self.timing else [])]


def guess(
    table: Table,
    sample: Frame,
    given: Mapping[str, str],
    *,
    interval: Interval = "auto",
    dates: Dates = "auto",
    commas: bool = True,
) -> Plan:
    """The plan for a file of which `sample` is the start; `given` (table column → file column) always wins.

    What is not given is guessed, the surest first: the same name, a usual name for the table's time, its one required
    number or its one name, the only column whose values are all among a column's choices, and for a column that must be
    there the only one of its kind. An optional column that none fits well is left out.

    With `interval="auto"`, where the table tells apart when a fact happened and when it became known and the file does
    not, stamps in regular steps of a quarter of an hour or more are taken for the starts of intervals, whose values are
    known at their ends.

    With `dates="auto"`, whether the day or the month comes first in dates such as 02/03/2026 is told by all of a
    column, with None not at all. Where `commas` may be decimal marks, all of a column tells that, too.

    Raises InvalidRequest for names that don't exist, dates of which that can't be told, and where a required column
    has no candidate or several, or one whose name says another unit: the message holds the --map to type.
    """
    _exist(table, sample, given)
    raw, sample = sample, _plainly(sample, dates, commas=commas)
    columns, why = dict(given), dict.fromkeys(given, "given")
    stages = (_same_name, _usual_name, _choices, _only_one)
    for stage in stages:
        for name in table.kinds:
            if name in columns:
                continue
            free = [each for each in sample.columns if each not in columns.values()]
            found, words = stage(table, sample, name, free)
            if len(found) == 1:
                _same_unit(name, found[0])
                columns[name], why[name] = found[0], words
            elif found and name in required(table):
                raise InvalidRequest(
                    f"{' and '.join(found)} would do equally well for {name}; choose: "
                    + " or ".join(f"--map {name}={each}" for each in found)
                )
    _full(table, sample, columns)
    ordered = {name: columns[name] for name in table.kinds if name in columns}
    step, timing = _timing(table, sample, ordered, interval)
    unused = tuple(each for each in sample.columns if each not in columns.values())
    return Plan(
        columns=ordered, why=why, unused=unused, interval=step, timing=timing,
        bare=_bare(table, sample, ordered, unused), forms=_forms(table, raw, ordered, dates, commas=commas),
    )  # fmt: skip


def _plainly(sample: Frame, dates: Dates, *, commas: bool) -> Frame:
    """The sample as it looks once its spellings are known; either order shows as well that a column holds dates."""
    ways: dict[str, Form] = {}
    for column in sample.select(pl.selectors.string()):
        if dates is not None and spelling.unclear(column).any():
            ways[column.name] = _order(column, dates)
        elif commas and spelling.comma(column):
            ways[column.name] = "comma"
    return sample.with_columns(spelling.spelt(pl.col(name), form).alias(name) for name, form in ways.items())


def _order(column: pl.Series, dates: Dates) -> Form:
    try:
        return spelling.order(column, column.name, dates) or "dmy"
    except InvalidRequest:
        return "dmy"


def _forms(table: Table, sample: Frame, columns: Mapping[str, str], dates: Dates, *, commas: bool) -> dict[str, Form]:
    """How the columns of the table are spelled in the file. Raises InvalidRequest as `spelling.order` does."""
    forms: dict[str, Form] = {}
    for name, source in columns.items():
        kind = table.kinds[name]
        if kind in ("instant", "date") and (way := spelling.order(sample[source], name, dates)):
            forms[name] = way
        if kind in ("number", "integer") and commas and spelling.comma(sample[source]):
            forms[name] = "comma"
    return forms


def _exist(table: Table, sample: Frame, given: Mapping[str, str]) -> None:
    for name, source in given.items():
        if name not in table.kinds:
            raise InvalidRequest(f"table {table.name} has no column {name}; it has {', '.join(table.kinds)}")
        if source not in sample.columns:
            raise InvalidRequest(f"the file has no column {source}; it has {', '.join(sample.columns)}")


def _full(table: Table, sample: Frame, columns: Mapping[str, str]) -> None:
    """Raise InvalidRequest where a column that must be there is not."""
    if missing := [name for name in required(table) if name not in columns]:
        raise InvalidRequest(
            f"no column of the file looks like {', '.join(missing)}; it has {', '.join(sample.columns)}; choose: "
            + " ".join(f"--map {name}=COLUMN" for name in missing)
        )


def _bare(table: Table, sample: Frame, columns: Mapping[str, str], unused: Sequence[str]) -> str:
    """What to note where a table has numbers and the file too, and none was recognised."""
    numbers = [name for name, kind in table.kinds.items() if kind in ("number", "integer")]
    left = _of_kind(sample, unused, "number")
    if not numbers or not left or any(name in columns for name in numbers):
        return ""
    return f"rows without any number: none was recognised as {', '.join(numbers)}; not used: {', '.join(left)}"


def _same_unit(name: str, source: str) -> None:
    """Raise InvalidRequest where both names say a unit, and not the same: hours of kWh are no kW."""
    mine, other = unit(name), unit(source)
    if mine and other and mine != other:
        raise InvalidRequest(
            f"{source} looks like {other}, and {name} is in {mine}; convert it, or if it is in {mine} choose:"
            f" --map {name}={source}"
        )


def unit(name: str) -> str:
    """The unit that a column's name says last (`output_kw`, `Energy [kWh]`); empty where it says none."""
    said = [UNITS[word] for word in re.split(r"[^a-z0-9]+", name.lower()) if word in UNITS]
    return said[-1] if said else ""


# ---------------------------------------------------------------- the stages, surest first

Found = tuple[Sequence[str], str]


def _plain(name: str) -> str:
    return "".join(each for each in name.lower() if each.isalnum())


def _same_name(table: Table, sample: Frame, name: str, free: Sequence[str]) -> Found:  # noqa: ARG001 - stages are alike
    if name in free:
        return [name], "same name"
    return [each for each in free if _plain(each) == _plain(name)], "same name"


def _usual_name(table: Table, sample: Frame, name: str, free: Sequence[str]) -> Found:
    """Columns with a usual name for the part that `name` plays, and with values of its kind."""
    part = _part(table, name)
    called = [each for each in free if part and _plain(each) in SYNONYMS[part].split()]
    return _of_kind(sample, called, table.kinds[name]), "a usual name for it"


def _choices(table: Table, sample: Frame, name: str, free: Sequence[str]) -> Found:
    """Columns all of whose values are among the choices of `name`."""
    choices: Sequence[str] = fields(table)[name].get("enum", ())
    texts = [each for each in free if choices and sample[each].dtype == pl.String and sample[each].count()]
    return [each for each in texts if sample[each].drop_nulls().is_in(choices).all()], "all its values are choices"


def _only_one(table: Table, sample: Frame, name: str, free: Sequence[str]) -> Found:
    """All columns of the kind of `name`, if it must be there; of several those of its unit, or else of a like name."""
    if name not in required(table):
        return [], ""
    kind = table.kinds[name]
    found = _of_kind(sample, free, kind)
    if kind in ("instant", "date"):  # numbers that may be days or Unix seconds, where nothing looks like a time
        found = [each for each in found if not _is(sample[each], "number")] or found
    words = {"instant": "times", "number": "numbers", "integer": "whole numbers", "date": "dates", "object": "objects"}
    of = words.get(kind, "its kind")
    if len(found) < 2:
        return found, f"the only column of {of}"
    if mine := [each for each in found if unit(name) and unit(each) == unit(name)]:
        return mine, f"the only column of {of} in {unit(name)}"
    if near := [each for each in found if _related(name, each)]:
        return near, f"the only column of {of} with a like name"
    return ([] if len(found) > FEW else found), ""


def _related(name: str, source: str) -> bool:
    """Whether two names share a word, or the beginning of one of four letters or more; units are no such words."""

    def words(text: str) -> list[str]:
        parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower()
        return [word for word in re.split(r"[^a-z0-9]+", parted) if word and word not in UNITS]

    pairs = [sorted((a, b), key=len) for a in words(name) for b in words(source)]
    return any(a == b or (len(a) >= ROOT and b.startswith(a)) for a, b in pairs)


def _part(table: Table, name: str) -> str | None:
    """The part a column plays in any table: its time, its one required number, its one free name."""
    numbers = [each for each in required(table) if table.kinds[each] in ("number", "integer")]
    free = [each for each in table.key if table.kinds[each] == "text" and "enum" not in fields(table)[each]]
    parts = {"time": [table.time], "known_at": [table.known_at], "value": numbers, "name": free}
    return next((part for part, names in parts.items() if names == [name]), None)


def _of_kind(sample: Frame, names: Sequence[str], kind: Kind) -> list[str]:
    return [name for name in names if _is(sample[name], kind)]


def _is(column: pl.Series, kind: Kind) -> bool:
    """Whether a column's values are of a kind: all but a few can be read as it, and as nothing that is more special."""
    filled = column.drop_nulls()
    if filled.dtype == pl.String and kind != "text":
        filled = filled.filter(~filled.is_in(spelling.EMPTY))
    if filled.is_empty() or (kind == "date" and _is_instant(filled)):
        return False
    if kind == "text":
        return filled.dtype == pl.String and not any(_is(filled, each) for each in ("number", "instant", "object"))
    if kind == "number" and not (filled.dtype.is_numeric() or filled.dtype == pl.String):
        return False
    return read(filled, kind, zone="UTC").values.count() >= SOUND * len(filled)


def _is_instant(filled: pl.Series) -> bool:
    """Whether it holds times of day, not only days."""
    if filled.dtype == pl.String:
        return bool(filled.str.contains(":", literal=True).any())
    return isinstance(filled.dtype, pl.Datetime)


# ---------------------------------------------------------------- what stamps stand for


def _timing(
    table: Table, sample: Frame, columns: Mapping[str, str], interval: Interval
) -> tuple[timedelta | None, str]:
    """How long a value stands for from its stamp on, and the words for it."""
    if not table.known_at:
        if isinstance(interval, timedelta):
            raise InvalidRequest(f"table {table.name} has no column for when a fact became known; leave out --interval")
        return None, ""
    if isinstance(interval, timedelta):
        if interval <= timedelta(0):
            raise InvalidRequest("--interval must be a length of time above zero, or none")
        return interval, f"each value stands for the {length(interval)} from its stamp, known at its end"
    if table.known_at in columns or interval is None:
        return None, "" if interval == "auto" else "each value is a sample of the moment of its stamp, known then"
    whose = [columns[name] for name in table.key if name in columns and name != table.time]
    step = regular(sample, columns[table.time], whose) if table.time in columns else None
    if step is None or step < SHORTEST:
        return None, (
            "each value is taken for a sample of the moment of its stamp, known then;"
            " --interval 1h if it stands for the hour from its stamp"
        )
    return step, (
        f"each value is taken to stand for the {length(step)} from its stamp, known at its end;"
        " --interval none if it is a sample of that moment"
    )


def regular(sample: Frame, time: str, whose: Collection[str]) -> timedelta | None:
    """The step of the series in a sample, told apart by the columns `whose`; None where most steps differ."""
    # any zone will do, for only differences count
    rows = sample.select(*whose, instants(sample[time], zone="UTC").values.alias(""))
    rows = rows.filter(pl.col("").is_not_null()).unique().sort("")
    step = pl.col("").diff().over(whose) if whose else pl.col("").diff()
    steps = rows.select(step.alias("step")).to_series().drop_nulls()
    if steps.is_empty():
        return None
    usual: timedelta = steps.mode().min()  # type: ignore[assignment]
    return usual if (steps == usual).sum() >= STEADY * len(steps) else None


def length(span: timedelta) -> str:
    """A length of time in words: `hour`, `15 minutes`, `36 hours`."""
    if span in LENGTHS:
        return LENGTHS[span]
    for unit, name in ((timedelta(days=1), "days"), (timedelta(hours=1), "hours"), (timedelta(minutes=1), "minutes")):
        if not span % unit:
            return f"{span // unit} {name}"
    return f"{span.total_seconds():g} seconds"
