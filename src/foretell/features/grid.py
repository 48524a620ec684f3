"""Regular series of several entities in one array, so that a step back is a lag and a slice is a window.

Plain arrays rather than expressions: a forecast of four hours needs a hundred of these numbers, and each must cost
microseconds with one entity and stay linear with millions of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import INSTANT, Floats, Frame

Places = NDArray[np.int64]
"""Rows of a grid, one a question; -1 where the grid has none."""


def hour(column: pl.Expr, zone: str) -> pl.Expr:
    """The start of the hour that holds an instant, UTC; in zones half an hour off, on their clock's hours.

    The grid is that of the zone's standard time, so that it never shifts.
    """
    off = _minutes(zone)
    if off == 0:
        return column.dt.truncate("1h")
    return column.dt.offset_by(f"-{off}m").dt.truncate("1h").dt.offset_by(f"{off}m")


@cache
def _minutes(zone: str) -> int:
    winter = datetime(2025, 1, 1, tzinfo=ZoneInfo(zone))
    standard = (winter.utcoffset() or timedelta()) - (winter.dst() or timedelta())
    return int(standard.total_seconds() // 60) % 60


@dataclass(frozen=True)
class Grid:
    """One row for every step of each entity from its first to its last value, and `ahead` empty rows after it.

    `columns` hold NaN where a value is missing. `base` is the first row of each entity's block.
    """

    step: timedelta
    ahead: int
    blocks: Frame  # entity, first (its first time, microseconds since 1970), base, size (rows with the empty ones)
    base: Places  # of every row
    columns: Mapping[str, Floats]

    @classmethod
    def of(cls, frame: Frame, *, step: timedelta, ahead: int = 0) -> Grid:
        """A grid of `frame`: `entity`, `time` (UTC, multiples of `step` apart within an entity) and float columns."""
        frame = frame.sort("entity", "time")
        micro = step // timedelta(microseconds=1)
        when = pl.col("time").dt.epoch("us")
        blocks = frame.group_by("entity", maintain_order=True).agg(
            first=when.first(), size=(when.last() - when.first()) // micro + 1 + ahead, filled=pl.len()
        )
        blocks = blocks.with_columns(base=pl.col("size").cum_sum() - pl.col("size"))
        size, filled, bases = (blocks[name].to_numpy() for name in ("size", "filled", "base"))
        since = frame["time"].dt.epoch("us").to_numpy() - np.repeat(blocks["first"].to_numpy(), filled)
        rows = np.repeat(bases, filled) + since // micro
        columns = {}
        for name in frame.columns:
            if name not in ("entity", "time"):
                column = np.full(int(size.sum()), np.nan)
                column[rows] = frame[name].to_numpy()
                columns[name] = column
        return cls(step=step, ahead=ahead, blocks=blocks, base=np.repeat(bases, size), columns=columns)

    def places(self, asked: Frame, time: str) -> Places:
        """The rows of `asked`'s `entity` at its instants `time`; −1 before an entity's first row or after its last."""
        found = asked.select("entity", micro=pl.col(time).dt.epoch("us"))
        found = found.join(self.blocks, on="entity", how="left", maintain_order="left")
        row = (pl.col("micro") - pl.col("first")) // (self.step // timedelta(microseconds=1))
        inside = (row >= 0) & (row < pl.col("size"))
        return (
            found.select(pl.when(inside).then(pl.col("base") + row).fill_null(-1).cast(pl.Int64)).to_series().to_numpy()
        )

    def back(self, column: Floats, places: Places, steps: int) -> Floats:
        """The value `steps` rows before each place, of the same entity; NaN where there is none."""
        rows = places - steps
        if not len(column):
            return np.full(len(places), np.nan)
        inside = (places >= 0) & (rows >= self.base[np.maximum(places, 0)])
        return np.where(inside, column[np.maximum(rows, 0)], np.nan)

    def frame(self) -> Frame:
        """The grid as a frame: `entity`, `time` and the columns, missing values null."""
        which = np.repeat(np.arange(self.blocks.height), self.blocks["size"].to_numpy())
        since = (np.arange(len(self.base)) - self.base) * (self.step // timedelta(microseconds=1))
        time = pl.Series(self.blocks["first"].to_numpy()[which] + since, dtype=pl.Int64).cast(INSTANT)
        data = {name: pl.Series(column).fill_nan(None) for name, column in self.columns.items()}
        return pl.DataFrame({"entity": self.blocks["entity"].gather(which), "time": time, **data})

    def lagged(self, column: Floats, steps: int) -> Floats:
        """The whole column `steps` rows later: each row holds the value `steps` before it, of the same entity."""
        rows = np.arange(len(column), dtype=np.int64) - steps
        return np.where(rows >= self.base, column[np.maximum(rows, 0)], np.nan)

    def mean(self, column: Floats, steps: int) -> Floats:
        """For each row the mean of the `steps` rows before it, of the same entity; missing values are skipped."""
        there = ~np.isnan(column)
        total = np.concatenate(([0.0], np.cumsum(np.where(there, column, 0.0))))
        count = np.concatenate(([0], np.cumsum(there)))
        rows = np.arange(len(column))
        low = np.maximum(rows - steps, self.base)
        number = count[rows] - count[low]
        return np.where(number > 0, (total[rows] - total[low]) / np.maximum(number, 1), np.nan)

    def extremes(self, column: Floats, steps: int) -> tuple[Floats, Floats, Floats]:
        """For each row deviation (n − 1), least and most of the `steps` rows before it, of the same entity.

        Needs at least `steps` empty rows between entities (`ahead`).
        """
        if self.ahead < steps:
            raise ValueError(f"windows of {steps} steps need a grid with as many empty rows ahead, not {self.ahead}")
        past = pl.Series(column).fill_nan(None).shift(1)
        return (
            past.rolling_std(steps, min_samples=2).cast(pl.Float64).fill_null(np.nan).to_numpy(),
            past.rolling_min(steps, min_samples=1).fill_null(np.nan).to_numpy(),
            past.rolling_max(steps, min_samples=1).fill_null(np.nan).to_numpy(),
        )
