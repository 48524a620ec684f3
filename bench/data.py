"""The series that are measured, imported as their owner would."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib.resources import as_file, files
from pathlib import Path

import polars as pl

from foretell.contract import Frame, History, Standpoint, Task
from foretell.domains.traffic import LOAD
from foretell.domains.traffic.schema import METRICS, Settings
from foretell.engine.ingest import ingest
from foretell.settings import ForetellSettings

HOUR = timedelta(hours=1)
MONTH = timedelta(days=365) / 12


class MissingError(Exception):
    """Something that a part needs is not there; the message says what, and what to type."""


@dataclass(frozen=True)
class Series:
    """A public series of hourly values: its folder and column, its clock and unit, and what it is."""

    name: str
    zone: str
    unit: str
    what: str
    column: str = "y"
    zero: bool = True  # whether a zero is a measurement; if not, it stands for a missing one


APPSERVER = Series(
    "appserver_cluster",
    "Europe/Berlin",
    "requests/h",
    "HTTP requests of four application servers; the recipe was tuned on it",
)
TURKEY = Series(
    "turkey_consumption",
    "Europe/Istanbul",
    "MWh",
    "national electricity consumption; the recipe was made with its Ramadans of 2017 and 2018 in view",
)
NASA = Series(
    "nasa_http",
    "America/New_York",
    "requests/h",
    "a web site's HTTP requests, July and August 1995, with a hurricane's outage; no forecast was tuned on it",
)
TETOUAN = Series(
    "tetouan_power",
    "Africa/Casablanca",
    "kW",
    "electric power of a quarter of Tetouan, Morocco, 2017; no forecast was tuned on it",
    column="Zone1",
)


TURKEY_LOAD = Series(
    "turkey_load_with_operator_forecast",
    "Europe/Istanbul",
    "MWh",
    "Turkey's electric load by another measure, 2016 and 2017: a Ramadan not looked at before, of a close relative",
    column="load_mwh",
    zero=False,
)


def public(series: Series, file: str | None = None, step: timedelta = HOUR) -> History:
    """A public series, its hours or another file of the folder; raises MissingError where it is not there."""
    folder = ForetellSettings().bench_data
    if folder is None:
        raise MissingError(
            f"{series.name}: the folder of the public data is not set; type: FORETELL_BENCH_DATA=<folder> make bench"
        )
    path = folder / "traffic" / (file or f"{series.name}/hourly.csv.gz")
    if not path.is_file():
        raise MissingError(
            f"{series.name}: there is no {path}; put the file there, or name the folder that has it: "
            "FORETELL_BENCH_DATA=<folder> make bench"
        )
    return imported(path, series, step)


def packaged() -> History:
    """The application servers' last 27 months, which come with foretell."""
    with as_file(files("foretell") / "samples" / "appserver_cluster.csv.gz") as path:
        return imported(path, replace(APPSERVER, column="requests"))


def imported(path: Path, series: Series, step: timedelta = HOUR) -> History:
    """The rows of a file of values, each known at the end of its step."""
    local = pl.col("timestamp").str.to_datetime()
    utc = local.dt.replace_time_zone(series.zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")
    sent = pl.read_csv(path).select(
        time=utc, value=pl.col(series.column).cast(pl.Float64), service=pl.lit(series.name), known_at=utc + step
    )
    if not series.zero:
        sent = sent.filter(pl.col("value") != 0)
    done = ingest(METRICS, sent, zone=series.zone)
    for rule, count in done.rejected.group_by("rule").len().sort("rule").iter_rows():
        print(f"  {series.name}: {count} rows rejected: {rule}")
    there = Standpoint(tenant="bench", now=_newest(done.rows), zone=series.zone, settings=Settings())
    return History(there, {METRICS.name: done.rows.sort("known_at", *METRICS.key)})


def _newest(rows: Frame) -> datetime:
    """When the newest row became known."""
    moment = rows["known_at"].max()
    if not isinstance(moment, datetime):
        raise MissingError("the series has no rows")
    return moment


def stood(history: History, moment: datetime | None = None, *, days: float | None = None) -> History:
    """What was known at `moment` (the newest row's, if None), of the `days` before it."""
    moment = moment or _newest(history[METRICS.name])
    cut = history.cut(moment)
    if days is None:
        return cut
    since = moment - timedelta(days=days)
    return History(cut.standpoint, {name: rows.filter(pl.col("time") >= since) for name, rows in cut.tables.items()})


def racing(*names: str) -> Task:
    """The task of load with these of its candidates."""
    return replace(LOAD, candidates={name: LOAD.candidates[name] for name in names})
