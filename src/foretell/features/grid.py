"""Regular series of several entities in one array, so that a step back is a lag and a slice is a window.

Plain arrays rather than expressions: a forecast of four hours needs a hundred of these numbers, and each must cost
microseconds with one entity and stay linear with millions of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import INSTANT, Floats, Frame

CHUNK = 50_000

Places = NDArray[np.int64]
"""Rows of a grid, one a question; -1 where the grid has none."""


def hour_of(moment: datetime, zone: str) -> datetime:
    """The start of the hour that holds an instant, UTC; in zones half an hour off, on their clock's hours."""
    off = timedelta(minutes=off_hour(zone))
    return (moment - off).replace(minute=0, second=0, microsecond=0) + off


def hours_of(moments: pl.Series, zone: str) -> pl.Series:
    """The same for a column of instants."""
    off = off_hour(zone) * 60_000_000
    return ((moments.to_physical() - off) // 3_600_000_000 * 3_600_000_000 + off).cast(INSTANT)


@cache
def off_hour(zone: str) -> int:
    """Minutes by which a zone's hours begin after UTC's (India: 30); of its standard time, so that it never shifts."""
    winter = datetime(2025, 1, 1, tzinfo=ZoneInfo(zone))
    standard = (winter.utcoffset() or timedelta()) - (winter.dst() or timedelta())
    return int(standard.total_seconds() // 60) % 60


@dataclass(frozen=True)
class Grid:
    """One row for every step of each entity from its first value to its last; NaN where a value is missing.

    Before each entity's first row lie `behind` empty ones and after its last `ahead`, so that no lag or window up to
    those lengths reaches into another entity. `value` is the mean of the values of a step, `peak` the highest.
    """

    step: timedelta
    entities: tuple[str, ...]
    first: Places  # of each entity: the microseconds since 1970 of its first row
    base: Places  # of each entity: its first row, the empty ones left out
    size: Places  # of each entity: its rows with those ahead
    value: Floats
    peak: Floats

    @classmethod
    def of(
        cls,
        entity: pl.Series,
        micro: Places,
        value: Floats,
        *,
        step: timedelta,
        offset: int = 0,
        behind: int = 0,
        ahead: int = 0,
        until: int | None = None,
    ) -> Grid:
        """A grid of values at moments (microseconds since 1970); steps begin `offset` minutes after whole ones.

        With `until` (a moment too) a series that has fallen silent goes on to it, empty, for `behind` steps at most.
        """
        long, late = step // timedelta(microseconds=1), offset * 60_000_000
        alone = len(entity) > 0 and bool((entity == entity[0]).all())
        names = entity.head(1) if alone else entity.unique().sort()
        code = _codes(entity, names)
        tick = (micro - late) // long
        first, last = np.full(len(names), np.iinfo(np.int64).max), np.full(len(names), np.iinfo(np.int64).min)
        np.minimum.at(first, code, tick)
        np.maximum.at(last, code, tick)
        silent = 0 if until is None else np.clip((until - late) // long - 1 - last, 0, behind)
        size = last - first + 1 + silent + ahead
        base = np.cumsum(size + behind) - size
        rows = base[code] + tick - first[code]
        total = int((size + behind).sum())
        with np.errstate(invalid="ignore", divide="ignore"):
            average = np.bincount(rows, value, minlength=total) / np.bincount(rows, minlength=total)
        peak = np.full(total, np.nan)
        np.fmax.at(peak, rows, value)
        return cls(
            step=step, entities=tuple(names), first=first * long + late, base=base, size=size,
            value=average, peak=peak,
        )  # fmt: skip

    def places(self, asked: Frame, *times: str) -> list[Places]:
        """The rows of `asked`'s `entity` at its instants, for each of the columns `times`.

        -1 before an entity's first row or after its last.
        """
        code = _codes(asked["entity"], pl.Series(self.entities, dtype=pl.String))
        known, code = code >= 0, np.maximum(code, 0)
        if not self.entities:
            return [np.full(asked.height, -1) for _ in times]
        micro = self.step // timedelta(microseconds=1)
        rows = [(asked[time].to_physical().to_numpy() - self.first[code]) // micro for time in times]
        return [np.where(known & (r >= 0) & (r < self.size[code]), self.base[code] + r, -1) for r in rows]

    def frame(self) -> Frame:
        """The grid as a frame: `entity`, `time`, `value` and `peak`; missing values null, empty rows left out."""
        filled = self.size.copy()
        which = np.repeat(np.arange(len(filled)), filled)
        since = np.arange(len(which)) - np.repeat(np.cumsum(filled) - filled, filled)
        rows = self.base[which] + since
        micro = self.first[which] + since * (self.step // timedelta(microseconds=1))
        return pl.DataFrame(
            {
                "entity": pl.Series(self.entities, dtype=pl.String).gather(which),
                "time": pl.Series(micro, dtype=pl.Int64).cast(INSTANT),
                "value": pl.Series(self.value[rows]).fill_nan(None),
                "peak": pl.Series(self.peak[rows]).fill_nan(None),
            }
        )


def _codes(entity: pl.Series, names: pl.Series) -> Places:
    """The position of each entity in `names`; -1 where it is not there."""
    if len(names) == 1:
        return np.where((entity == names[0]).to_numpy(), 0, -1)
    return entity.replace_strict(names, pl.Series(range(len(names)), dtype=pl.Int64), default=-1).to_numpy()


def back(column: Floats, places: Places, steps: int = 0) -> Floats:
    """The value `steps` rows before each place; NaN where there is none.

    The grid must have empty rows `behind`, as many as `steps`: its first row then stands for every place it has not.
    """
    return column[np.maximum(places - steps, 0)] if len(column) else np.full(len(places), np.nan)


def lagged(column: Floats, steps: int) -> Floats:
    """The whole column `steps` rows later: each row holds the value `steps` before it."""
    out = np.empty(len(column))
    out[:steps] = np.nan
    out[steps:] = column[: len(column) - steps]
    return out


def total(column: Floats, steps: int, add: np.ufunc = np.add) -> Floats:
    """For each row the sum (or what `add` makes) of the `steps` rows before it, the row itself left out.

    By doubling: a number depends on the values of its window alone, to the last bit, wherever the column begins.
    """
    out: Floats | None = None
    width, span, done = lagged(column, 1), 1, 0
    while steps:
        if steps & 1:
            out = width if out is None else add(out, lagged(width, done))
            done += span
        steps >>= 1
        if steps:
            width = add(width, lagged(width, span))
            span *= 2
    return np.full(len(column), np.nan) if out is None else out


def mean(column: Floats, steps: int) -> Floats:
    """For each row the mean of the `steps` rows before it; missing values are skipped, NaN where all are."""
    return share(column, np.where(np.isnan(column), np.nan, 1.0), steps)


def share(column: Floats, of: Floats, steps: int) -> Floats:
    """For each row the sum of the `steps` rows before it divided by that of `of`, over rows where both are known."""
    there = ~np.isnan(column) & ~np.isnan(of)
    sums = [total(np.concatenate((np.zeros(steps), np.where(there, c, 0.0))), steps)[steps:] for c in (column, of)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[0] / sums[1]


def least(column: Floats, steps: int) -> Floats:
    """For each row the lowest of the `steps` rows before it; missing values are skipped."""
    return total(column, steps, np.fmin)


def most(column: Floats, steps: int) -> Floats:
    """For each row the highest of the `steps` rows before it; missing values are skipped."""
    return total(column, steps, np.fmax)


def deviation(column: Floats, steps: int, places: Places) -> Floats:
    """At each place the standard deviation (n - 1) of the `steps` rows before it; NaN with fewer than two values."""
    padded = np.concatenate((np.full(steps, np.nan), column, [np.nan]))
    past = np.lib.stride_tricks.sliding_window_view(padded, steps)
    rows, which = np.unique(places, return_inverse=True)
    out = np.empty(len(rows))
    for start in range(0, len(rows), CHUNK):  # a million rows times the window would fill the memory
        window = past[rows[start : start + CHUNK]]
        there = ~np.isnan(window)
        count = there.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            middle = np.where(there, window, 0.0).sum(axis=1) / count
            square = np.where(there, np.square(window - middle[:, None]), 0.0).sum(axis=1)
            out[start : start + CHUNK] = np.where(count > 1, np.sqrt(square / (count - 1)), np.nan)
    return np.where(places >= 0, out[which], np.nan)


def table(columns: dict[str, Floats]) -> Frame:
    """A frame of float columns; much faster than one by one where rows are few and columns many."""
    block = pl.Series(np.stack(list(columns.values()), axis=1), dtype=pl.Array(pl.Float64, len(columns)))
    return block.arr.to_struct(fields=list(columns)).struct.unnest()


def median(columns: list[Floats]) -> Floats:
    """The median of each row's numbers, missing ones left out; NaN where all are."""
    ranked = np.sort(np.stack(columns), axis=0)  # NaN sorts last
    count = len(columns) - np.isnan(ranked).sum(axis=0)
    rows = np.arange(ranked.shape[1])
    low, high = np.maximum(count - 1, 0) // 2, np.maximum(count, 1) // 2
    middle: Floats = (ranked[low, rows] + ranked[np.minimum(high, len(columns) - 1), rows]) / 2
    return middle
