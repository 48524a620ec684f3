"""The features of a plant on a frame of its readings and weather: the numbers that the learners see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from foretell.contract import DTYPES, INSTANT, Frame, History, Standpoint, Table
from foretell.domains.energy.features import features, framed
from foretell.domains.energy.readings import STEP
from foretell.domains.energy.schema import Settings
from foretell.domains.energy.tables import FORECASTS, PLANTS, READINGS, WEATHER, Kind
from foretell.domains.energy.weather import HOUR
from foretell.errors import InvalidRequest
from foretell.features.grid import micros

NAME = "plant"
DAY = timedelta(days=1)


class FeatureEngineer:
    """Adds features to a frame of one plant: hourly, with `time` or `timestamp` (UTC), an output and weather columns.

    The weather's columns are those of the tables; what is there stays as it is. Each row gets the features of its hour
    as it begins: of the output what was known by then, and the weather of the rows as forecast the day before. `site`
    is what the table of plants holds of it: its place above all, and its capacity; without one the highest output
    counts.
    """

    def __init__(self, kind: Kind, **site: Any) -> None:
        if kind not in ("solar", "wind"):
            raise InvalidRequest(f"a plant is solar or wind, not {kind!r}")
        self.kind: Kind = kind
        self.site = {"latitude": 0.0, "longitude": 0.0, **site}

    def engineer_all_features(self, df: Any, target: str) -> Any:
        """The frame with a column for each of the kind's features; null in Polars, NaN in pandas where not known.

        The same kind of frame comes back, the same rows in the same order. Raises InvalidRequest without times or
        without the column `target`, the output in kW.
        """
        frame = df if isinstance(df, pl.DataFrame) else pl.from_pandas(df.reset_index())
        name = next((one for one in ("time", "timestamp", "index") if one in frame.columns), None)
        if name is None or not isinstance(frame.schema[name], pl.Datetime) or frame[name].null_count():
            raise InvalidRequest("a frame to take features of needs a column `time` or `timestamp` of datetimes")
        if target not in frame.columns:
            raise InvalidRequest(f"there is no column {target!r}; there are {', '.join(frame.columns)}")
        when = frame[name].cast(pl.Datetime("us")) if frame.schema[name] != INSTANT else frame[name]
        at = micros(when) // HOUR * HOUR
        asked = framed([NAME] * len(at), at, at)
        made = features(self.kind, self._history(frame, at, target), asked).frame()
        made = made.select(column for column in made.columns if column not in frame.columns)
        if isinstance(df, pl.DataFrame):
            return df.with_columns(made.fill_nan(None))
        return df.assign(**{column: made[column].to_numpy() for column in made.columns})

    def _history(self, frame: Frame, at: Any, target: str) -> History:
        """The frame as a tenant with one plant would have it."""
        times = pl.Series("time", at, dtype=pl.Int64).cast(INSTANT)
        output = frame[target].cast(pl.Float64)
        capacity = self.site.get("capacity_kw") or float(np.nanmax(output.fill_null(np.nan).to_numpy(), initial=1e-9))
        first = times.min()
        since = (first if isinstance(first, datetime) else datetime(1970, 1, 1, tzinfo=UTC)) - DAY
        site = pl.DataFrame(
            [{**self.site, "capacity_kw": capacity, "kind": self.kind, "tracking": "fixed", "count": 1}]
        )
        told = [name for name in WEATHER if name in frame.columns]
        weather = times.to_frame().with_columns(*frame.select(told), provider=pl.lit("frame"), known_at=times - DAY)
        readings = pl.DataFrame({"time": times, "output_kw": output, "known_at": times + STEP}).drop_nulls("output_kw")
        rows = {
            PLANTS: site.with_columns(since=pl.lit(since, INSTANT), known_at=pl.lit(since, INSTANT)),
            READINGS: readings.unique("time", keep="last", maintain_order=True),
            FORECASTS: weather.unique("time", keep="last", maintain_order=True),
        }
        last = times.max()
        now = (last if isinstance(last, datetime) else since) + STEP
        there = Standpoint(tenant="", now=now, zone="UTC", settings=Settings())
        return History(there, {table.name: _whole(table, one) for table, one in rows.items()})


def _whole(table: Table, rows: Frame) -> Frame:
    blank = {
        name: pl.lit(None, DTYPES[kind])
        for name, kind in table.kinds.items()
        if name not in rows.columns and name not in ("plant", "issued_at")
    }
    return rows.with_columns(entity=pl.lit(NAME), **blank)
