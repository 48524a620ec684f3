"""Daily series of many entities as one array: what the days before a standpoint say about those after it.

Everything is relative to the series' own level, so that what was learned of one series holds for another. A number
depends on the days of its window alone, to the last bit, whatever else is in the array.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foretell.contract import Floats

WEEK = 7
WINDOW = 731  # days back that are looked at
YEAR = 364  # 52 weeks: the same weekday
HORIZON = 28  # days ahead whose distance counts
USUAL = 3.0  # times its usual size a day counts at most where a level shall be steady
LEAST = 1e-9

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Line:
    """The days of one product from its first movement to its last: their demand, NaN where unknown.

    `first` counts days since 1970; `moved` says on which days there was a transaction.
    """

    first: int
    value: Floats
    moved: Flags

    @property
    def last(self) -> int:
        """The day of the last movement."""
        return self.first + len(self.value) - 1

    def until(self, day: int, window: int = WINDOW) -> Line | None:
        """What was known of the days before `day`, up to the day before it; None without a movement among them."""
        begin = max(self.first, day - window)
        moved = self.moved[begin - self.first : max(0, day - self.first)]
        places = np.flatnonzero(moved)
        if not len(places):
            return None
        begin += int(places[0])
        value, kept = np.zeros(day - begin), np.zeros(day - begin, dtype=bool)
        known = self.value[begin - self.first : day - self.first]
        value[: len(known)] = known
        kept[: len(known)] = moved[places[0] :]
        return Line(first=begin, value=value, moved=kept)

    @property
    def filled(self) -> Floats:
        """The demand, in the place of an unknown day the mean of that weekday; 0 where nothing is known."""
        gone = np.isnan(self.value)
        if not gone.any():
            return self.value
        place = np.arange(len(self.value)) % 7
        count = np.bincount(place[~gone], minlength=7)
        total = np.bincount(place[~gone], self.value[~gone], minlength=7)
        whole = float(self.value[~gone].mean()) if (~gone).any() else 0.0
        return np.where(gone, np.where(count > 0, total / np.maximum(count, 1), whole)[place], self.value)


@dataclass(frozen=True)
class Days:
    """The days of several series from `first` on (counted from 1970), a row each; NaN where a day is unknown.

    `moved` says on which days something was recorded: before the first of them in a window a series has not begun, and
    after the last day of the array nothing happened.
    """

    names: tuple[str, ...]
    first: int
    value: Floats
    moved: Flags

    def before(self, day: int, rows: Ints) -> Floats:
        """The `WINDOW` days before a day (series x days, oldest first); NaN before a series began."""
        out = np.zeros((len(rows), WINDOW))
        low, high = max(self.first, day - WINDOW), min(self.first + self.value.shape[1], day)
        if high <= low:
            return np.full(out.shape, np.nan)
        begin, end = low - self.first, high - self.first
        place = low - (day - WINDOW)
        out[:, place : place + end - begin] = self.value[rows, begin:end]
        moved = np.zeros(out.shape, dtype=bool)
        moved[:, place : place + end - begin] = self.moved[rows, begin:end]
        starts = np.where(moved.any(axis=1), moved.argmax(axis=1), WINDOW)
        out[np.arange(WINDOW) < starts[:, None]] = np.nan
        return out

    def after(self, day: int, rows: Ints, count: int) -> Floats:
        """The `count` days from a day on (series x days); NaN beyond the array."""
        return np.stack([self.on(np.full(len(rows), day + k), rows) for k in range(count)], axis=1)

    def on(self, day: Ints, rows: Ints) -> Floats:
        """The value of each row on its day; NaN beyond the array."""
        place = day - self.first
        there = (place >= 0) & (place < self.value.shape[1])
        return np.where(there, self.value[rows, np.where(there, place, 0)], np.nan)


def mean(block: Floats) -> Floats:
    """The mean of each row, NaN left out; NaN where all are."""
    there = ~np.isnan(block)
    with np.errstate(invalid="ignore", divide="ignore"):
        out: Floats = np.where(there, block, 0.0).sum(axis=1) / there.sum(axis=1)
    return out


def shares(block: Floats) -> Floats:
    """The mean of each of the seven days that follow, relative to that of all, over the last eight weeks.

    Drawn towards 1 as if each weekday had been seen twice more at the mean; 1 throughout where the level is 0.
    """
    late = np.ascontiguousarray(block[:, -8 * WEEK :]).reshape(len(block), 8, WEEK)
    there = ~np.isnan(late)
    level = mean(block[:, -8 * WEEK :])
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (np.where(there, late, 0.0).sum(axis=1) / level[:, None] + 2) / (there.sum(axis=1) + 2)
    found = np.where((level > 0)[:, None], found, 1.0)
    out: Floats = found / found.mean(axis=1, keepdims=True)
    return out


def steadied(block: Floats) -> Floats:
    """The days of a year, each at most `USUAL` times the mean size of a day with demand: a lone spike is no level."""
    block = np.ascontiguousarray(block[:, -YEAR:])
    size = mean(np.where(block > 0, block, np.nan))
    return np.minimum(block, np.where(np.isnan(size), np.inf, USUAL * size)[:, None])


def croston(block: Floats, alpha: float = 0.1) -> Floats:
    """Demand a day by sizes and intervals, each smoothed, less a twentieth (Croston 1972; Syntetos & Boylan 2005)."""
    size, interval = np.full(len(block), np.nan), np.full(len(block), np.nan)
    waited = np.zeros(len(block))
    for today in np.ascontiguousarray(block.T):
        waited = waited + ~np.isnan(today)
        busy = today > 0
        new = busy & np.isnan(size)
        size = np.where(new, today, np.where(busy, size + alpha * (today - size), size))
        interval = np.where(new, waited, np.where(busy, interval + alpha * (waited - interval), interval))
        waited = np.where(busy, 0.0, waited)
    with np.errstate(invalid="ignore"):
        said: Floats = np.nan_to_num((1 - alpha / 2) * size / interval)
    return said


def tsb(block: Floats, alpha_p: float = 0.05, alpha_d: float = 0.1) -> Floats:
    """Demand a day by the chance of demand and its size, each smoothed (Teunter, Syntetos & Babai 2011)."""
    size, chance = np.full(len(block), np.nan), np.full(len(block), np.nan)
    for today in np.ascontiguousarray(block.T):
        known, busy = ~np.isnan(today), today > 0
        size = np.where(busy, np.where(np.isnan(size), today, size + alpha_d * (today - size)), size)
        chance = np.where(known, np.where(np.isnan(chance), busy, chance + alpha_p * (busy - chance)), chance)
    said: Floats = np.nan_to_num(size * chance)
    return said


def levels(block: Floats) -> Mapping[str, Floats]:
    """What some quick methods say a day of the near future has, by name; 0 where nothing is known."""
    return {
        "weekday_mean": np.nan_to_num(mean(block[:, -28:])),
        "eight_weeks": np.nan_to_num(mean(block[:, -56:])),
        "steady": np.nan_to_num(mean(steadied(block)[:, -28:])),
        "croston_sba": croston(block[:, -YEAR:]),
        "tsb": tsb(block[:, -YEAR:]),
    }


def fading(block: Floats, days: int) -> Floats:
    """The mean of each row in which a day counts by one part in `days` less than the next; NaN where none is known."""
    weight = (1 - 1 / days) ** np.arange(block.shape[1])[::-1]
    there = ~np.isnan(block)
    with np.errstate(invalid="ignore", divide="ignore"):
        out: Floats = (np.where(there, block, 0.0) * weight).sum(axis=1) / (there * weight).sum(axis=1)
    return out


def spiked(block: Floats) -> float:
    """How many times what their steadied days have was sold of all series in the last 91 days; 1 without demand."""
    steady = float(np.nansum(steadied(block)[:, -91:]))
    return float(np.nansum(block[:, -91:])) / steady if steady > 0 else 1.0


def scale(block: Floats) -> Floats:
    """The level that a series is measured by: mostly that of the last four weeks, steadied by a quarter and a year."""
    whole = np.nan_to_num(mean(block[:, -YEAR:]))
    month, quarter = (np.where(np.isnan(m), whole, m) for m in (mean(block[:, -28:]), mean(block[:, -91:])))
    out: Floats = 0.5 * month + 0.3 * quarter + 0.2 * whole
    return out


def state(block: Floats) -> dict[str, Floats]:
    """What is known of each series at the standpoint, relative to its `scale`; but for its age of the last 52 weeks."""
    begun = np.where(np.isnan(block).all(axis=1), 0, WINDOW - (~np.isnan(block)).argmax(axis=1))
    level = np.maximum(scale(block), LEAST)
    block = np.ascontiguousarray(block[:, -YEAR:])
    known, busy = ~np.isnan(block), block > 0
    sizes = np.where(busy, block, np.nan)
    size = mean(sizes)
    quiet = np.minimum(block, np.where(np.isnan(size), np.inf, USUAL * size)[:, None])
    out = {f"mean{w}": mean(block[:, -w:]) / level for w in (7, 14, 28, 56, 91, 182, 364)}
    out |= {f"steady{w}": mean(quiet[:, -w:]) / level for w in (28, 91)}
    out |= {f"fading{w}": fading(block, w) / level for w in (5, 10, 20, 50)}
    out["fading steady"], out["fading busy"] = fading(quiet, 20) / level, fading(np.where(known, busy, np.nan), 20)
    out["rate"] = out["fading busy"] * size / level
    with np.errstate(invalid="ignore", divide="ignore"):
        out |= {f"busy{w}": busy[:, -w:].sum(axis=1) / known[:, -w:].sum(axis=1) for w in (28, 91, 364)}
        out["spread"] = np.sqrt(mean(np.square(sizes - size[:, None]))) / size
        out["size"] = np.log(size / level)
    out["silent"] = np.log1p(np.where(busy.any(axis=1), busy[:, ::-1].argmax(axis=1), YEAR))
    out |= {f"most{w}": np.where(known, block, 0.0)[:, -w:].max(axis=1) / level for w in (28, 91)}
    out["age"], out["level"] = np.log1p(begun), np.log(level)
    return out


def ahead(block: Floats, known: Mapping[str, Floats], place: Ints, day: int, step: Ints, *, yearly: bool) -> Floats:
    """Features of the days `step` after the standpoint `day`, one row each, of the series at `place` of the block.

    `known` is the `state` of the block. The time of year counts only where it is `yearly`: in less than two years it
    would stand for the trend. Steps beyond four weeks count as the last of them; their date is their own.
    """
    dates = (day + step).astype("datetime64[D]")
    month = dates.astype("datetime64[M]")
    columns: list[Floats | Ints] = [known[name][place] for name in known]
    columns += [shares(block)[place, step % WEEK], (day + step + 3) % WEEK, (dates - month).astype(np.int64) + 1]
    columns += [np.minimum(step, HORIZON - 1)]
    if yearly:
        columns += _time_of_year(block, place, day, step)
    return np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])


def coming(block: Floats, known: Mapping[str, Floats], day: int, span: Ints, *, yearly: bool) -> Floats:
    """Features of the mean of the `span` days from the standpoint `day` on, of each series; else as `ahead`."""
    columns: list[Floats | Ints] = [*known.values(), span]
    if yearly:
        columns += _time_of_year(block, np.arange(len(block)), day, span // 2)
    return np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])


def _time_of_year(block: Floats, place: Ints, day: int, step: Ints) -> list[Floats | Ints]:
    dates = (day + step).astype("datetime64[D]")
    level = np.maximum(scale(block), LEAST)
    return [(dates - dates.astype("datetime64[Y]")).astype(np.int64), *_last_year(block, level, place, step)]


def _last_year(block: Floats, level: Floats, place: Ints, step: Ints) -> list[Floats]:
    """The same fortnight a year before the day asked about, relative to the level and to the four weeks before it."""
    sums = np.cumsum(np.nan_to_num(np.pad(block, ((0, 0), (1, 0)))), axis=1)
    counts = np.cumsum(np.pad(~np.isnan(block), ((0, 0), (1, 0))), axis=1)

    def around(low: Ints, high: Ints) -> Floats:
        low, high = np.clip(low, 0, WINDOW), np.clip(high, 0, WINDOW)
        with np.errstate(invalid="ignore", divide="ignore"):
            out: Floats = (sums[place, high] - sums[place, low]) / (counts[place, high] - counts[place, low])
        return out

    middle = WINDOW - YEAR + step
    then = around(middle - WEEK, middle + WEEK + 1)
    before = around(np.full(len(step), WINDOW - YEAR - 4 * WEEK), np.full(len(step), WINDOW - YEAR))
    with np.errstate(invalid="ignore", divide="ignore"):
        grown = np.where(before > 0, then / before, np.nan)
    return [then / level[place], grown]
