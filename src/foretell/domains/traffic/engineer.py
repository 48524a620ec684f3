"""The 19 features of the documents on a frame of metrics, group by group, each group callable alone.

The numbers are those that the learners see: `calendars` and the windows of `features`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from foretell.contract import INSTANT, Frame
from foretell.domains.traffic import calendars, schema
from foretell.domains.traffic.features import HOUR, LONGEST_WINDOW, windows
from foretell.domains.traffic.schema import Settings
from foretell.errors import InvalidRequest
from foretell.features.grid import Grid, Places, back, micros, off_hour
from foretell.features.place import place

TIME = pl.col("time")
QUARTER = 900_000_000  # microseconds: every zone's clock is a whole number of quarters from UTC,
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SINCE = 63_072_000_000_000  # since 1972


class FeatureEngineer:
    """Adds feature columns to a frame of measurements of one service.

    A Polars frame has a column `time` or `timestamp`; a pandas frame has a DatetimeIndex. Times without a zone are
    local times of `zone`. The same kind of frame comes back, same rows in the same order. Rolling windows and lags run
    over hours: finer rows are resampled to the hour's mean first, and each row gets the features of its hour.
    """

    def __init__(self, zone: str = "UTC", settings: Settings | None = None) -> None:
        """`zone` is an IANA name; place and method of prayer come from the settings, else its city."""
        self.zone, self.settings = zone, settings or Settings()

    def add_time_features(self, df: Any) -> Any:
        """hour, day_of_week (Monday 0), is_weekend (by country), month, day_of_month, week_of_year (ISO)."""
        return self._calendar(df, "time", calendars.clock(), schema.TIME, every=QUARTER)

    def add_ramadan_features(self, df: Any, year: int | None = None) -> Any:  # noqa: ARG002
        """is_ramadan, ramadan_day (0 outside), days_until_ramadan (0 in Ramadan), is_last_10_nights.

        Nights belong to the Hijri day that follows. `year` is taken because the documents pass it, and changes nothing:
        each row's own date decides, since one year can hold two Ramadans.
        """
        return self._calendar(df, "ramadan", calendars.ramadan(TIME), schema.RAMADAN)

    def add_prayer_features(self, df: Any) -> Any:
        """is_prayer_window (a prayer is held within the hour from the row's time), minutes_to_next_prayer."""
        times = times_of(df, self.zone)
        made = calendars.prayer(micros(times.fill_null(EPOCH)), place(self.zone, self.settings))
        return _with(df, pl.DataFrame(made).select(pl.when(times.is_not_null()).then(pl.all())))

    def add_rolling_features(self, df: Any, value_col: str = "value") -> Any:
        """rolling_{mean,std,min,max}_24h over the 24 hours that end before the row's own hour."""
        grid, times = self._grid(df, value_col)
        (places,) = grid.places(*times)
        return _with(df, pl.DataFrame(windows(grid.value, places)))

    def add_lag_features(self, df: Any, value_col: str = "value") -> Any:
        """lag_1h, lag_24h, lag_168h: the hour's mean so many hours before the row's hour."""
        grid, times = self._grid(df, value_col)
        (places,) = grid.places(*times)
        lags = {name: back(grid.value, places, k) for name, k in zip(schema.LAGS, (1, 24, 168), strict=True)}
        return _with(df, pl.DataFrame(lags))

    def _calendar(self, df: Any, group: str, made: list[pl.Expr], names: list[str], every: int = 0) -> Any:
        """The frame with one group of calendar features, made from the columns of its rows' days.

        What can't change within `every` microseconds is worked out once for each such span, and looked up.
        """
        moments, span = times_of(df, self.zone), None
        if every and len(moments) and not moments.null_count():
            tick = micros(moments) // every
            first, last = int(tick.min()), int(tick.max())
            if last - first < len(moments) and first * every > SINCE:
                moments = pl.Series(np.arange(first, last + 1) * every).cast(INSTANT)
                span = pl.Series(tick - first)
        here = place(self.zone, self.settings)
        frame = calendars.of_day(moments.to_frame("time"), "time", self.zone, here, calendars.NEEDS[group])
        plain = frame.with_columns(made).select(pl.col(name).cast(pl.Int64) for name in names)
        return _with(df, plain if span is None else plain.select(pl.all().gather(span)))

    def _grid(self, df: Any, value_col: str) -> tuple[Grid, tuple[pl.Series, Places]]:
        """The hours of the frame, and its rows' entity and times to look them up by."""
        columns = list(df.columns)
        if value_col not in columns:
            raise InvalidRequest(
                f"there is no column {value_col!r} to take features of; there are {', '.join(columns)}"
            )
        times = times_of(df, self.zone)
        if times.null_count():
            raise InvalidRequest(f"{times.null_count()} rows have no time, or one that does not exist in {self.zone}")
        entity = pl.Series("entity", ["one"]).new_from_index(0, len(times))
        value = np.asarray(df[value_col].to_numpy(), dtype=np.float64)
        there = ~np.isnan(value)
        micro = micros(times)
        grid = Grid.of(
            entity.filter(pl.Series(there)), micro[there], value[there], step=HOUR, offset=off_hour(self.zone),
            behind=LONGEST_WINDOW, ahead=1,
        )  # fmt: skip
        return grid, (entity, micro)


def times_of(df: Any, zone: str) -> pl.Series:
    """The instants of a frame's rows, UTC; null where a local time of `zone` does not exist."""
    if not isinstance(df, pl.DataFrame):
        index = df.index
        if not str(index.dtype).startswith("datetime64"):
            raise InvalidRequest("a pandas frame of metrics needs a DatetimeIndex")
        times = pl.Series("time", (index if index.tz is None else index.tz_convert("UTC").tz_localize(None)).to_numpy())
        times = times.cast(pl.Datetime("us"))
        times = times if index.tz is None else times.dt.replace_time_zone("UTC")
    else:
        name = next((name for name in ("time", "timestamp") if name in df.columns), None)
        if name is None or not isinstance(df.schema[name], pl.Datetime):
            raise InvalidRequest("a frame of metrics needs a column `time` or `timestamp` of datetimes")
        times = df[name].alias("time").dt.cast_time_unit("us")
    if times.dtype == pl.Datetime("us"):
        times = times.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return times.cast(INSTANT)


def _with(df: Any, columns: Frame) -> Any:
    """The frame with columns added; a missing number is NaN in pandas and null in Polars."""
    if isinstance(df, pl.DataFrame):
        return df.with_columns(columns.fill_nan(None))
    return df.assign(**{name: columns[name].to_numpy() for name in columns.columns})
