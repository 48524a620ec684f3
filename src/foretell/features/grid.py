"""Regular series of several entities in one array, so that a step back is a lag and a slice is a window.

Plain arrays rather than expressions: a forecast of four hours needs a hundred of these numbers, and each must cost
microseconds with one entity and stay linear with millions of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from foretell.contract import INSTANT, Floats, Frame

CHUNK = 10_000

Places = NDArray[np.int64]
"""Rows of a grid, one a question; -1 where the grid has none."""


def hour_of(moment: datetime, zone: str) -> datetime:
    """The start of the hour that holds an instant, UTC; in zones half an hour off, on their clock's hours."""
    off = timedelta(minutes=off_hour(zone))
    return (moment - off).replace(minute=0, second=0, microsecond=0) + off


def hours_of(micro: Places, zone: str) -> Places:
    """The same for moments in microseconds since 1970."""
    off = off_hour(zone) * 60_000_000
    return (micro - off) // 3_600_000_000 * 3_600_000_000 + off


def micros(moments: pl.Series) -> Places:
    """A column of instants as microseconds since 1970."""
    return moments.cast(pl.Int64).to_numpy()


@cache
def off_hour(zone: str) -> int:
    """Minutes by which a zone's hours begin after UTC's (India: 30); of its standard time, so that it never shifts."""
    winter = datetime(2025, 1, 1, tzinfo=ZoneInfo(zone))
    standard = (winter.utcoffset() or timedelta()) - (winter.dst() or timedelta())
    return -int(standard.total_seconds() // 60) % 60


@cache
def _set(zone: str) -> tuple[Places, Places]:
    """When the clocks of a zone are set (microseconds since 1970), and by how many hours they are ahead of UTC.

    The hours are those before the first time, and from each on; what is not a whole hour is rounded.
    """

    def ahead(moments: pl.Series) -> Places:
        local = moments.dt.convert_time_zone(zone)
        offset = local.dt.base_utc_offset() + local.dt.dst_offset()
        return np.round(offset.dt.total_minutes().to_numpy() / 60).astype(np.int64)

    days = pl.datetime_range(datetime(1970, 1, 1), datetime(2070, 1, 1), "1d", eager=True, time_zone="UTC")  # noqa: DTZ001
    of_day = micros(days)[:-1][np.diff(ahead(days)) != 0]
    every = (of_day[:, None] + np.arange(25) * 3_600_000_000).ravel()
    hours = ahead(pl.Series(every, dtype=pl.Int64).cast(INSTANT)).reshape(-1, 25)
    first = (hours != hours[:, :1]).argmax(axis=1)
    when = of_day + first * 3_600_000_000
    begin = ahead(days.head(1))
    return when, np.concatenate([begin, hours[:, -1]])


def turned(moments: Places, ago: Places, zone: str) -> Places:
    """`ago`, hours back from each moment, such that the clocks of a zone show then what they show at the moment.

    Moments x hours, moments in microseconds since 1970; one row for all where the clocks were not set meanwhile. Of an
    hour that was never, the one before it.
    """
    when, ahead = _set(zone)
    longest = int(ago.max()) * 3_600_000_000
    first, last = int(moments.min(initial=2**62)) - longest, int(moments.max(initial=-(2**62)))
    if np.searchsorted(when, first, side="right") == np.searchsorted(when, last, side="right"):
        return ago[None, :]
    then = moments[:, None] - ago * 3_600_000_000
    now, before = (ahead[np.searchsorted(when, each, side="right")] for each in (moments, then))
    turned: Places = ago - (now[:, None] - before)
    return turned


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
        names = tuple(entity.head(1) if alike(entity) else entity.unique().sort())
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
            step=step, entities=names, first=first * long + late, base=base, size=size,
            value=average, peak=peak,
        )  # fmt: skip

    def places(self, entity: pl.Series, *times: Places) -> list[Places]:
        """The row of each entity at its moment, for each of `times` (microseconds since 1970).

        -1 before an entity's first row or after its last.
        """
        if not self.entities:
            return [np.full(len(entity), -1) for _ in times]
        code = _codes(entity, self.entities)
        known, code = code >= 0, np.maximum(code, 0)
        micro = self.step // timedelta(microseconds=1)
        rows = [(time - self.first[code]) // micro for time in times]
        return [np.where(known & (r >= 0) & (r < self.size[code]), self.base[code] + r, -1) for r in rows]

    def times(self, rows: Places) -> Places:
        """When rows begin, microseconds since 1970; the empty ones before an entity's first count back from that."""
        whose = np.minimum(np.searchsorted(self.base + self.size, rows, side="right"), len(self.base) - 1)
        times: Places = self.first[whose] + (rows - self.base[whose]) * (self.step // timedelta(microseconds=1))
        return times

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


def alike(column: pl.Series) -> bool:
    """Whether a column without nulls holds one value alone; at once where Polars knows that it is sorted."""
    return len(column) > 0 and bool(column.min() == column.max())


def _codes(entity: pl.Series, names: Sequence[str]) -> Places:
    """The position of each entity in `names`; -1 where it is not there."""
    if alike(entity):
        return np.full(len(entity), names.index(entity[0]) if entity[0] in names else -1)
    places = pl.Series(range(len(names)), dtype=pl.Int64)
    return entity.replace_strict(pl.Series(names, dtype=pl.String), places, default=-1).to_numpy()


def back(column: Floats, places: Places, steps: int | Places = 0) -> Floats:
    """The value `steps` rows before each place; with several steps one column for each. NaN where there is none.

    The grid must have empty rows `behind`, as many as `steps`: its first row then stands for every place it has not.
    """
    rows = np.maximum((places if isinstance(steps, int) else places[:, None]) - steps, 0)
    return column[rows] if len(column) else np.full(rows.shape, np.nan)


def newest(grid: Grid, columns: Sequence[Floats], entity: pl.Series, until: Places, steps: int) -> list[Floats]:
    """The values of each column in the `steps` rows before each moment, newest first (questions x steps); else NaN.

    Unlike `back` it may reach farther than the empty rows before an entity's first: there it finds nothing.
    """
    (start,) = grid.places(entity, until)
    first = grid.base[np.searchsorted(grid.base, start, side="right") - 1] if len(grid.base) else start
    rows = start[:, None] - np.arange(1, steps + 1)
    there = rows >= first[:, None]
    there[start < 0] = False
    rows = np.where(there, rows, 0)
    return [np.where(there, column[rows] if len(column) else np.nan, np.nan) for column in columns]


def over(columns: Sequence[Floats], places: Places, steps: int, make: Callable[..., list[Floats]]) -> list[Floats]:
    """At each place what `make` makes of the windows of `steps` rows before it, one of each column (places x steps).

    Worked out once for each distinct place, a chunk at a time: many questions share a standpoint, and a million rows
    times the window would fill the memory.
    """
    rows, which = distinct(places)
    before = np.arange(steps, 0, -1)
    chunks = [rows[start : start + CHUNK] for start in range(0, max(len(rows), 1), CHUNK)]
    made = [make(*(back(column, chunk, before) for column in columns)) for chunk in chunks]
    return [np.concatenate(parts)[which] for parts in zip(*made, strict=True)]


def distinct(places: Places) -> tuple[Places, Places]:
    """The distinct numbers, rising, and where among them each one is; quick where all are the same."""
    if len(places) and (places == places[0]).all():
        return places[:1], np.zeros(len(places), dtype=np.int64)
    found: tuple[Places, Places] = np.unique(places, return_inverse=True)
    return found


def total(columns: Floats, steps: int) -> Floats:
    """For each row (the last axis) the sum of the `steps` rows before it, the row itself left out.

    By doubling: a number depends on the values of its window alone, to the last bit, wherever the column begins.
    """
    rows = columns.shape[-1]
    out, width = np.zeros_like(columns), np.zeros_like(columns)
    width[..., 1:] = columns[..., :-1]
    span, done = 1, 0
    while steps:
        if steps & 1:
            out[..., done:] += width[..., : max(0, rows - done)]
            done += span
        steps >>= 1
        if steps:
            width[..., span:] += width[..., :-span]
            span *= 2
    return out


def mean(column: Floats, steps: int) -> Floats:
    """For each row the mean of the `steps` rows before it; missing values are skipped, NaN where all are."""
    there = ~np.isnan(column)
    value, count = total(np.array([np.where(there, column, 0.0), there]), steps)
    with np.errstate(invalid="ignore", divide="ignore"):
        average: Floats = value / count
    return average


def share(column: Floats, of: Floats) -> Floats:
    """For each row of two windows the sum of the one divided by that of the other, over what both know; else NaN."""
    there = ~np.isnan(column) & ~np.isnan(of)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio: Floats = np.where(there, column, 0.0).sum(axis=1) / np.where(there, of, 0.0).sum(axis=1)
    return ratio


def moments(window: Floats) -> tuple[Floats, Floats]:
    """For each row of a window its mean and standard deviation (n - 1), missing values skipped.

    NaN where too little is known: no value for a mean, one for a deviation.
    """
    there = ~np.isnan(window)
    count = there.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = np.where(there, window, 0.0).sum(axis=1) / count
        square = np.where(there, np.square(window - middle[:, None]), 0.0).sum(axis=1)
        return middle, np.where(count > 1, np.sqrt(square / (count - 1)), np.nan)


def median(block: Floats) -> Floats:
    """The median of each row's numbers, missing ones left out; NaN where all are."""
    ranked = np.sort(block, axis=1)  # NaN sorts last
    count = block.shape[1] - np.isnan(ranked).sum(axis=1)
    rows = np.arange(len(ranked))
    low, high = np.maximum(count - 1, 0) // 2, np.maximum(count, 1) // 2
    middle: Floats = (ranked[rows, low] + ranked[rows, np.minimum(high, block.shape[1] - 1)]) / 2
    return middle
